"""Who of several that died, or stand still, is to blame, and the line that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from host.launch.restarts import FORK_SERVER
from host.processes.fork_environment import LACKS, NO_ROUTER
from host.processes.process_group import ProcessGroup
from host.run.clock import Clock
from noc.packet import HOST, chip_of, router_name

_LOOK_S = 0.05


class Blame(NamedTuple):
    """Which part of a run is to blame, and the line that says so."""

    part: str
    problem: str


def describe_death(
    dead: Callable[[], Sequence[str]], reported: Mapping[str, str], processes: ProcessGroup, status: Mapping[str, Any], *,
    tick: int, within_s: float, clock: Clock,
) -> Blame:  # fmt: skip
    """Return whom to blame of processes that have died, and the line: which, how, in what state and at which tick.

    `dead`: who has died by now. `reported`: how, of those on other machines. A PE whose router is gone follows that one, which
    may be noticed up to `within_s` later; whatever the fork server has made follows that.
    """
    ended = dead()
    # Who has left in order follows a death that was told to him before it was seen here.
    names = [name for name in ended if name in reported or not processes.has_left(name)] or ended
    name = next((n for n in names if not _is_host_or_router(n)), names[0])
    how = reported.get(name) or processes.describe_end(name)
    if how == LACKS[NO_ROUTER]:
        deadline = clock.now() + within_s
        while not (routers := [n for n in dead() if n != HOST and _is_host_or_router(n)]) and clock.now() < deadline:
            clock.sleep(_LOOK_S)
        if routers:
            name, how = routers[0], reported.get(routers[0]) or processes.describe_end(routers[0])
    phase = status.get("phase", "starting")
    if not how:
        end = processes.fork_server_end()
        where = f"while {phase.upper()}, at tick {tick}"
        return Blame(FORK_SERVER, f"{FORK_SERVER} died ({end}), and every process here with it, {where}")
    state = "RUNNING" if phase == "running" else status.get("states", {}).get(name, phase.upper())
    more = f"; {len(names) - 1} more died" if len(names) > 1 else ""
    return Blame(name, f"{name} died ({how}) while {state}, at tick {tick}{more}")


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
