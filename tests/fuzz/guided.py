"""Fuzzes one target led by coverage: `python -m tests.fuzz.guided TARGET SECONDS`, which `python -m tests.fuzz --guided` runs.

atheris where it is installed, else hypothesis.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from pathlib import Path
from types import FunctionType
from typing import Any

from tests.fuzz import mutation
from tests.fuzz.targets import TARGETS, kept_seeds

SEEDS = Path(__file__).parent / "seeds"
_DECODERS = (  # what is not compiled: numba takes no function that calls atheris
    "noc.", "pe.core", "models.checkpoint.", "models.dnn.", "models.foreign.", "models.importers.", "models.text.",
    "models.dvs.aedat", "host.cost.ledger",
)  # fmt: skip


def with_atheris(atheris: Any, name: str, seconds: float) -> None:
    """Fuzz a target led by the coverage of the project's own decoders; never returns."""
    target = TARGETS[name]()
    for function in [thing for thing in gc.get_objects() if isinstance(thing, FunctionType)]:
        if (function.__module__ or "").startswith(_DECODERS):
            atheris.instrument_func(function)
    corpus = Path(tempfile.mkdtemp(prefix="gennaker-fuzz-"))
    for number, raw in enumerate([*target.seeds, *kept_seeds(name)]):
        (corpus / str(number)).write_bytes(raw)
    place = SEEDS / name
    place.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={int(seconds)}", f"-artifact_prefix={place}/", "-max_len=65536", "-rss_limit_mb=1024"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], target.run)
    atheris.Fuzz()


def with_hypothesis(name: str, seconds: float) -> None:
    """Fuzz a target with hypothesis, whose database and targets lead it."""
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    target, late = TARGETS[name](), time.monotonic() + seconds
    seeds = [*target.seeds, *kept_seeds(name)]

    @settings(max_examples=10_000_000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.integers(0, len(seeds) - 1), st.randoms(use_true_random=False), st.binary(max_size=200))
    def run(at, rng, raw):
        if time.monotonic() > late:
            raise KeyboardInterrupt
        target.run(raw)
        target.run(mutation.mutated(seeds[at], rng, seeds, tree=target.tree))

    run()


if __name__ == "__main__":
    try:
        import atheris
    except ModuleNotFoundError:
        with_hypothesis(sys.argv[1], float(sys.argv[2]))
    else:
        with_atheris(atheris, sys.argv[1], float(sys.argv[2]))
