"""What a run puts on the links between chips: exact counts, from a ledger's events and placement.

In each exchange, a population's senders on one chip make one stream: its events, a packet each, and one packet that says
"done", because listeners wait for it (as in `multicast` on a chip; one a chip, not one a sender, is assumed). A stream goes
along the source chip's tree (`noc/machine.py`) to every chip where the population is heard, and crosses each link once.

Everything here is an exact integer, but on machines of more than `EXACT_CHIPS` chips: there the trees of a sample of the source
chips stand for all, evenly spaced, and `LinkTraffic.sampled` says which share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from math import gcd

import numpy as np

from host.cost.chip_streams import ChipStreams
from host.cost.ledger import RunLedger
from host.cost.transfer_moves import Crossing
from models.network import I64, Array
from noc.chip import ChipSpec
from noc.machine import DIRECTIONS, ChipLink, Machine, shared_machine
from noc.multicast_tree import Tree, add_multicast, add_multicasts

_FEW_CHIPS = 144  # up to here Python walks the trees
EXACT_CHIPS = 5_760
"""Chips up to which every source's tree is walked: the work grows with their square, and 34,560 chips take minutes."""
_SOURCES = 1_000  # of an exchange, beyond that


@dataclass(frozen=True)
class LinkTraffic:
    """Packets on the links that any are on, by the exchanges of a ledger (`host/cost/exchanges.py`).

    `events` (positions, exchanges, links) packets that hold an event or a part of a transfer; `dones` (exchanges, links) packets
    that say "done", at every position; `cables` (links,) whether a link leaves its board; `deepest` (exchanges,) links of
    the longest route and `deepest_cables` (exchanges,) the most cables of any route; 0 where nothing leaves its chip. `sampled`:
    the share of source chips that the rest was reckoned from, 1 where all is exact.
    """

    links: tuple[ChipLink, ...]
    events: I64
    dones: I64
    cables: Array
    deepest: I64
    deepest_cables: I64
    sampled: float = 1.0

    @property
    def packets(self) -> I64:
        """All packets, (positions, exchanges, links)."""
        return np.asarray(self.events + self.dones, np.int64)

    def loads(self) -> LinkLoads:
        """Return the packets of all positions."""
        return LinkLoads(
            links=self.links, cables=self.cables, packets=np.asarray(self.packets.sum(axis=(0, 1)), np.int64),
            deepest=int(self.deepest.max(initial=0)), sampled=self.sampled,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LinkLoads:
    """Packets on links over a run: `packets` (links,), and of `LinkTraffic` `cables` (links,), the longest route of all and the
    share of source chips.
    """

    links: tuple[ChipLink, ...]
    cables: Array
    packets: I64
    deepest: int
    sampled: float

    def plus(self, other: LinkLoads) -> LinkLoads:
        """Return the sum of two parts of a run; links in the order of a machine's."""
        if self.links == other.links:
            return replace(self, packets=self.packets + other.packets, deepest=max(self.deepest, other.deepest))
        cables: dict[ChipLink, bool] = {}
        packets = Counter[ChipLink]()
        for one in (self, other):
            cables |= zip(one.links, one.cables.tolist(), strict=True)
            packets.update(dict(zip(one.links, one.packets.tolist(), strict=True)))
        links = tuple(sorted(cables))
        return LinkLoads(
            links=links, cables=np.array([cables[link] for link in links], bool),
            packets=np.array([packets[link] for link in links], np.int64), deepest=max(self.deepest, other.deepest),
            sampled=self.sampled,
        )  # fmt: skip


def machine_for(run: RunLedger, chip: ChipSpec) -> Machine:
    """Return the machine that a run had, without what `chip` lists as down beside; MachineError where that cuts a chip off."""
    down_chips = frozenset(run.down_chips) | {number for number in chip.down_chips if number < run.chips}
    down_links = frozenset(run.down_links) | {link for link in chip.down_links if link[0] < run.chips}
    return shared_machine(run.chips, down_chips, down_links)


def link_traffic(
    between: ChipStreams, machine: Machine, most: int | None = None, crossings: Iterable[Crossing] = ()
) -> LinkTraffic:
    """Return what the streams `between` chips, and `crossings` of transfers, put on the links of `machine`.

    `most`: about how many source chips of an exchange to walk the trees of; None: all, or a sample on very large machines.
    """
    positions, exchanges, chips = between.emitted.shape
    # The last number of each link is its streams themselves, each of which carries one "done".
    loads = np.zeros((exchanges, *machine.neighbours.shape, positions + 1), np.int64)
    longest = np.zeros((exchanges, 2), np.int64)
    most = most or (chips if chips <= EXACT_CHIPS else _SOURCES)
    walked_sources = all_sources = 0
    tree_of: Callable[[int], Tree] = machine.tree
    add_one = add_multicast
    if machine.chips > _FEW_CHIPS:
        from host.cost import link_trees  # loads the compiler, which takes longer than it saves on few chips

        tree_of, add_one = partial(link_trees.compiled_tree, machine), link_trees.compiled_add_multicast
    for n in range(exchanges):
        amounts = np.concatenate([between.emitted[:, n], np.ones((1, chips), np.int64)]).T
        sources, listeners = np.flatnonzero(between.leaves[n]), np.flatnonzero(between.listening[n])
        walked = sources[:: _stride(len(sources), most)]
        longest[n] = add_multicasts(loads[n], tree_of, walked.tolist(), listeners, amounts[walked], add_one)
        if len(walked) < len(sources):
            loads[n] = np.rint(loads[n] * (amounts[sources].sum(axis=0) / np.maximum(amounts[walked].sum(axis=0), 1)))
        walked_sources, all_sources = walked_sources + len(walked), all_sources + len(sources)
    for n, source, to, packets in crossings:
        route = machine.route(source, to)
        for link in route:
            loads[n, link.chip, link.direction, :-1] += packets
        cables = sum(machine.is_cable(link.chip, link.direction) for link in route)
        longest[n] = np.maximum(longest[n], [len(route), cables])
    used: Array = np.any(loads, axis=(0, 3))
    return LinkTraffic(
        links=tuple(link for link in machine.links if used[link.chip, link.direction]), cables=machine.cables[used],
        events=np.ascontiguousarray(np.moveaxis(loads[:, used, :-1], 2, 0)), dones=loads[:, used, -1],
        deepest=longest[:, 0], deepest_cables=longest[:, 1], sampled=walked_sources / all_sources if all_sources else 1.0,
    )  # fmt: skip


def _stride(sources: int, most: int) -> int:
    """Return every how many sources to take one. A tree's choice among routes of one length turns with the chip's number modulo
    6, so a stride that shares a factor with 6 would favour some.
    """
    stride = max(1, sources // most)
    return stride + next(more for more in range(6) if gcd(stride + more, len(DIRECTIONS)) == 1)
