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


def pytest_sessionstart(session: pytest.Session) -> None:
    """Compile the kernels of the usual runs, and tests, before there are workers: each would compile all of them, and a run that
    compiles says so.
    """
    if not getattr(session.config.option, "numprocesses", None) or hasattr(session.config, "workerinput"):
        return
    commands = [["-c", _USUAL_RUNS]]
    if not sys.dont_write_bytecode and not list((ROOT / "tests" / "__pycache__").glob("test_*-pytest-*.pyc")):
        commands.append(["-m", "pytest", "-q", "--collect-only", "-p", "no:xdist", "-p", "no:cacheprovider"])
    started = [subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.DEVNULL) for command in commands]
    codes = [process.wait() for process in started]
    assert codes[0] == 0  # what is wrong with a test says the worker


class Slow:
    """Marks tests as slow, before `-m` looks at that."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark those of `slow_but` whose parameters' id is none of its; UsageError for an id that no parameters have."""
        there: dict[str, set[str]] = {}
        named: dict[str, tuple[str, ...]] = {}
        for item in items:
            if (mark := item.get_closest_marker("slow_but")) is None:
                continue
            test, _, identity = item.nodeid.partition("[")
            there.setdefault(test, set()).add(identity.removesuffix("]"))
            named[test] = mark.args
            if identity.removesuffix("]") not in mark.args:
                item.add_marker("slow")
        if any("::" in argument for argument in config.args):  # some of a test's parameters
            return
        for test, args in named.items():
            if unknown := set(args) - there[test]:
                raise pytest.UsageError(f"{test}: slow_but names {sorted(unknown)}; has {sorted(there[test])}")


def pytest_configure(config: pytest.Config) -> None:
    """Let slow tests be marked."""
    config.pluginmanager.register(Slow(), "slow")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark and settle searches, give each test its limit, and order files for workers: first those that may take longest."""
    for item in items:
        if is_search(item):
            item.add_marker("search")
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
