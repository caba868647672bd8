"""`bench.peers`: every engine that is installed carries the exchange whole, and nothing of any trial is left behind."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.peers import engines, trial
from bench.peers.exchange import EVENT, UNITS, Part, Report, Size, WrongEventsError, events_due
from bench.peers.padded import Padding
from bench.peers.stub_shard import Parrot
from noc.packet import VALID, Bundle, Section
from noc.wire import decode, encode
from pe.tick import NOT_MINE
from tests.tools.grids import some

ROOT = Path(__file__).resolve().parent.parent
SIZE = Size(3, 5, 2)


MARK = "GENNAKER_TEST_OF_PEERS"


def processes_of(mark):
    """Return the command lines of what runs with `mark` in its environment: another bench may run on the same machine."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(" ".join(process.cmdline()))
    return found


@pytest.fixture(autouse=True)
def mark(monkeypatch):
    """Mark what a test starts, and see to it that nothing of that is left at its end."""
    text = secrets.token_hex(8)
    monkeypatch.setenv(MARK, text)
    before = set(folders())
    yield text
    assert not processes_of(text)
    assert not [path for path in set(folders()) - before if not psutil.pid_exists(int(path.name.split("-")[1]))]


def folders():
    """Return the folders of trials, which are named after their keepers."""
    return [path for base in ("/tmp", "/dev/shm") for path in Path(base).glob("peers-*-*")]


def test_there_are_engines():
    assert {"gennaker", "pipes", "queues", "ray", "mpi"} <= set(engines.names())


@pytest.mark.wide
@pytest.mark.slow_but("gennaker")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", some(engines.names(), ("gennaker", "zeromq").__contains__))
def test_an_engine_carries_every_event_to_every_process(name):
    try:
        assert engines.named(name).version()
    except engines.NotInstalledError as error:
        pytest.skip(f"{engines.named(name).NAME}: {error}")
    figures = trial.run(name, SIZE, 100)
    assert figures.events == events_due(SIZE)
    assert 0 < figures.tick_s < figures.ready_s
    assert figures.uss_bytes > 1 << 20


def test_a_process_that_hears_something_else_says_so():
    part = Part(1, SIZE)
    part.hear(part.run(0))
    with pytest.raises(WrongEventsError, match="process 1 at tick 1: heard"):
        part.hear(part.run(0))  # the same tick again
    with pytest.raises(WrongEventsError):
        part.hear(part.run(1)[:-8])  # one event lacks


def said_to_parrots(ticks):
    """Let a parrot hear the ticks' events, each as a bundle; return it, its part and what it answered."""
    part = Part(1, SIZE)
    parrot = Parrot(part, 0, UNITS * SIZE.processes)
    parrot.tick.run(True)
    answers = []
    for tick, events in enumerate(ticks):
        records = np.frombuffer(events, EVENT)
        section = Section(0, VALID, tick, records["key"].tobytes(), records["value"].tobytes(), b"")
        answers.append(parrot.tick(encode(Bundle(tick, (section,)))))
    return parrot, part, answers


def test_our_own_compiled_process_says_what_is_due_and_hears_all():
    part = Part(1, SIZE)
    due = [part.run(tick) for tick in range(SIZE.all_ticks)]
    before_s = time.monotonic()
    parrot, part, answers = said_to_parrots([*due, due[0]])
    parrot.tell()
    for tick, answer in enumerate(answers[:-1], 1):
        (section,) = decode(answer).sections
        records = np.frombuffer(part.batch(tick), EVENT)
        assert (section.keys, section.values) == (records["key"].tobytes(), records["value"].tobytes())
    assert answers[-1] == NOT_MINE  # all has been heard: the next one goes to Python
    report = part.report()
    assert report.events == sum(len(run) for run in due) // EVENT.itemsize
    assert before_s <= report.first_s <= report.laps_s[0] <= report.laps_s[-1] <= time.monotonic()
    assert len(report.laps_s) == SIZE.ticks + 1  # laps of one tick each


@pytest.mark.parametrize(
    "spoil",
    [
        lambda run: run[:-8],  # one lost
        lambda run: run + run[-8:],  # one twice
        lambda run: run[8:16] + run[:8] + run[16:],  # two swapped
        lambda run: run[:4] + b"\0\0\0\0" + run[8:],  # another value
        lambda run: Part(1, SIZE).run(0),  # the tick before
        lambda run: b"",
    ],
)
def test_our_own_compiled_process_finds_what_is_wrong(spoil):
    part = Part(1, SIZE)
    parrot, _, answers = said_to_parrots([part.run(0), spoil(part.run(1)), part.run(2)])
    assert answers[2] == NOT_MINE
    with pytest.raises(WrongEventsError, match="process 1 at tick 1: heard"):
        parrot.tell()


def test_batches_in_order_of_rank_are_the_population():
    parts = [Part(rank, SIZE) for rank in range(SIZE.processes)]
    padding = Padding(SIZE.processes)
    for tick in range(SIZE.all_ticks):
        batches = [part.batch(tick) for part in parts]
        assert all(40 <= len(batch) <= 160 for batch in batches)
        assert b"".join(batches) == parts[0].run(tick)
        records = []
        for batch in batches:
            padding.fill(batch)
            records.append(padding.own.copy())
        padding.everybody[:] = [byte for record in records for byte in record]
        assert padding.run() == parts[0].run(tick)


def test_figures_are_of_the_median_lap_and_the_last_process():
    size = Size(2, 10, 5)
    first = Report(0, 7, 11.0, [20.0, 20.2, 20.4, 24.0, 24.2, 24.4], 100)
    second = Report(1, 8, 12.0, [20.1, 20.3, 20.5, 24.1, 24.3, 24.5], 300)
    figures = trial.figures(size, 10.0, [first, second])
    assert figures.tick_s == pytest.approx(0.1)
    assert (figures.ready_s, figures.uss_bytes, figures.events) == (2.0, 200, 15)


HANGING = """
import multiprocessing, os, subprocess, sys, time
NAME = "hanging"
def version(): return "1"
def play(size, scratch):
    # A daemon that leaves the session and its parent, as engines have them.
    leave = "import os, time; os.fork() and os._exit(0); os.setsid(); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", leave])
    (scratch / "socket").write_text("")
    semaphore = multiprocessing.get_context("spawn").Semaphore()  # has a name in shared memory, unlike a fork's
    open(SEMAPHORE, "w").write(semaphore._semlock.name)
    time.sleep(600)
"""


@pytest.fixture
def hanging(tmp_path, monkeypatch):
    """Put an engine that hangs beside the others, for this process and those it starts."""
    semaphore = tmp_path / "semaphore"
    (tmp_path / "hanging.py").write_text(HANGING.replace("SEMAPHORE", repr(str(semaphore))))
    (tmp_path / "sitecustomize.py").write_text(
        f"import bench.peers.engines\nbench.peers.engines.__path__.append({str(tmp_path)!r})\n"
    )
    monkeypatch.setattr(engines, "__path__", [*engines.__path__, str(tmp_path)])
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{ROOT}")
    yield "hanging"
    sys.modules.pop("bench.peers.engines.hanging", None)
    if semaphore.exists():  # a starved machine may not have come so far in the time that a test gives
        assert not Path("/dev/shm", f"sem.{semaphore.read_text().lstrip('/')}").exists()


@pytest.mark.wide
@pytest.mark.timeout(60)
def test_an_engine_that_hangs_is_ended_with_all_it_started(hanging):
    with pytest.raises(trial.TrialError, match=r"not through after 2 s; [1-9] processes ended"):
        trial.run(hanging, SIZE, 2)


@pytest.mark.wide
@pytest.mark.slow_but("9")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_bench_is_stopped(hanging, how, mark, tmp_path):
    command = [sys.executable, "-m", "bench.peers", "--engines", hanging, "--processes", "3", "--limit", "60"]
    bench = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "semaphore").exists():
        assert bench.poll() is None
        time.sleep(0.05)
    bench.send_signal(how)
    assert bench.wait(20) == (-how if how == signal.SIGKILL else 128 + how)
    while processes_of(mark):  # after SIGKILL the keeper is on its own
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_the_command_prints_a_table_and_a_sweep():
    command = [
        sys.executable,
        "-m",
        "bench.peers",
        "--engines",
        "gennaker,pipes",
        "--processes",
        "4",
        "--ticks",
        "5",
        "--sweep",
        "2",
    ]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in told.splitlines() if line.startswith(("gennaker", "mp.Pipe"))]
    assert len(rows) == 4  # two tables
    ours = next(row for row in rows if row[0] == "gennaker")
    assert ours[6:9] == ["1.0", "1.0", "1.0"]
    assert json.loads(ours[2]) > 0
