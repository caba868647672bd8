"""`Schedule`: what happens to a pretended run, drawn from a seed and a number; `Stage` plays it, `judge` says what is wrong."""

from __future__ import annotations

import contextlib
import gc
import random
import re
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import host.run.run
from host.errors import Exit
from host.launch.course import Course
from host.launch.run_processes import RunProcesses
from host.mapping.sharding import cut
from host.processes import room
from host.processes.room import resources_available
from host.run.journal import Journal
from host.run.launch_plan import layout_of
from host.run.recorder import Recorder
from host.run.recovery import goes_on
from host.run.run import Run
from host.workloads.lm.options import Options
from host.workloads.registry import prepare
from noc.bad_links import LinkFaults
from noc.packet import HOST
from tests.tools.simulation.loaded import LoadedPes
from tests.tools.simulation.processes import SimulatedGroup
from tests.tools.simulation.world import World
from tests.tools.tiny import WORDS, save_tiny, tiny_network

STALL_S = 3.0
_LONGEST_S = 600.0  # pretended, for a run that ends
_KINDS = ("kill", "stop", "pause")  # that are drawn; "interrupt", of the launcher, is Ctrl-C
_VICTIMS = ("PE", "router", HOST, "the fork server", "the PE server", "the launcher")


@dataclass(frozen=True)
class Strike:
    """One of the kinds above at a pretended second; `share` says which of a kind, `pause_s` for how long it is stopped."""

    at_s: float
    victim: str
    kind: str
    share: float
    pause_s: float


@dataclass(frozen=True)
class Schedule:
    """What happens to one run."""

    seed: int
    number: int
    restart: bool
    chips: int
    delay_s: float
    links: LinkFaults | None
    strikes: tuple[Strike, ...]


def draw(seed: int, number: int) -> Schedule:
    """Return schedule `number` of `seed`."""
    chance = random.Random(f"{seed}:{number}")
    restart, delay_s = chance.random() < 0.7, 10 ** chance.uniform(-4.5, -2.5)
    over_s = 0.37 + 40 * delay_s  # about when a run is
    strikes = []
    for _ in range(chance.choices((0, 1, 2, 3), (1, 5, 3, 1))[0]):
        victim = chance.choices(_VICTIMS, (4, 3, 3, 2, 2, 1 if restart else 0))[0]
        kind = "kill" if victim == "the launcher" else chance.choices(_KINDS, (5, 2, 2))[0]
        at_s = chance.uniform(0.29, over_s) if chance.random() < 0.85 else chance.uniform(0.0, 1.5)
        strikes.append(Strike(at_s, victim, kind, chance.random(), chance.uniform(0.05, 1.0)))
    rates = [chance.choice((0.0, 0.01, 0.03)) for _ in range(4)]
    links = LinkFaults(*rates, number) if chance.random() < 0.4 else None
    return Schedule(
        seed=seed, number=number, restart=restart, chips=chance.choice((1, 1, 2)), delay_s=delay_s, links=links,
        strikes=tuple(sorted(strikes, key=lambda strike: strike.at_s)),
    )  # fmt: skip


class FreshJob(NamedTuple):
    """A prepared job, with what its source and readout were before anything happened."""

    job: Any
    source: bytes
    readout: bytes


class Subject:
    """A small run, which a host of it may begin any number of times. `folder`: where its journal lies; `loaded`: of its PEs."""

    def __init__(self, options: Options, job: FreshJob, folder: Path, loaded: LoadedPes) -> None:
        self.options, self.loaded, self._job, self._folder = options, loaded, job, folder
        self._plan: dict[str, Any] = {}

    def prepare(self, *, resume: bool) -> tuple[Any, Run, Journal | None, dict[str, Any]]:
        """Return what a host process prepares: job, run, journal, and what it tells the launcher."""
        job = replace(self._job.job, options=self.options)
        job.source.restore(self._job.source)
        job.readout.restore(self._job.readout)
        repeatable = self.options.restart
        run = Run(job.placement, job.source, job.readout, repeatable=repeatable, recorder=Recorder(job.placement, self._folder))
        journal = Journal(self._folder, run, {}, job.dram) if repeatable else None
        if resume and journal is not None:
            journal.restore()
        self._plan = self._plan or layout_of(job, run)
        return job, run, journal, {**self._plan, "prepare_s": 0.0, "compile_s": 0.0, "goes_on": goes_on(run.replay)}


@dataclass
class Ending:
    """How a pretended run ended: as its launcher says, who was hit by what, and after how many pretended seconds."""

    code: int
    problem: str
    sha256: str
    struck: list[tuple[str, str]] = field(default_factory=list)
    restarts: list[dict[str, Any]] = field(default_factory=list)
    took_s: float = 0.0
    left: list[str] = field(default_factory=list)


def write_model(folder: Path) -> tuple[Path, Path]:
    """Write a tiny model and a text into a folder; return where they are."""
    checkpoint, text = folder / "tiny.safetensors", folder / "text.txt"
    save_tiny(checkpoint, tiny_network())
    text.write_text(" ".join(f"w{number}" for number in random.Random(5).choices(range(WORDS), k=60)))
    return checkpoint, text


class LauncherKilled(BaseException):
    """The launcher has been killed."""


class Stage:
    """Plays schedules of a small model, `checkpoint` with `text`."""

    def __init__(self, checkpoint: Path, text: Path) -> None:
        self._options = Options(
            checkpoint=str(checkpoint), text=str(text), tokens=6, pes=2, stall_s=STALL_S, restart=True, snapshot=3
        )  # fmt: skip
        self._whole: dict[int, str] = {}
        self._jobs: dict[int, FreshJob] = {}  # by chips
        self._loaded = LoadedPes()

    def whole(self, chips: int) -> str:
        """Return the hash of a run to which nothing happens."""
        if chips not in self._whole:
            quiet = Schedule(seed=0, number=0, restart=False, chips=chips, delay_s=1e-4, links=None, strikes=())
            ending = self.play(quiet)
            assert ending.code == Exit.OK, ending
            self._whole[chips] = ending.sha256
        return self._whole[chips]

    def play(self, schedule: Schedule) -> Ending:
        """Let a schedule happen."""
        faults = replace(self._options.faults, links=schedule.links)
        options = replace(
            self._options, chips=schedule.chips, pes=2 * schedule.chips, restart=schedule.restart, faults=faults,
            snapshot=3 if schedule.restart else 0,
        )  # fmt: skip
        if schedule.chips not in self._jobs:
            made = prepare(options)
            self._jobs[schedule.chips] = FreshJob(made, made.source.snapshot(), made.readout.snapshot())
        job = self._jobs[schedule.chips]
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        with tempfile.TemporaryDirectory(prefix="simulated-", dir=memory) as folder, _work_done_once(), _no_collections():
            try:
                return _Play(schedule, Subject(options, job, Path(folder), self._loaded)).run()
            finally:
                self._loaded.take_back()


@cache
def _resources() -> dict[str, int]:
    return resources_available()


_SHARDS: dict[Any, Any] = {}  # by network and share, with both, so that no others have their places


def _shards(network: Any, request: Any, share: Any) -> Any:
    key = id(network), id(share)
    if key not in _SHARDS:
        _SHARDS[key] = network, share, cut(network, request, share)
    return _SHARDS[key][2]


@contextlib.contextmanager
def _work_done_once() -> Iterator[None]:
    """Let the machine have the room that it had at first, and cut shards once: both cost a tenth of a schedule, each time."""
    with mock.patch.object(room, "resources_available", _resources), mock.patch.object(host.run.run, "cut", _shards):
        yield


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Leave garbage until a schedule has been played, as the processes do."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class _Play:
    """One schedule, as it happens."""

    def __init__(self, schedule: Schedule, subject: Subject) -> None:
        self._schedule, self._subject, self._options = schedule, subject, subject.options
        self._world = World(f"{schedule.seed}:{schedule.number}:world")
        self._struck: list[tuple[str, str]] = []
        self._launcher_is_hit = False
        self._ending = SimpleNamespace(number=0, code=Exit.INTERRUPTED)
        self._begin()
        for strike in schedule.strikes:
            self._world.after(strike.at_s, lambda strike=strike: self._strike(strike))

    def _begin(self) -> None:
        self._group = SimulatedGroup(self._world, self._subject, self._schedule.delay_s)
        self._group.interrupt = self._interrupt

    def _interrupt(self) -> None:
        if self._launcher_is_hit:
            self._launcher_is_hit = False
            raise LauncherKilled
        assert self._world.now() < _LONGEST_S, "no end"

    def _strike(self, strike: Strike) -> None:
        victim, alive = strike.victim, self._group.names()
        if strike.kind == "interrupt":
            self._ending.number = signal.SIGINT
        elif victim == "the launcher":
            self._launcher_is_hit = True
        elif victim in ("PE", "router"):
            names = [name for name in alive if name.startswith(victim)]
            victim = names[int(strike.share * len(names))] if names else ""
        if victim != "the launcher" and not self._group.strike(victim, "kill" if strike.kind == "kill" else "stop"):
            return
        self._struck.append((victim, strike.kind))
        if strike.kind == "pause":
            group = self._group
            self._world.after(strike.pause_s, lambda: self._go_on(group, victim))

    def _go_on(self, group: SimulatedGroup, victim: str) -> None:
        if victim != "the fork server" or group.fork_server == "stopped":
            group.strike(victim, "go on")

    def run(self) -> Ending:
        """Play it to its end, with other launchers where one is killed."""
        resume = False
        while True:
            processes = RunProcesses(
                self._options, lambda *_: None, None, None, group=self._group, clock=self._world  # type: ignore[arg-type]
            )  # fmt: skip
            course = Course(
                self._options, lambda _: None, lambda _: None, processes=processes, clock=self._world,
                ending=self._ending, resume=resume,
            )  # fmt: skip
            try:
                outcome = course.follow()
                break
            except LauncherKilled:
                self._group.kill_all()
                self._begin()
                resume = True
            finally:
                left = self._group.names()
                self._group.kill_all()
        report = outcome.report or {}
        return Ending(
            code=int(outcome.code), problem=outcome.problem or "", sha256=report.get("events", {}).get("sha256", ""),
            struck=self._struck, restarts=report.get("recovery", {}).get("restarts", []), took_s=self._world.now(), left=left,
        )  # fmt: skip


def judge(schedule: Schedule, ending: Ending, whole: str) -> list[str]:
    """Return what a schedule's end has violated: the right hash, or where nothing is replaced the right line."""
    wrong = [f"left: {name}" for name in ending.left]
    if ending.code == Exit.OK:
        return wrong + ([] if ending.sha256 == whole else [f"hash: {ending.sha256}"])
    harmed = [(victim, kind) for victim, kind in ending.struck if kind != "pause"]
    if schedule.restart or not harmed:
        return [*wrong, f"end: {ending.code} {ending.problem}"]
    for victim, kind in ending.struck:
        who = re.escape(victim)
        died = rf"{who} died (while processes were started )?\(SIGKILL\)"
        stalled = rf"stalled: ({who}\b|.*\b{who})"
        if re.match(died if kind == "kill" else stalled, ending.problem):
            code = Exit.DIED if kind == "kill" else Exit.STALLED
            return wrong if ending.code == code else [*wrong, f"code: {ending.code} {ending.problem}"]
    return [*wrong, f"misnamed: {ending.code} {ending.problem}"]
