"""Fixtures that more than one test file uses: a tiny model in a checkpoint file, and a way to run it on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from host.cluster import remote_backend
from host.launch.launcher import Launcher
from host.launch.outcome import Outcome
from host.workloads.lm.options import Options as LmOptions
from tests.tools.processes import answer, note_sockets
from tests.tools.tiny import WORDS, save_tiny, tiny_network

ROOT = Path(__file__).resolve().parents[1]

# For torch, which is not loaded yet, and for what tests start: its threads spin while they wait for each other, and on a machine
# with as many workers as cores they wait for as long as another worker runs.
os.environ.setdefault("OMP_NUM_THREADS", "1")


PART = "GENNAKER_PART_TESTS"  # set: a part of the project is not there, nor what its tests are named by
WHOLE = "GENNAKER_WHOLE_TESTS"  # set: hypothesis tries all the examples that a test names, in place of a part
_PART = 10  # one in so many
_FEWEST = 5  # but no fewer
_BUSY = 5  # times as long as on a machine of its own may a test take, before it is taken for hung


_USUAL_RUNS = """
import sys, tempfile
from host.cli import main

with tempfile.TemporaryDirectory() as folder:
    for transport in ("zmq", "mem"):
        run = ["lm", "tiny", "--tokens", "2", "--pes", "2", "--transport", transport, "--no-monitor", "--no-pictures"]
        code = main([*run, "--out", f"{folder}/{transport}"])
        if code:
            sys.exit(code)
"""


_compiling: list[subprocess.Popen[bytes]] = []


def pytest_sessionstart(session: pytest.Session) -> None:
    """Begin to compile the kernels of the usual runs, and compile tests, before there are workers: each would compile all of them,
    and a run that compiles says so.
    """
    if not getattr(session.config.option, "numprocesses", None) or hasattr(session.config, "workerinput"):
        return
    _compiling.append(subprocess.Popen([sys.executable, "-c", _USUAL_RUNS], cwd=ROOT, stdout=subprocess.DEVNULL))
    if not sys.dont_write_bytecode and not list((ROOT / "tests" / "__pycache__").glob("test_*-pytest-*.pyc")):
        left_out = [f"--ignore={path}" for path in session.config.option.ignore or ()]
        collect = ["-m", "pytest", "-q", "--collect-only", "-p", "no:xdist", "-p", "no:cacheprovider", *left_out]
        # Not checked: what is wrong with a test says the worker.
        subprocess.run([sys.executable, *collect], cwd=ROOT, stdout=subprocess.DEVNULL, check=False)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished() -> None:
    """Give workers nothing to do before the kernels are there; they collect meanwhile."""
    assert all(process.wait() == 0 for process in _compiling)


class Extents:
    """Marks tests as wide or slow, and searches, before `-m` looks at that."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark searches, those of `slow_but` and `wide_but` whose parameters' id is none of theirs, and all but a `few` of a test's
        parameters; UsageError for an id that no parameters have.
        """
        for item in items:
            if is_search(item):
                item.add_marker("search")
        in_part = _names_a_test(config) or config.getoption("lf", default=False) or os.environ.get(PART)
        for extent in ("slow", "wide"):
            for test, sets in parameter_sets(items, f"{extent}_but").items():
                named = next(iter(sets.values())).get_closest_marker(f"{extent}_but").args
                if not in_part and (unknown := set(named) - set(sets)):
                    raise pytest.UsageError(f"{test}: {extent}_but names {sorted(unknown)}; has {sorted(sets)}")
                for identity, item in sets.items():
                    if identity not in named:
                        item.add_marker(extent)
        for sets in parameter_sets(items, "few").values():
            quick = [item for item in sets.values() if not item.get_closest_marker("slow")]
            for item in set(quick).difference(spread(quick)):
                item.add_marker("wide")


def parameter_sets(items: Iterable[pytest.Item], marker: str) -> dict[str, dict[str, pytest.Item]]:
    """Return the items of each test with a marker, by the id of their parameters."""
    tests: dict[str, dict[str, pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker(marker):
            test, _, identity = item.nodeid.partition("[")
            tests.setdefault(test, {})[identity.removesuffix("]")] = item
    return tests


def spread(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return as many of a test's items as its mark `few` says: each time the one with most values of parameters that no other has
    yet, and of those that lies farthest from the others.
    """
    picked: list[int] = []
    seen: set[tuple[str, int]] = set()
    values = [set(item.callspec.indices.items()) for item in items]
    for _ in range(min(items[0].get_closest_marker("few").args[0], len(items)) if items else 0):
        rest = [place for place in range(len(items)) if place not in picked]
        best = max(rest, key=lambda place: (len(values[place] - seen), min((abs(place - other) for other in picked), default=0)))
        picked.append(best)
        seen |= values[best]
    return [items[place] for place in picked]


def _names_a_test(config: pytest.Config) -> bool:
    return any("::" in argument for argument in config.args)


def pytest_configure(config: pytest.Config) -> None:
    """Let wide and slow tests be marked, and a test that is named run, whatever it is."""
    config.pluginmanager.register(Extents(), "extents")
    if _names_a_test(config) and config.option.markexpr in config.getini("addopts"):
        config.option.markexpr = ""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Settle searches, give each test its limit, and order files for workers: first those that may take longest."""
    settle_searches(items, whole=bool(os.environ.get(WHOLE)))
    longest: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        limit_s = float(mark.args[0] if mark else config.getini("timeout"))
        longest[item.path] = max(longest.get(item.path, 0.0), limit_s)
        item.add_marker(pytest.mark.timeout(_BUSY * limit_s), append=False)
    if not hasattr(config, "workerinput"):
        return
    bytes_of = {path: path.stat().st_size for path in longest}  # about as long, where the limits are alike
    items.sort(key=lambda item: (-longest[item.path], -bytes_of[item.path]))


def is_search(item: pytest.Item) -> bool:
    """Whether hypothesis searches for an example that a test does not hold for."""
    return hasattr(getattr(item, "obj", None), "hypothesis")


def settle_searches(items: Iterable[pytest.Item], whole: bool) -> None:
    """Let no clock judge a search, and hypothesis try a part of each test's examples, other ones each time, or all of them."""
    attribute = "_hypothesis_internal_use_settings"  # where hypothesis' own plugin for pytest reads them
    for function in {item.obj for item in items if is_search(item)}:
        own = getattr(function, attribute)
        examples = own.max_examples if whole else max(own.max_examples // _PART, min(own.max_examples, _FEWEST))
        unchecked = {*own.suppress_health_check, HealthCheck.too_slow}  # a busy machine is slow
        setattr(function, attribute, settings(own, max_examples=examples, deadline=None, suppress_health_check=unchecked))


@pytest.fixture(scope="session", autouse=True)
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt, for tests that send it, also where whoever started them ignores it, as a shell's background jobs do."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.safetensors`, `none.safetensors` (silent), `all.safetensors` (all active) and `text.txt`."""
    path = tmp_path_factory.mktemp("tiny")
    for name in ("usual", "none", "all"):
        save_tiny(path / f"{'tiny' if name == 'usual' else name}.safetensors", tiny_network(name))
    save_tiny(path / "zoneout.safetensors", tiny_network(zoneout=0.25))
    words = np.random.default_rng(5).integers(0, WORDS + 5, 400)  # some words are unknown
    (path / "text.txt").write_text("\n\n".join(" ".join(f"w{n}" for n in words[i : i + 40]) for i in range(0, 400, 40)))
    return path


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for `TMPDIR`, with a short name: sockets lie in it, whose paths may have 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="gnk-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def run(folder: Path) -> Callable[..., Outcome]:
    """Return a function that runs the tiny model on real processes with the options given, and returns the outcome."""

    def go(
        started: Callable[[str, int], None] = lambda *_: None,
        observe: Callable[[dict[str, Any]], None] = lambda _: None,
        **options: Any,
    ) -> Outcome:
        chosen = {"checkpoint": str(folder / "tiny.safetensors"), "tokens": 24, "pes": 5}
        if "prompt" not in options:
            chosen["text"] = str(folder / "text.txt")
        else:
            chosen["tokens"] = None
        chosen |= options
        lm = LmOptions(**chosen)
        lm.check()
        return Launcher(lm, lambda layout: None, observe, started, remote=remote_backend(lm)).run()

    return go


@pytest.fixture(scope="session")
def reference(folder: Path) -> Any:
    """The answer of one PE that holds everything, in one process, to the text and tokens that `run` takes by itself."""
    options = LmOptions(
        checkpoint=str(folder / "tiny.safetensors"), text=str(folder / "text.txt"), tokens=24, pes=1, transport="mem"
    )
    return answer(Launcher(options, lambda layout: None, lambda status: None).run())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let each test look at the sockets of its own runs alone, and none become a fork server, which ignores signals."""
    note_sockets()
    assert "host.processes.fork_server" not in sys.modules
