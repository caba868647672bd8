"""Clustering: which chip each share goes to, so that few packets cross links between chips.

The objective, in this order: packets a position summed over all links, that is, over populations and source chips, the
expected events times the links of the tree to the chips that listen; then packets on the busiest link. The host's chip
is the source of the input and listens to the output. No chip takes more shares than it has usable PEs; chips may stay empty.

All shares of a layer hear the same, so what counts is how many of each kind are on each chip. That is searched: from
several ways of filling chips one by one, moving shares, exchanging them, and exchanging whole chips, for as long as the
sum falls. This finds no proof of the least; never does it do worse than filling chips in order. Everything is integers,
so the answer is the same on every machine.

Not known here: how shares were dealt, which PE of its chip a share runs on, and what a link costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np

from host.mapping.expected_traffic import Seat, flows_of, loads_of
from host.mapping.sharding import Request, Share, holds, uniform
from models.network import F32, F64, I64, Network
from noc.machine import BOARD_CHIPS, Machine
from noc.packet import INPUT_POPULATION

Kind = tuple[int, ...]  # the populations of a share

SEARCHED_CHIPS = BOARD_CHIPS
"""On larger machines the search would take minutes: the best of the ways to fill chips is taken as it is."""
_TRIALS = 40_000  # neighbours looked at in all, to the end of a search: seconds
_DRAWN = 12  # further starts, from a seed, where so many neighbours are not used up
_SCALE = 1_000_000  # rates become whole numbers of millionths, whose sums do not depend on their order


def in_order(shares: Sequence[Share], room: Mapping[int, int]) -> list[Seat]:
    """Fill chips one after another in the order of `room` (chip: usable PEs), each with about as many shares."""
    seats: list[Seat] = []
    later = sum(room.values())
    for number, (chip, most) in enumerate(room.items()):
        later -= most
        left = len(shares) - len(seats)
        even = -(-left // (len(room) - number))
        seats += [(chip, share) for share in shares[len(seats) :][: min(most, max(even, left - later))]]
    return seats


def seated(
    mapping: str,
    network: Network,
    request: Request,
    machine: Machine,
    room: Mapping[int, int],
    shares: Sequence[Share],
    rates: Mapping[int, float],
) -> list[Seat]:
    """Return the seats of `shares` under `mapping`: in order, but for `clustered`, which also tries shares dealt as `uniform` does
    and takes those where fewer packets cross links.
    """
    if mapping != "clustered" or len(room) == 1:
        return in_order(shares, room)
    seats = clustered_seats(network, machine, shares, room, rates)
    same_number = replace(request, pes=len(shares))
    others = clustered_seats(network, machine, uniform(network, same_number), room, rates)
    fewer = links_used(network, machine, others, rates) < links_used(network, machine, seats, rates)
    return others if fewer and holds(network, same_number, "uniform") else seats


def clustered_seats(
    network: Network, machine: Machine, shares: Sequence[Share], room: Mapping[int, int], rates: Mapping[int, float]
) -> list[Seat]:
    """Return a seat for each share, in ascending order of the chips.

    Args:
        network: what the shares are of.
        machine: the chips and routes.
        shares: as dealt; not more than there is room for.
        room: usable PEs of each live chip, ascending by chip.
        rates: expected events a unit and position, of each population.

    """
    seats = in_order(shares, room)
    if len(room) == 1:
        return seats
    search = _Search(network, machine, shares, room, rates)
    found = [seats, *(search.seats(counts) for counts in search.found())]
    return min(found, key=lambda seats: links_used(network, machine, seats, rates))  # the first of equals


def links_used(network: Network, machine: Machine, seats: Sequence[Seat], rates: Mapping[int, float]) -> tuple[float, float]:
    """Return the objective: events a position summed over all links, and on the busiest one, rates rounded to millionths."""
    loads = loads_of(machine, flows_of(network, machine, seats), _whole(rates))
    return float(loads.sum()) / _SCALE, float(loads.max()) / _SCALE


def _whole(rates: Mapping[int, float]) -> dict[int, float]:
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
            self._shares.setdefault(tuple(part.population for part in share), []).append(share)
        self._kinds = list(self._shares)
        self._numbers = np.array([len(self._shares[kind]) for kind in self._kinds], np.int64)
        populations, whole = len(network.populations), _whole(rates)
        # Events of each population that a share of each kind sends, on average; and who hears each population.
        self._sends = np.zeros((populations, len(self._kinds)))
        for k, kind in enumerate(self._kinds):
            for population in kind:
                units = sum(len(part.units) for share in self._shares[kind] for part in share if part.population == population)
                self._sends[population, k] = round(whole[population] * units / len(self._shares[kind]))
        hears = [set(network.listeners(population)) for population in range(populations)]
        self._hears = np.array([[not hears[p].isdisjoint(kind) for kind in self._kinds] for p in range(populations)])
        self._of_kind = [set(np.flatnonzero(self._hears[:, k]).tolist()) | set(kind) for k, kind in enumerate(self._kinds)]
        self._input = whole[INPUT_POPULATION] * network.populations[INPUT_POPULATION].units
        self._host, self._output = self._chips.index(machine.host_chip), network.output
        self._left = _TRIALS
        self._known: dict[bytes, F64] = {}
        if len(self._chips) <= SEARCHED_CHIPS:
            self._on_route = self._routes()

    # ---- what it finds

    def found(self) -> Iterator[I64]:
        """Return the numbers of shares on chips that are worth comparing."""
        if len(self._chips) > SEARCHED_CHIPS:
            yield from self._starts()
            return
        known = set()
        for start in self._starts():
            if start.tobytes() not in known and self._left > 0:
                known.add(start.tobytes())
                yield self._improved(start)

    def seats(self, counts: I64) -> list[Seat]:
        """Return seats for the shares, as many of each kind on each chip as `counts` says, those with most units where
        their events have the shortest way.
        """
        chips = len(self._chips)
        searched = chips <= SEARCHED_CHIPS
        ways = [self._links(n, counts) if searched else np.zeros(chips) for n in range(len(self._sends))]
        seats: list[Seat] = []
        for k, kind in enumerate(self._kinds):
            way = sum((self._sends[population, k] * ways[population] for population in kind), np.zeros(chips))
            on = [c for c in np.argsort(way, kind="stable") for _ in range(counts[k, c])]
            shares = sorted(self._shares[kind], key=lambda share: -sum(len(part.units) for part in share))
            seats += [(self._chips[c], share) for c, share in zip(on, shares, strict=True)]
        order = {id(share): n for n, share in enumerate(share for kind in self._kinds for share in self._shares[kind])}
        return sorted(seats, key=lambda seat: (seat[0], order[id(seat[1])]))

    # ---- where it begins

    def _starts(self) -> Iterator[I64]:
        numbers = list(range(len(self._kinds)))
        yield self._counted(in_order([share for kind in self._kinds for share in self._shares[kind]], self._room_of))
        for chips in self._orders():
            for kinds in (numbers, numbers[::-1]):
                yield self._filled(chips, kinds)
        rng = np.random.default_rng(0)
        for _ in range(_DRAWN):
            yield self._filled(rng.permutation(len(self._chips)).tolist(), rng.permutation(numbers).tolist())

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

    def _counted(self, seats: Sequence[Seat]) -> I64:
        counts = np.zeros((len(self._kinds), len(self._chips)), np.int64)
        for chip, share in seats:
            counts[self._kinds.index(tuple(part.population for part in share)), self._chips.index(chip)] += 1
        return counts

    def _filled(self, chips: Sequence[int], kinds: Sequence[int]) -> I64:
        counts = np.zeros((len(self._kinds), len(self._chips)), np.int64)
        free = self._room.copy()
        order = iter(chips)
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

    def _improved(self, counts: I64) -> I64:
        costs, improved = [self._cost(population, counts) for population in range(len(self._sends))], True
        while improved and self._left > 0:
            improved = False
            for trial, kinds in self._trials(counts):
                self._left -= 1
                changed = {n: self._cost(n, trial) for n in sorted(set().union(*(self._of_kind[k] for k in kinds)))}
                if sum(changed.values()) < sum(costs[n] for n in changed):
                    improved = True
                    counts[:] = trial  # seen by the trials that follow
                    for n, cost in changed.items():
                        costs[n] = cost
        return counts

    def _trials(self, counts: I64) -> Iterator[tuple[I64, set[int]]]:
        """Return neighbours of `counts`, which may change on the way, and the kinds that are elsewhere in them."""
        chips, kinds = range(len(self._chips)), range(len(self._kinds))
        for a, b in combinations(chips, 2):
            moves = [(k, a, b, counts[k, a]) for k in kinds] + [(k, b, a, counts[k, b]) for k in kinds]
            yield from self._allowed(counts, [move for move in moves if move[-1]])
        for k, a, b in product(kinds, chips, chips):
            if a != b and counts[k, a]:
                yield from self._allowed(counts, [(k, a, b, min(counts[k, a], self._room[b] - counts[:, b].sum()))])
        for (k, a), (m, b) in combinations(product(kinds, chips), 2):
            if k != m and a != b and counts[k, a] and counts[m, b]:
                one, other = int(counts[k, a]), int(counts[m, b])
                free_a, free_b = (int(self._room[chip] - counts[:, chip].sum()) for chip in (a, b))
                there, back = min(one, other + free_b), min(other, one + free_a)
                most = ((there, max(0, there - free_b)), (max(0, back - free_a), back), (min(one, other),) * 2)
                for x, y in dict.fromkeys(most):
                    yield from self._allowed(counts, [(k, a, b, x), (m, b, a, y)])

    def _allowed(self, counts: I64, moves: list[tuple[int, int, int, int]]) -> Iterator[tuple[I64, set[int]]]:
        """Return `counts` after (kind, from, to, how many), if that is any, and there are as many and there is room."""
        trial = counts.copy()
        for kind, a, b, count in moves:
            trial[kind, a] -= count
            trial[kind, b] += count
        if moves and trial.min() >= 0 and (trial.sum(axis=0) <= self._room).all():
            yield trial, {kind for kind, _, _, count in moves if count}

    # ---- what it costs

    def _cost(self, population: int, counts: I64) -> float:
        """Return a population's events a position on all links, in millionths: sums of whole numbers below 2**53, so exact."""
        links = self._links(population, counts)
        if population == INPUT_POPULATION:
            return float(self._input * links[self._host])
        return float(self._sends[population] @ counts @ links)

    def _links(self, population: int, counts: I64) -> F64:
        """Return how many links a packet of `population` crosses from each chip, (chips,)."""
        listens = counts[self._hears[population]].any(axis=0)
        if population == self._output:
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
        out = np.zeros((chips, chips, chips), np.float32)
        for s, source in enumerate(self._chips):
            tree = self._machine.tree(source)
            for chip in sorted(self._chips, key=lambda chip: int(tree.depth[chip]))[1:]:
                out[s, :, index[chip]] = out[s, :, index[tree.parent[chip]]]
                out[s, index[chip], index[chip]] = 1
        return out.reshape(chips * chips, chips)
