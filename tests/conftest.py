"""Fixtures that more than one test file uses: a tiny model in a checkpoint file, and a way to run it on real processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from host.cluster import remote_backend
from host.launch.launcher import Launcher
from host.launch.outcome import Outcome
from host.workloads.lm.options import Options as LmOptions
from tests.tools.processes import answer
from tests.tools.tiny import WORDS, save_tiny, tiny_network


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
