"""Who of several that died, or stand still, is to blame, and the line that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from host.processes.fork_environment import LACKS, NO_ROUTER
from host.processes.process_group import FORK_SERVER, PE_SERVER, End, ProcessGroup
from host.run.clock import Clock
from noc.packet import HOST, chip_of, router_name

_LOOK_S = 0.05
_TAKE_OTHERS = (FORK_SERVER, PE_SERVER)  # with them, when they die; on another machine its title follows


class Blame(NamedTuple):
    """Which part of a run is to blame, and the line that says so."""

    part: str
    problem: str


def describe_death(
    dead: Callable[[], Sequence[str]], reported: Mapping[str, str], processes: ProcessGroup, status: Mapping[str, Any], *,
    tick: int, within_s: float, clock: Clock,
) -> Blame:  # fmt: skip
    """Return whom to blame of processes that have died, and the line: which, how, in what state and at which tick; `dead`,
    `reported` and `within_s` as of `cause_of_death`.
    """
    end, more = cause_of_death(dead, reported, processes, within_s=within_s, clock=clock)
    phase = status.get("phase", "starting")
    state = "RUNNING" if phase == "running" else status.get("states", {}).get(end.who, phase.upper())
    return Blame(end.who, death_line(end, f"while {state}, at tick {tick}") + (f"; {more} more died" if more else ""))


def death_line(end: End, when: str) -> str:
    """Return the line on a death."""
    if not end.who.startswith(_TAKE_OTHERS):
        return f"{end.who} died ({end.how}) {when}"
    whoever, where = "PE" if end.who.startswith(PE_SERVER) else "process", "here" if end.who in _TAKE_OTHERS else "there"
    return f"{end.who} died ({end.how}), and every {whoever} {where} with it, {when}"


def cause_of_death(
    dead: Callable[[], Sequence[str]], reported: Mapping[str, str], processes: ProcessGroup, *, within_s: float, clock: Clock
) -> tuple[End, int]:
    """Return whose death explains those of others, and how many of them have died on their own.

    `dead`: who has died by now. `reported`: how, of those on other machines. A PE whose router is gone follows that one, which
    may be noticed up to `within_s` later; whatever the fork server or the PE server has made follows that.
    """

    def end_of(name: str) -> End:
        return End(name, reported[name]) if name in reported else processes.end_of(name)

    ended = dead()
    # Who has left in order follows a death that was told to him before it was seen here.
    names = [name for name in ended if name in reported or not processes.has_left(name)] or ended
    servers = [name for who in _TAKE_OTHERS for name in names if name.startswith(who)]
    end = end_of(next((n for n in (*servers, *names) if not _is_host_or_router(n)), names[0]))
    if end.how == LACKS[NO_ROUTER]:
        deadline = clock.now() + within_s
        while not (routers := [n for n in dead() if n != HOST and _is_host_or_router(n)]) and clock.now() < deadline:
            clock.sleep(_LOOK_S)
        if routers:
            end = end_of(routers[0])
    others = [name for name in names if name != end.who and not name.startswith(_TAKE_OTHERS)]
    return end, 0 if end.who.startswith(_TAKE_OTHERS) else len(others)


def blame_stopped(problem: str, processes: ProcessGroup) -> Blame:
    """Return whom to blame for a standstill: the host's line, behind who is stopped where it names others: it knows who is silent
    alone.
    """
    stopped, words = processes.stopped(), problem.split()
    named = words[1].rstrip(",") if words[1:] else ""
    if not stopped or any(name in problem for name in stopped):
        return Blame(next((name for name in stopped if name in problem), named), problem)
    return Blame(stopped[0], f"stalled: {', '.join(stopped[:3])} stopped; {problem.removeprefix('stalled: ')}")


def _is_host_or_router(name: str) -> bool:
    return name == HOST or name == router_name(chip_of(name))
