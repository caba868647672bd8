"""A flit-level simulation of the mesh, cycle by cycle, to judge the fast model of `host/cost/price.py` by.

It shares no code with what it judges: of the emulator it knows only the PEs' coordinates. What it assumes of the chip
is what is published (spinnaker2.md 1.6), and no more detail than that:

- routers at the sites of the 7 x 6 grid, XY routes with x first, which may pass the holes of the floor plan;
- a flit is a whole packet; a link, and a port between a PE and its router, moves one a cycle each way;
- from one router to the next takes `hop_cycles`, pipelined;
- a router's inputs are first-in-first-out without a limit, so only the flit at the head of an input may leave;
- each output takes its inputs in turn (round robin);
- a flit for several destinations leaves copies where routes part, and through up to four ports of a QPE. A copy leaves
  when its own output takes it; the flit makes room when all have left.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from noc.chip import PeId

Site = tuple[int, int]
_MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))  # outputs 0 to 3; 4 to 7 are the QPE's own PEs
_INPUTS = 8  # the same numbers: input i of a router comes from the neighbour at _MOVES[i], or from PE i - 4


@dataclass
class Flit:
    """One flit: where to, and (at the head of an input) which outputs still have to take which destinations."""

    to: tuple[PeId, ...]
    waiting: dict[int, tuple[PeId, ...]] | None = None


@dataclass
class Result:
    """`cycles` until the last flit had arrived, from cycle 0; flits that each PE got; flits over each link."""

    cycles: int = 0
    got: Counter[PeId] = field(default_factory=Counter)
    crossed: Counter[tuple[Site, Site]] = field(default_factory=Counter)


def simulate(sends: Iterable[tuple[int, PeId, tuple[PeId, ...]]], hop_cycles: int = 5) -> Result:
    """Move flits, each (cycle from which its PE may inject it, source, destinations), in the order given, to the last."""
    arrivals: defaultdict[int, list[tuple[Site, int, Flit]]] = defaultdict(list)
    for cycle, source, to in sends:
        arrivals[cycle].append(((source.x, source.y), 4 + source.p, Flit(to)))
    inputs: defaultdict[Site, list[deque[Flit]]] = defaultdict(lambda: [deque() for _ in range(_INPUTS)])
    turn: defaultdict[tuple[Site, int], int] = defaultdict(int)
    result, busy, now = Result(), set(), 0
    while arrivals or busy:
        now = now if busy else max(now, min(arrivals))
        for site, port, flit in arrivals.pop(now, ()):
            inputs[site][port].append(flit)
            busy.add(site)
        for site in list(busy):
            queues = inputs[site]
            wants: defaultdict[int, list[int]] = defaultdict(list)
            for port, queue in enumerate(queues):
                if queue:
                    for output in _waiting(queue[0], site):
                        wants[output].append(port)
            for output, ports in wants.items():
                port = min(ports, key=lambda p: (p - turn[site, output]) % _INPUTS)
                turn[site, output] = (port + 1) % _INPUTS
                flit = queues[port][0]
                to = flit.waiting.pop(output)
                if output < 4:
                    dx, dy = _MOVES[output]
                    there = (site[0] + dx, site[1] + dy)
                    result.crossed[site, there] += 1
                    arrivals[now + hop_cycles].append((there, output ^ 1, Flit(to)))
                else:
                    result.got[to[0]] += 1
                    result.cycles = max(result.cycles, now + 1)
                if not flit.waiting:
                    queues[port].popleft()
            if not any(queues):
                busy.discard(site)
        now += 1
    return result


def _waiting(flit: Flit, site: Site) -> dict[int, tuple[PeId, ...]]:
    """Return which destinations of the flit at the head of an input leave by which output."""
    if flit.waiting is None:
        parts: defaultdict[int, list[PeId]] = defaultdict(list)
        for pe in flit.to:
            if pe.x != site[0]:
                parts[0 if pe.x > site[0] else 1].append(pe)
            elif pe.y != site[1]:
                parts[2 if pe.y > site[1] else 3].append(pe)
            else:
                parts[4 + pe.p].append(pe)
        flit.waiting = {output: tuple(to) for output, to in parts.items()}
    return flit.waiting


def message_sends(
    flits: Iterable[tuple[PeId, tuple[PeId, ...], int]], mode: str, every: int = 0
) -> list[tuple[int, PeId, tuple[PeId, ...]]]:
    """Return what the PEs inject for their messages (source, destinations, flits) in a message mode.

    `every`: cycles from one message's start to the next one's from the same PE; 0 hands everything over at once.
    """
    sends = []
    for source, to, count in flits:
        if mode == "multicast":
            targets = [to]
        elif mode == "qpe":
            sites = dict.fromkeys((pe.x, pe.y) for pe in to)
            targets = [tuple(pe for pe in to if (pe.x, pe.y) == site) for site in sites]
        else:
            targets = [(pe,) for pe in to]
        sends += [(number * every, source, target) for number, target in enumerate(targets) if target for _ in range(count)]
    return sends
