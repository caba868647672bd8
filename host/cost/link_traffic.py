"""What a run puts on the links between chips: exact counts, from a ledger's events and placement.

At a position, the senders of a layer on one chip make one stream: its events, a packet each, and one packet that says
"done", because listeners wait for it (as in `multicast` on a chip; one a chip, not one a sender, is assumed). A stream goes
along the source chip's tree (`noc/machine.py`) to every chip where the layer is heard, and crosses each link once.

Everything here is an exact integer, but on machines of more than `EXACT_CHIPS` chips: there the trees of a sample of the source
chips stand for all, evenly spaced, and `LinkTraffic.sampled` says which share. What it does not know: time and energy
(`host/cost/link_cost.py`), and the chips' meshes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import gcd

import numpy as np

from host.cost.chip_streams import ChipStreams, chip_streams
from host.cost.ledger import Ledger
from models.network import I64, Array
from noc.chip import ChipSpec
from noc.machine import DIRECTIONS, ChipLink, Machine

_WAYS = len(DIRECTIONS)
_FEW_CHIPS = 144  # up to here a compiler takes longer to load than it saves
EXACT_CHIPS = 5_760
"""Chips up to which every source's tree is walked: the work grows with their square, and 34,560 chips take minutes."""
_SOURCES = 1_000  # of a layer, beyond that


@dataclass(frozen=True)
class LinkTraffic:
    """Packets on the links that any are on. Layer 0 stands for the input.

    `events` (positions, layers + 1, links) packets that hold an event; `dones` (layers + 1, links) packets that say "done",
    at every position; `cables` (links,) whether a link leaves its board; `deepest` (layers + 1,) links of the longest route
    and `deepest_cables` (layers + 1,) the most cables of any route; 0 where nothing leaves its chip. `sampled`: the share of
    source chips that the rest was reckoned from, 1 where all is exact.
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
        """All packets, (positions, layers + 1, links)."""
        return np.asarray(self.events + self.dones, np.int64)


def machine_for(ledger: Ledger, chip: ChipSpec) -> Machine:
    """Return the machine that a run had, without what `chip` lists as down beside; MachineError where that cuts a chip off."""
    downs = {chip_down for chip_down in chip.down_chips if chip_down < ledger.chips}
    links = {link for link in chip.down_links if link[0] < ledger.chips}
    return _machine(ledger.chips, frozenset(ledger.down_chips) | downs, frozenset(ledger.down_links) | links)


@lru_cache(8)
def _machine(chips: int, down_chips: frozenset[int], down_links: frozenset[tuple[int, int]]) -> Machine:
    return Machine(chips, down_chips, sorted(down_links))


def link_packets(ledger: Ledger, machine: Machine) -> tuple[tuple[ChipLink, ...], I64]:
    """Return the links that events cross, by chip and direction, and the copies of events on each.

    The second is (positions, layers + 1, links); layer 0 is the input. Their sums over positions and layers are what the
    routers of a run count.
    """
    found = link_traffic(chip_streams(ledger, machine), machine)
    used = np.flatnonzero(found.events.any(axis=(0, 1)))
    return tuple(found.links[link] for link in used.tolist()), found.events[:, :, used]


def link_traffic(between: ChipStreams, machine: Machine, most: int | None = None) -> LinkTraffic:
    """Return what the streams `between` chips put on the links of `machine`.

    `most`: about how many source chips of a layer to walk the trees of; None: all, or a sample on very large machines.
    """
    positions, layers, chips = between.emitted.shape
    loads = np.zeros((layers, chips * _WAYS, positions + 1), np.int64)
    deepest, deepest_cables = np.zeros(layers, np.int64), np.zeros(layers, np.int64)
    most = most or (chips if chips <= EXACT_CHIPS else _SOURCES)
    walked = there = 0
    if machine.chips > 1:
        cables = _cables(machine)
        for n in range(layers):
            # The last number of each row is the stream itself, which carries one "done".
            amounts = np.concatenate([between.emitted[:, n], np.ones((1, chips), np.int64)]).T
            sources = np.flatnonzero(between.leaves[n])
            some = sources[:: _stride(len(sources), most)]
            loads[n], deepest[n], deepest_cables[n] = _over_trees(machine, cables, some, between.wanted[n], amounts)
            if len(some) < len(sources):
                more = amounts[sources].sum(axis=0) / np.maximum(amounts[some].sum(axis=0), 1)
                loads[n] = np.rint(loads[n] * more)
            walked, there = walked + len(some), there + len(sources)
    used = np.flatnonzero(loads[:, :, -1].any(axis=0))
    links = tuple(ChipLink(link // _WAYS, link % _WAYS, int(machine.neighbours.flat[link])) for link in used.tolist())
    leaving = np.array([machine.is_cable(link.chip, link.direction) for link in links], bool)
    events = np.ascontiguousarray(np.moveaxis(loads[:, used, :-1], 2, 0))
    return LinkTraffic(links, events, loads[:, used, -1], leaving, deepest, deepest_cables, walked / there if there else 1.0)


def _stride(sources: int, most: int) -> int:
    """Return every how many sources to take one. A tree's choice among routes of one length turns with the chip's number modulo
    6, so a stride that shares a factor with 6 would favour some.
    """
    stride = max(1, sources // most)
    return stride + next(more for more in range(6) if gcd(stride + more, _WAYS) == 1)


@lru_cache(8)
def _cables(machine: Machine) -> Array:
    """Return which links leave their board, (chips, 6) bool."""
    cables = np.zeros(machine.neighbours.shape, bool)
    for link in machine.links:
        cables[link.chip, link.direction] = machine.is_cable(link.chip, link.direction)
    return cables


def cables_of(machine: Machine) -> int:
    """Return how many directed links leave their board."""
    return int(_cables(machine).sum())


def _over_trees(machine: Machine, cables: Array, sources: I64, wanted: Array, amounts: I64) -> tuple[I64, int, int]:
    """Return (chips * 6, amounts) sums over the trees of `sources`, each cut back to the chips `wanted`; and the longest route
    and the most cables of any.

    `amounts` (chips, amounts): what a chip's stream adds to each link that it crosses.
    """
    if machine.chips > _FEW_CHIPS:
        from host.cost import link_trees  # compiled

        return link_trees.over_trees(machine.neighbours, machine.rank, cables, sources, wanted, amounts)
    loads = np.zeros((machine.chips * _WAYS, amounts.shape[1]), np.int64)
    deepest = most = 0
    for source in sources.tolist():
        parent, direction, depth = machine.tree(source)
        crossed, over = wanted.copy(), np.zeros(machine.chips, np.int64)
        crossed[source] = False
        for hops in range(1, int(depth.max()) + 1):
            at = np.flatnonzero(depth == hops)
            over[at] = over[parent[at]] + cables[parent[at], direction[at]]
        for hops in range(int(depth.max()), 1, -1):
            crossed[parent[crossed & (depth == hops)]] = True
        at = np.flatnonzero(crossed)
        loads[parent[at] * _WAYS + direction[at]] += amounts[source]
        deepest, most = max(deepest, int(depth[at].max(initial=0))), max(most, int(over[at].max(initial=0)))
    return loads, deepest, most
