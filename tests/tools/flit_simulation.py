"""A flit-level simulation of the network on chip, cycle by cycle, to judge the fast model of `host/cost/transit.py` by.

It shares no code with what it judges: of the emulator it knows the PEs' coordinates, and the route tables, which are data. What
it assumes of the chip is what is published (spinnaker2.md 1.6), and no more detail than that:

- routers at the sites of the floor plan; what is routed to and by what table is the caller's (`step`): XY through the holes
  of the floor plan, or a table of `noc/route_tables/`;
- a flit is a whole packet; a link moves one a cycle each way, a port between a PE and its router one each `port_cycles`;
- from one router to the next takes `hop_cycles`, pipelined;
- a router's inputs are first-in-first-out, so only the flit at the head of one may leave. They hold `fifo_flits` (0: without a
  limit); a flit is sent where there is room, which is known again `hop_cycles` - 1 after a flit has left. A PE's own queue has no limit;
- each output takes its inputs in turn (round robin);
- a flit for several destinations leaves copies where routes part, and through up to four ports of a QPE. A copy leaves
  when its own output takes it; the flit makes room when all have left;
- in the holes sit, of each chip, the event router and two DRAM interfaces, which send and take flits like PEs; the event
  router's six links to other chips have a pace and a delay of their own, and its inputs no limit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field

import numba
import numpy as np

from noc.chip import PeId

Site = tuple[int, int]
Step = Callable[[Site, Site], Site]
"""From a site and a destination to the next site."""
SITES = tuple((x, y) for x in range(1, 8) for y in range(1, 7))
ROUTER, DRAMS = ((4, 3), (4, 4)), ((7, 3), (7, 4))
_MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))  # outputs 0 to 3 of a router, 4 to 7 are its own PEs; its inputs are numbered alike
_PORTS = 8
_MOST_DELAY = 256
_MOST_OUTPUTS = 24


def xy(site: Site, to: Site) -> Site:
    """Return the next site of the XY route, x first, which passes holes."""
    if site[0] != to[0]:
        return site[0] + (1 if to[0] > site[0] else -1), site[1]
    return site[0], site[1] + (1 if to[1] > site[1] else -1)


@dataclass
class Result:
    """`cycles` until the last flit had arrived, from cycle 0; flits that each endpoint got; flits over each link of chip 0."""

    cycles: int = 0
    got: Counter[Hashable] = field(default_factory=Counter)
    crossed: Counter[tuple[Site, Site]] = field(default_factory=Counter)


@dataclass(frozen=True)
class Send:
    """`flits` of one message from an endpoint to others, from a cycle on."""

    cycle: int
    source: Hashable
    to: tuple[Hashable, ...]
    flits: int = 1


class Mesh:
    """The network of one chip, or of several: endpoints are PEs, ("router", chip) and ("dram", chip, number).

    `links`: (chip, other chip) -> (cycles a packet, cycles from router to router). Where a message is for other chips its `to` names
    PEs there, and it goes by the shortest way over `links`.
    """

    def __init__(
        self, step: Step = xy, hop_cycles: int = 5, port_cycles: float = 1, *, chips: int = 1,
        dram_cycles: float = 1.5, links: dict[tuple[int, int], tuple[float, int]] | None = None,
    ) -> None:  # fmt: skip
        self._step, self._hop, self._links = step, hop_cycles, links or {}
        self._nodes: dict[tuple[int, Site], int] = {}
        for chip in range(chips):
            for site in SITES:
                # One event router a chip, on two sites. With XY routes holes are routers like any other.
                shared = step is not xy and site == ROUTER[1]
                self._nodes[chip, site] = self._nodes[chip, ROUTER[0]] if shared else len(set(self._nodes.values()))
        self._in: list[tuple[int, int, float]] = []  # node, place among its inputs, cycles between flits
        self._out: list[tuple[int, int, int, int, float]] = []  # node, place among its outputs, input or -1, delay, cycles a flit
        self._between: dict[tuple[tuple[int, Site], tuple[int, Site]], int] = {}
        self._source: dict[Hashable, int] = {}
        self._sink: dict[Hashable, int] = {}
        self._places: Counter[int] = Counter()
        self._limited: list[bool] = []
        for chip in range(chips):
            for site in SITES:
                self._wire(chip, site, port_cycles, dram_cycles)
        for (chip, other), (pace, delay) in self._links.items():
            self._connect((chip, ROUTER[0]), (other, ROUTER[0]), delay, pace, limited=False)
        self._roots: dict[tuple[Hashable, tuple[Hashable, ...]], int] = {}
        self._masks: list[int] = []  # of each branch: the outputs by which copies leave it
        self._children: list[list[int]] = []
        self._sizes: dict[int, int] = {}

    def _wire(self, chip: int, site: Site, port_cycles: float, dram_cycles: float) -> None:
        for number, (dx, dy) in enumerate(_MOVES):
            there = (site[0] + dx, site[1] + dy)
            if there in SITES:
                limited = not (there in ROUTER and self._step is not xy)
                self._connect((chip, site), (chip, there), self._hop, 1.0, limited, place=number)
        if site == ROUTER[0]:
            self._endpoint(("router", chip), (chip, site), 1.0)
        elif site in DRAMS:
            self._endpoint(("dram", chip, DRAMS.index(site)), (chip, site), dram_cycles)
        elif site not in ROUTER:
            for p in range(4):
                self._endpoint(PeId(chip, *site, p), (chip, site), port_cycles, place=4 + p)

    def _place(self, node: int) -> int:
        self._places[node] += 1
        return _PORTS + self._places[node]

    def _connect(self, a, b, delay: int, pace: float, limited: bool, place: int | None = None) -> None:
        from_node, to_node = self._nodes[a], self._nodes[b]
        if from_node == to_node:
            return
        into = self._place(to_node) if place is None or b[1] == ROUTER[1] else place ^ 1
        out = self._place(from_node) if place is None or a[1] == ROUTER[1] else place
        self._in.append((to_node, into, 1.0))
        self._limited.append(limited)
        self._between[a, b] = len(self._out)
        self._out.append((from_node, out, len(self._in) - 1, delay, pace))

    def _endpoint(self, name: Hashable, at: tuple[int, Site], pace: float, place: int = 4) -> None:
        node = self._nodes[at]
        self._source[name], self._sink[name] = len(self._in), len(self._out)
        self._in.append((node, place, pace))
        self._limited.append(False)
        self._out.append((node, place, -1, 0, pace))

    # ---- routes

    def _site(self, name: Hashable) -> tuple[int, Site]:
        if isinstance(name, PeId):
            return name.chip, (name.x, name.y)
        kind, chip, *number = name
        return chip, DRAMS[number[0]] if kind == "dram" else ROUTER[0]

    def _way(self, a: tuple[int, Site], b: tuple[int, Site]) -> list[int]:
        """Return the outputs of the route from one site to another, over event routers where they lie on different chips."""
        (chip, site), (other, to) = a, b
        if chip == other:
            outs = []
            while site != to:
                there = self._step(site, to)
                outs.append(self._between[(chip, site), (chip, there)])
                site = there
            return outs
        hops = {other: [other]}
        for at in (queue := [other]):
            for near, far in self._links:
                if far == at and near not in hops:
                    hops[near] = [near, *hops[at]]
                    queue.append(near)
        chips = hops[chip]
        port = ROUTER[site[1] > 3]
        outs = [] if site in ROUTER else self._way(a, (chip, port))
        outs += [self._between[(n, ROUTER[0]), (m, ROUTER[0])] for n, m in zip(chips, chips[1:], strict=False)]
        return outs + self._way((other, ROUTER[to[1] > 3]), b)

    def _root(self, source: Hashable, to: tuple[Hashable, ...]) -> int:
        """Return where a message's tree of copies begins: a copy is for the destinations of one branch, also where branches meet."""
        key = (source, to)
        if key not in self._roots:
            self._roots[key] = root = self._add_branch()
            for name in to:
                start, end = self._site(source), self._site(name)
                if start[0] == end[0] and start[1] in ROUTER:
                    start = (start[0], ROUTER[end[1][1] > 3])
                at = root
                for out in (*self._way(start, end), self._sink[name]):
                    place = self._out[out][1]
                    if not self._masks[at] & 1 << place:
                        self._masks[at] |= 1 << place
                        self._children[at][place] = self._add_branch()
                    at = self._children[at][place]
        return self._roots[key]

    def _size(self, branch: int) -> int:
        if branch not in self._sizes:
            self._sizes[branch] = 1 + sum(self._size(child) for child in self._children[branch] if child >= 0)
        return self._sizes[branch]

    def _add_branch(self) -> int:
        self._masks.append(0)
        self._children.append([-1] * _MOST_OUTPUTS)
        return len(self._masks) - 1

    # ---- running

    def run(self, sends: Iterable[Send], fifo_flits: int = 0) -> Result:
        """Move all flits to the last, with FIFOs of this depth (0: without a limit); those of one source leave in the order given.

        RuntimeError where flits hold each other up.
        """
        by_source: dict[int, list[Send]] = {}
        for send in sends:
            by_source.setdefault(self._source[send.source], []).append(send)
        first = np.zeros(len(self._in) + 1, np.int64)
        messages = []
        for port in range(len(self._in)):
            for send in by_source.get(port, ()):
                messages.append((send.cycle, self._root(send.source, send.to), send.flits))
            first[port + 1] = len(messages)
        if not messages:
            return Result()
        copies = max(64, sum(count * self._size(root) for _, root, count in messages))
        ins, outs = np.array(self._in), np.array(self._out)
        room = np.array([fifo_flits if fifo_flits and into >= 0 and self._limited[int(into)] else -1 for into in outs[:, 2]])
        crossed, last = _move(
            np.array(messages, np.int64), first, np.array(self._masks), np.array(self._children), ins[:, 0].astype(np.int64), ins[:, 1].astype(np.int64), ins[:, 2],
            outs[:, :4].astype(np.int64), outs[:, 4], room.astype(np.int64), self._hop - 1, copies,
        )  # fmt: skip
        if last < 0:
            raise RuntimeError("flits hold each other up in a circle")
        result = Result(int(last))
        for name, out in self._sink.items():
            if crossed[out]:
                result.got[name] = int(crossed[out])
        for ((chip, a), (other, b)), out in self._between.items():
            if chip == other == 0 and crossed[out]:
                result.crossed[a, b] = int(crossed[out])
        return result


@numba.njit(cache=True)
def _move(messages, first, masks, children, in_node, in_place, in_pace, outs, out_pace, room, credit_cycles, copies):
    """Return flits over each output, and the cycle behind the last that arrived; -1 for that where nothing moves any more."""
    inputs, outputs, nodes = len(in_node), len(outs), in_node.max() + 1
    queue_branch, queue_next = np.zeros(copies, np.int64), np.full(copies, -1, np.int64)
    free = np.arange(copies)
    free_count = copies
    head, tail = np.full(inputs, -1, np.int64), np.full(inputs, -1, np.int64)
    pending, ready = np.zeros(inputs, np.int64), np.zeros(inputs)
    at, left = first[:-1].copy(), np.zeros(inputs, np.int64)
    for port in range(inputs):
        if at[port] < first[port + 1]:
            left[port] = messages[at[port], 2]
    out_free, turn, crossed = np.zeros(outputs), np.zeros(outputs, np.int64), np.zeros(outputs, np.int64)
    wheel, wheel_tail = np.full(_MOST_DELAY, -1, np.int64), np.full(_MOST_DELAY, -1, np.int64)
    wheel_into = np.zeros(copies, np.int64)
    credits = np.zeros((_MOST_DELAY, outputs), np.int64)
    feeds = np.full(inputs, -1, np.int64)
    for out in range(outputs):
        if outs[out, 2] >= 0:
            feeds[outs[out, 2]] = out
    ins_of, outs_of = [np.flatnonzero(in_node == n) for n in range(nodes)], [np.flatnonzero(outs[:, 0] == n) for n in range(nodes)]
    places = _MOST_OUTPUTS
    flying = queued = 0
    waiting = len(messages)
    last = now = idle = 0
    granted = np.zeros(inputs, np.int64)
    while waiting or flying or queued:
        if not flying and not queued:  # on to the next message
            soonest = -1
            for port in range(inputs):
                if at[port] < first[port + 1] and (soonest < 0 or messages[at[port], 0] < soonest):
                    soonest = messages[at[port], 0]
            for cycle in range(min(soonest - now, _MOST_DELAY)):
                slot = (now + cycle) % _MOST_DELAY
                for out in range(outputs):
                    room[out] += credits[slot, out]
                    credits[slot, out] = 0
            now = max(now, soonest)
        slot = now % _MOST_DELAY
        for out in range(outputs):
            if credits[slot, out]:
                room[out] += credits[slot, out]
                credits[slot, out] = 0
        one = wheel[slot]
        while one >= 0:
            after = queue_next[one]
            into = wheel_into[one]
            queue_next[one] = -1
            if head[into] < 0:
                head[into] = one
            else:
                queue_next[tail[into]] = one
            tail[into] = one
            flying -= 1
            queued += 1
            one = after
        wheel[slot] = wheel_tail[slot] = -1
        for port in range(inputs):  # a source's next flit
            if head[port] < 0 and at[port] < first[port + 1] and messages[at[port], 0] <= now and ready[port] <= now:
                free_count -= 1
                one = free[free_count]
                queue_branch[one] = messages[at[port], 1]
                queue_next[one] = -1
                head[port] = tail[port] = one
                queued += 1
                left[port] -= 1
                if left[port] == 0:
                    at[port] += 1
                    waiting -= 1
                    if at[port] < first[port + 1]:
                        left[port] = messages[at[port], 2]
        moved = False
        for node in range(nodes):
            any_head = 0
            for port in ins_of[node]:
                if head[port] >= 0:
                    if pending[port] == 0:
                        pending[port] = masks[queue_branch[head[port]]]
                    any_head |= pending[port]
                granted[port] = 0
            if any_head == 0:
                continue
            for out in outs_of[node]:
                bit = 1 << outs[out, 1]
                if not any_head & bit or out_free[out] > now or room[out] == 0:
                    continue
                best, best_rank = -1, places
                for port in ins_of[node]:
                    if head[port] >= 0 and pending[port] & bit:
                        rank = (in_place[port] - turn[out]) % places
                        if rank < best_rank:
                            best, best_rank = port, rank
                if best < 0:
                    continue
                moved = True
                turn[out] = (in_place[best] + 1) % places
                granted[best] |= bit
                out_free[out] = (out_free[out] if out_free[out] > now - 1 else now) + out_pace[out]
                crossed[out] += 1
                if outs[out, 2] < 0:
                    last = max(last, now + 1)
                else:
                    if room[out] > 0:
                        room[out] -= 1
                    free_count -= 1
                    one = free[free_count]
                    queue_branch[one] = children[queue_branch[head[best]], outs[out, 1]]
                    queue_next[one] = -1
                    wheel_into[one] = outs[out, 2]
                    then = (now + outs[out, 3]) % _MOST_DELAY
                    if wheel[then] < 0:
                        wheel[then] = one
                    else:
                        queue_next[wheel_tail[then]] = one
                    wheel_tail[then] = one
                    flying += 1
            for port in ins_of[node]:
                if granted[port]:
                    pending[port] ^= granted[port]
                    if pending[port] == 0:
                        gone = head[port]
                        head[port] = queue_next[gone]
                        if head[port] < 0:
                            tail[port] = -1
                        free[free_count] = gone
                        free_count += 1
                        queued -= 1
                        if feeds[port] < 0:  # a PE's port has its own pace
                            ready[port] = (ready[port] if ready[port] > now - 1 else now) + in_pace[port]
                        elif room[feeds[port]] >= 0:
                            credits[(now + credit_cycles) % _MOST_DELAY, feeds[port]] += 1
        idle = 0 if moved or flying else idle + 1
        if idle > 2 * _MOST_DELAY:
            return crossed, -1
        now += 1
    return crossed, last
