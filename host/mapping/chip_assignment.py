"""Clustering: which chip each share goes to, so that few packets cross links between chips.

The objective, in this order: packets a position summed over all links, that is, over populations and source chips, the
expected events times the links of the tree to the chips that listen; then packets on the busiest link. The host's chip
is the source of the input and listens to the output. No chip takes more shares than it has usable PEs; chips may stay empty.

All shares of a layer hear the same, so what counts is how many of each kind are on each chip. That is searched: from
several ways of filling chips one by one, moving shares, exchanging them, and exchanging whole chips, for as long as the
sum falls. This finds no proof of the least; never does it do worse than filling chips in order. Everything is integers,
so the answer is the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product

import numpy as np

from host.mapping.expected_traffic import expected_flows, flow_loads
from host.mapping.request import ChipShare, Deal, Share
from models.network import F32, F64, I64, Network
from noc.machine import BOARD_CHIPS, Machine
from noc.multicast_tree import add_multicast

Kind = tuple[int, ...]  # the populations of a share
Move = tuple[int, int, int, int]  # kind of share, from chip, to chip, how many

SEARCHED_CHIPS = BOARD_CHIPS
"""On larger machines the search would take minutes: the best of the ways to fill chips is taken as it is."""
_TRIALS = 40_000  # neighbours looked at in all, to the end of a search: seconds
_DRAWN = 12  # further starts, from a seed, where so many neighbours are not used up
_SCALE = 1_000_000  # rates become whole numbers of millionths, whose sums do not depend on their order


def assign_chips(
    network: Network, machine: Machine, deals: Sequence[Deal], room: Mapping[int, int], rates: Mapping[int, float]
) -> list[ChipShare]:
    """Return the shares of the deal with the fewest packets over links, the first of equals, with their chips in ascending order.

    `deals`: none with more shares than there is room for; `room`: usable PEs of each live chip, ascending by chip; `rates`:
    expected events a unit and position, of each population.
    """
    if len(room) == 1:
        return fill_in_order(deals[0], room)
    candidates = []
    for shares in deals:
        search = _Search(network, machine, shares, room, rates)
        candidates += [fill_in_order(shares, room), *(search.assign(counts) for counts in search.results())]
    return min(candidates, key=lambda on_chips: links_used(network, machine, on_chips, rates))


def fill_in_order(shares: Deal, room: Mapping[int, int]) -> list[ChipShare]:
    """Fill chips one after another in the order of `room` (chip: usable PEs), each with about as many shares."""
    on_chips: list[ChipShare] = []
    later = sum(room.values())
    for number, (chip, most) in enumerate(room.items()):
        later -= most
        left = len(shares) - len(on_chips)
        even = -(-left // (len(room) - number))
        on_chips += [(chip, share) for share in shares[len(on_chips) :][: min(most, max(even, left - later))]]
    return on_chips


def links_used(
    network: Network, machine: Machine, on_chips: Sequence[ChipShare], rates: Mapping[int, float]
) -> tuple[float, float]:
    """Return the objective: events a position summed over all links, and on the busiest one, rates rounded to millionths."""
    loads = flow_loads(machine, expected_flows(network, machine, on_chips), _millionths(rates))
    return float(loads.sum()) / _SCALE, float(loads.max()) / _SCALE


def _millionths(rates: Mapping[int, float]) -> dict[int, float]:
    return {population: float(round(rate * _SCALE)) for population, rate in rates.items()}


class _Search:
    """Numbers of shares of each kind on each chip, (kinds, chips) int64, and what they cost."""

    def __init__(
        self, network: Network, machine: Machine, shares: Sequence[Share], room: Mapping[int, int], rates: Mapping[int, float]
    ) -> None:
        self._machine, self._chips, self._room_of = machine, list(room), room
        self._room = np.array(list(room.values()), np.int64)
        self._shares: dict[Kind, list[Share]] = {}
        for share in shares:
            self._shares.setdefault(tuple(units.population for units in share), []).append(share)
        self._kinds = list(self._shares)
        self._numbers = np.array([len(self._shares[kind]) for kind in self._kinds], np.int64)
        populations, events = len(network.populations), _millionths(rates)
        # Events of each population that a share of each kind sends, on average; and who hears each population.
        self._sends = np.zeros((populations, len(self._kinds)))
        for k, kind in enumerate(self._kinds):
            for population in kind:
                units = sum(len(part.units) for share in self._shares[kind] for part in share if part.population == population)
                self._sends[population, k] = round(events[population] * units / len(self._shares[kind]))
        hears = [set(network.listeners(population)) for population in range(populations)]
        self._hears = np.array([[not hears[p].isdisjoint(kind) for kind in self._kinds] for p in range(populations)])
        self._of_kind = [set(np.flatnonzero(self._hears[:, k]).tolist()) | set(kind) for k, kind in enumerate(self._kinds)]
        self._inputs = {n: events[n] * network.populations[n].units for n in network.inputs}
        self._host, self._outputs = self._chips.index(machine.host_chip), network.outputs
        self._left = _TRIALS
        self._known: dict[bytes, F64] = {}
        if len(self._chips) <= SEARCHED_CHIPS:
            self._on_route = self._routes()

    # ---- what it finds

    def results(self) -> Iterator[I64]:
        """Return the numbers of shares on chips that are worth comparing."""
        if len(self._chips) > SEARCHED_CHIPS:
            yield from self._starts()
            return
        tried = set()
        for start in self._starts():
            if start.tobytes() not in tried and self._left > 0:
                tried.add(start.tobytes())
                yield self._improve(start)

    def assign(self, counts: I64) -> list[ChipShare]:
        """Return chips for the shares, as many of each kind on each chip as `counts` says, those with most units where
        their events have the shortest way.
        """
        chips = len(self._chips)
        ways = [self._links(n, counts) if chips <= SEARCHED_CHIPS else np.zeros(chips) for n in range(len(self._sends))]
        on_chips: list[ChipShare] = []
        for k, kind in enumerate(self._kinds):
            way = sum((self._sends[population, k] * ways[population] for population in kind), np.zeros(chips))
            on = [c for c in np.argsort(way, kind="stable") for _ in range(counts[k, c])]
            shares = sorted(self._shares[kind], key=lambda share: -sum(len(part.units) for part in share))
            on_chips += [(self._chips[c], share) for c, share in zip(on, shares, strict=True)]
        order = {id(share): n for n, share in enumerate(share for kind in self._kinds for share in self._shares[kind])}
        return sorted(on_chips, key=lambda on_chip: (on_chip[0], order[id(on_chip[1])]))

    # ---- where it begins

    def _starts(self) -> Iterator[I64]:
        numbers = list(range(len(self._kinds)))
        yield self._count(fill_in_order([share for kind in self._kinds for share in self._shares[kind]], self._room_of))
        for chips in self._orders():
            for kinds in (numbers, numbers[::-1]):
                yield self._fill(chips, kinds)
        rng = np.random.default_rng(0)
        for _ in range(_DRAWN):
            yield self._fill(rng.permutation(len(self._chips)).tolist(), rng.permutation(numbers).tolist())

    def _orders(self) -> Iterator[list[int]]:
        """Return orders of the chips: by number, and such that those filled early are close together."""
        yield list(range(len(self._chips)))
        if len(self._chips) <= SEARCHED_CHIPS:
            steps = np.array([self._machine.tree(chip).depth[self._chips] for chip in self._chips])
            for first in dict.fromkeys((self._host, int(steps.sum(axis=1).argmin()))):
                chosen, far = [first], steps[first].astype(np.int64)
                while len(chosen) < len(self._chips):
                    far[chosen] = np.iinfo(np.int64).max
                    chosen.append(int(far.argmin()))
                    far[far < np.iinfo(np.int64).max] += steps[chosen[-1]][far < np.iinfo(np.int64).max]
                yield chosen

    def _count(self, on_chips: Sequence[ChipShare]) -> I64:
        counts = np.zeros((len(self._kinds), len(self._chips)), np.int64)
        for chip, share in on_chips:
            counts[self._kinds.index(tuple(units.population for units in share)), self._chips.index(chip)] += 1
        return counts

    def _fill(self, chips: Sequence[int], kinds: Sequence[int]) -> I64:
        counts = np.zeros((len(self._kinds), len(self._chips)), np.int64)
        free, order = self._room.copy(), iter(chips)
        at = next(order)
        for kind in kinds:
            left = int(self._numbers[kind])
            while left:
                while not free[at]:
                    at = next(order)
                here = min(left, int(free[at]))
                counts[kind, at] += here
                free[at] -= here
                left -= here
        return counts

    # ---- how it goes on

    def _improve(self, counts: I64) -> I64:
        """Return the numbers that no neighbour betters, or those reached when all trials are used up."""
        costs, improved = [self._cost(population, counts) for population in range(len(self._sends))], True
        while improved and self._left > 0:
            improved = False
            for exchange in self._exchanges():
                for moves in self._moves(counts, *exchange):
                    if (trial := self._apply(counts, moves)) is None:
                        continue
                    self._left -= 1
                    kinds = {kind for kind, _, _, count in moves if count}
                    changed = {n: self._cost(n, trial) for n in sorted(set().union(*(self._of_kind[k] for k in kinds)))}
                    if sum(changed.values()) < sum(costs[n] for n in changed):
                        improved, counts = True, trial
                        for n, cost in changed.items():
                            costs[n] = cost
        return counts

    def _exchanges(self) -> Iterator[tuple[int | None, int | None, int, int]]:
        """Return (kind, other kind, chip a, chip b) of all neighbours: kind from a to b, other kind back; None, None: everything,
        both ways.
        """
        chips, kinds = range(len(self._chips)), range(len(self._kinds))
        yield from ((None, None, a, b) for a, b in combinations(chips, 2))
        yield from ((k, None, a, b) for k, a, b in product(kinds, chips, chips) if a != b)
        for (k, a), (m, b) in combinations(product(kinds, chips), 2):
            if k != m and a != b:
                yield k, m, a, b

    def _moves(self, counts: I64, kind: int | None, other: int | None, a: int, b: int) -> list[list[Move]]:
        """Return the ways to make an exchange, each as (kind, from, to, how many) of what moves; none where nothing is there."""
        if kind is None:
            return [[(k, c, d, int(n)) for c, d in ((a, b), (b, a)) for k, n in enumerate(counts[:, c]) if n]]
        free_a, free_b = (int(self._room[chip] - counts[:, chip].sum()) for chip in (a, b))
        there = int(counts[kind, a])
        if other is None:
            return [[(kind, a, b, min(there, free_b))]] if there else []
        back = int(counts[other, b])
        if not there or not back:
            return []
        most, most_back = min(there, back + free_b), min(back, there + free_a)
        amounts = ((most, max(0, most - free_b)), (max(0, most_back - free_a), most_back), (min(there, back),) * 2)
        return [[(kind, a, b, x), (other, b, a, y)] for x, y in dict.fromkeys(amounts)]

    def _apply(self, counts: I64, moves: list[Move]) -> I64 | None:
        """Return `counts` after the moves; None where there are none, too few to move or no room."""
        trial = counts.copy()
        for kind, a, b, count in moves:
            trial[kind, a] -= count
            trial[kind, b] += count
        return trial if moves and trial.min() >= 0 and (trial.sum(axis=0) <= self._room).all() else None

    # ---- what it costs

    def _cost(self, population: int, counts: I64) -> float:
        """Return a population's events a position on all links, in millionths: sums of whole numbers below 2**53, so exact."""
        links = self._links(population, counts)
        if population in self._inputs:
            return float(self._inputs[population] * links[self._host])
        return float(self._sends[population] @ counts @ links)

    def _links(self, population: int, counts: I64) -> F64:
        """Return how many links a packet of `population` crosses from each chip, (chips,)."""
        listens = counts[self._hears[population]].any(axis=0)
        if population in self._outputs:
            listens[self._host] = True
        key = listens.tobytes()
        if key not in self._known:
            chips = len(self._chips)
            entered = self._on_route @ listens.astype(np.float32) > 0
            self._known[key] = entered.reshape(chips, chips).sum(axis=1).astype(np.float64)
        return self._known[key]

    def _routes(self) -> F32:
        """Return for each source and chip, (chips * chips, chips), 1 where the route to a third chip enters that chip."""
        chips = len(self._chips)
        index = np.full(self._machine.chips, -1)
        index[self._chips] = range(chips)
        enters = np.zeros((chips, chips, chips), np.float32)
        for s, source in enumerate(self._chips):
            tree = self._machine.tree(source)
            for c, chip in enumerate(self._chips):
                crossed = np.zeros(self._machine.neighbours.shape, bool)
                add_multicast(crossed, True, tree.parent, tree.direction, source, [chip])
                enters[s, index[self._machine.neighbours[crossed]], c] = 1
        return enters.reshape(chips * chips, chips)
