"""`Trial`: who is hit, by what signal, at which moment; drawn from a seed and a number."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

SIGNALS = ("SIGKILL", "SIGSEGV", "SIGSTOP", "SIGTERM", "SIGINT", "STOP-CONT")
_WEIGHTS = (6, 2, 6, 2, 2, 2)
_ENDS = (6, 2, 6, 0, 0, 0)  # of a run that replaces whoever is hit: only what ends a process, or stops it for good

# A moment is what the subject says of its life (`subject.py`); who lives then can be hit. `start PE` is the start of a drawn one.
_FEW, _HOST = ("launcher", "fork server"), ("launcher", "fork server", "host")
_ROUTER, _ALL = (*_HOST, "router"), (*_HOST, "router", "PE server", "PE")
_LIVES = {
    "forked": _FEW, "starting host": _FEW, "start host": _HOST, "mapped": _HOST, "start router": _ROUTER,
    "starting PE": _ROUTER, "start PE": _ALL, "routed": _ROUTER, "loading": _ALL, "running": _ALL, "tick": _ALL, "reading": _ALL,
    "report": _ALL, "stop": _ALL, "end": _ALL, "ended": ("launcher",),
}  # fmt: skip
_OF_CLUSTER = {
    "mapped": ("worker",), "attended": ("worker", "agent"), "loading": ("worker", "agent"), "running": ("worker", "agent"),
    "tick": ("worker", "agent"), "report": ("worker", "agent"), "stop": ("worker", "agent"), "end": ("worker", "agent"),
}  # fmt: skip
_SESSION = ("launcher", "helper", "fork server", "router", "PE server", "PE")
_OF_PROGRAM = {  # what a Python program sees of a run by its helper, and of a session
    "run": {
        "helper": ("launcher", "helper"), "starting": ("launcher", "helper", "fork server", "host"),
        "loading": ("launcher", "helper", *_ALL[1:]), "tick": ("launcher", "helper", *_ALL[1:]), "outcome": ("launcher", "helper"),
    },
    "session": {"helper": ("launcher", "helper"), "routers": _SESSION[:4], "open": _SESSION, "step": _SESSION, "close": _SESSION},
}  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """A way to run: `stall_s` is the run's own bound on standing still."""

    name: str
    stall_s: float
    weight: int
    program: str = ""  # "run" or "session" of the Python face; "" for launch.py
    cluster: bool = False


SETUPS = {
    setup.name: setup
    for setup in (
        Setup("tiny", 3.0, 10), Setup("chips", 3.0, 4), Setup("cluster", 3.0, 3, cluster=True), Setup("run", 3.0, 2, program="run"),
        Setup("session", 3.0, 2, program="session"), Setup("full", 5.0, 0),
    )
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One signal: `delay_s` after the moment, 0: before the subject goes on from it; `pause_s` before SIGCONT, if there is one."""

    number: int
    setup: str
    moment: str
    victim: str
    signal: str
    delay_s: float
    pause_s: float
    share: float  # of a run's ticks, or of its PEs, where the moment is one of many; and which process of a kind
    restart: bool = False  # the run has --restart; a launcher that is killed is gone on for with --resume

    def record(self) -> dict[str, Any]:
        """Return the trial as the log has it."""
        return asdict(self)


def draw(seed: int, number: int, setups: tuple[str, ...] = (), *, restart: bool = False) -> Trial:
    """Return trial `number` of `seed`, of one of `setups` (all but the full model where none is named).

    `restart`: of a run with --restart, which `launch.py` has.
    """
    chance = random.Random(f"{seed}:{number}:{','.join(setups)}")
    names = [name for name in setups or SETUPS if not (restart and SETUPS[name].program)]
    setup = SETUPS[chance.choices(names, [SETUPS[name].weight or (name in setups) for name in names])[0]]
    lives = moments_of(setup)
    moment = chance.choice(sorted(lives))
    victim = chance.choice(lives[moment])
    signal = chance.choices(SIGNALS, _ENDS if restart else _WEIGHTS)[0]
    if victim == "launcher" and signal == "SIGSTOP":  # nobody is left who could end a program that is stopped for good
        signal = "SIGKILL" if restart else "STOP-CONT"
    delay_s = chance.choice((0.0, 0.0, chance.uniform(0.0, 0.05), chance.uniform(0.0, 0.5)))
    return Trial(
        number=number, setup=setup.name, moment=moment, victim=victim, signal=signal, delay_s=round(delay_s, 4),
        pause_s=round(chance.uniform(0.2, 1.2), 2), share=round(chance.random(), 3),
        restart=restart,
    )  # fmt: skip


def moments_of(setup: Setup) -> dict[str, tuple[str, ...]]:
    """Return who can be hit at each moment of a run of this kind."""
    if setup.program:
        return dict(_OF_PROGRAM[setup.program])
    lives = dict(_LIVES)
    if not setup.cluster:
        return lives
    lives = {moment: who for moment, who in lives.items() if moment not in ("start router", "start PE", "starting PE")}
    return {moment: lives.get(moment, ()) + _OF_CLUSTER.get(moment, ()) for moment in {**lives, **_OF_CLUSTER}}
