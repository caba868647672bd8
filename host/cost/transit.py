"""How long messages are under way on a mesh beyond their sending: a closed form, held against a flit simulation (docs/noc.md).

    time = max(sender, sender - tail + hops, first + busy) + q min(sender, busy)

- `sender`: how long the PE that sends longest takes for its messages; `first`: how long until its first flit for its own chip
  leaves, after what it writes for others; `tail`: how long after the last one it waits;
- `busy`: the longest of three. A link: its flits, and what of them wait because heads of queues hold each other up
  (`noc_blocking_share`). The way through a link into a port behind it: a flit that leaves there holds the link's end for as long as
  the port takes. A PE's port itself;
- `hops`: to the farthest listener;
- q (`transit_exposed_share`): how much of the shorter of the two the longer does not hide.

A port takes a flit in `port_flit_cycles` of the PE's clock, a link one each cycle of the NoC's. Which routes the tables hold is not
published: the time is that of the balanced ones and that of the nearest, weighted by `nearest_routes_share`. All of this was set
with simulated traffic, nothing of it with published times.
"""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.exchanges import Exchanges
from host.cost.mesh_paths import Crossings
from host.cost.noc_traffic import NocTraffic
from models.network import F64, I64
from noc.chip import ChipSpec


def port_noc_cycles(chip: ChipSpec, table: CostTable) -> float:
    """Return the NoC cycles that a flit takes through a PE's port: a link's cycle at least."""
    return max(1.0, table["port_flit_cycles"] * chip.noc_clock_hz / chip.pe_clock_hz)


def first_flit_s(noc: NocTraffic, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long after a PE begins to send its first flit for its own chip leaves, (positions, layers' exchanges)."""
    by_core = table["packet_setup_cycles"] + table["packet_cycles"]
    messages, exchanges = table.settings["messages"], noc.exchanges
    first = np.full((len(noc.flits), len(exchanges.layers)), float(chip.dma_setup_cycles) if messages == "dma" else by_core)
    if messages != "multicast" and noc.outgoing.any():
        for column, number in enumerate(exchanges.layers.tolist()):
            written = noc.outgoing[:, noc.turn_exchange == number].max(axis=1, initial=0)
            first[:, column] += (written > 0) * table["packet_setup_cycles"] + written * table["packet_cycles"]
    return np.asarray(first / chip.pe_clock_hz, np.float64)


def tail_s(chip: ChipSpec, table: CostTable) -> float:
    """Return how long a PE waits after its last flit has left: a DMA engine's message ends with an interrupt."""
    return table["dma_wait_noc_cycles"] / chip.noc_clock_hz if table.settings["messages"] == "dma" else 0.0


class Peaks:
    """The largest loads of what crosses links, (tables, ..., links), reckoned once for each pace of ports."""

    def __init__(self, crossed: Crossings, port_flits: I64) -> None:
        """`port_flits` (...) are those of the busiest port."""
        self._crossed, self._port_flits = crossed, port_flits
        self._links = crossed.loads.max(axis=-1, initial=0)
        self._ways: dict[float, F64] = {}

    def busy_s(self, chip: ChipSpec, table: CostTable) -> F64:
        """Return how long the busiest link, way into a port, or port is busy, (tables, ...)."""
        port = port_noc_cycles(chip, table)
        links = (1 + table["noc_blocking_share"]) * self._links
        busiest = np.maximum(links, self._ways_at(port)) if port > 1 else links
        return np.asarray(np.maximum(busiest, port * self._port_flits) / chip.noc_clock_hz, np.float64)

    def _ways_at(self, port: float) -> F64:
        if port not in self._ways:
            loads, ends = self._crossed
            used = np.flatnonzero(ends.any(axis=tuple(range(ends.ndim - 1))))
            if not len(used):
                return np.zeros(self._links.shape)
            loads, ends = loads[..., used], ends[..., used]
            self._ways[port] = (loads + (port - 1) * ends).max(axis=-1)
        return self._ways[port]


def mixed(by_table: F64, table: CostTable) -> F64:
    """Return what is between the two route tables, (...), of (tables, ...); at an end of a band whichever of its ends is lower, or
    higher: multicast may be slower by the balanced one.
    """
    balanced, nearest = by_table
    share = table.constants["nearest_routes_share"]
    if table.end:
        choose = np.minimum if table.end == "low" else np.maximum
        return np.asarray(choose(*(balanced + end * (nearest - balanced) for end in (share.low, share.high))), np.float64)
    return np.asarray(balanced + share.value * (nearest - balanced), np.float64)


def exposed_s(sender_s: F64, mesh_s: F64, latency_s: F64, first_s: F64, tail: float, q: float) -> F64:
    """Return how long messages are under way when their sender is done; nothing where there are none."""
    over = np.maximum(np.maximum(latency_s - tail, 0), first_s * (mesh_s > 0) + mesh_s - sender_s)
    return np.asarray(over + q * np.minimum(sender_s, mesh_s), np.float64)


def layers_busy_s(noc: NocTraffic, chip: ChipSpec, table: CostTable, with_input: bool) -> F64:
    """Return how long meshes are busy while a layer's messages are under way, (tables, positions, layers' exchanges).

    Layers that run side by side share them with all that is sent in the same tick; `with_input`, what inputs bring in then, too.
    """
    exchanges, pipelined = noc.exchanges, table.settings["schedule"] == "pipelined" and len(noc.flits) > 0
    key = pipelined and (with_input,)
    if key not in noc.peaks:
        crossed = Crossings(noc.loads_by_table, noc.ends_by_table)
        if pipelined:
            by_tick = Crossings(*(np.stack([exchanges.sum_by_tick(part, with_input) for part in one]) for one in crossed))
            noc.peaks[key] = Peaks(by_tick, exchanges.sum_by_tick(noc.all_ports, with_input))
        else:
            noc.peaks[key] = Peaks(Crossings(*(one[:, :, exchanges.layers] for one in crossed)), noc.ports)
    busy_s = noc.peaks[key].busy_s(chip, table)
    return np.stack([exchanges.of_positions(part, len(noc.flits)) for part in busy_s]) if pipelined else busy_s


def transit_s(noc: NocTraffic, sender_s: F64, chip: ChipSpec, table: CostTable, with_input: bool) -> tuple[F64, F64]:
    """Return how long a layer's messages are under way on meshes when their sender is done, and how long meshes and sender take
    together, (positions, layers' exchanges) each; `sender_s` likewise.
    """
    mesh_s = layers_busy_s(noc, chip, table, with_input)
    latency_s = (noc.hops[:, None, noc.exchanges.layers] * chip.hop_cycles) / chip.noc_clock_hz
    first_s, q = first_flit_s(noc, chip, table), table["transit_exposed_share"]
    over_s = mixed(exposed_s(sender_s, mesh_s, latency_s, first_s, tail_s(chip, table), q), table)
    return over_s, np.maximum(sender_s, mixed(mesh_s, table))


def inputs_s(noc: NocTraffic, exchanges: Exchanges, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long each input is on the meshes of chips that it reaches over links, (positions, inputs)."""
    inputs = exchanges.inputs
    crossed = Crossings(noc.loads_by_table[:, :, inputs], noc.ends_by_table[:, :, inputs])
    latency_s = noc.hops[:, None, inputs] * chip.hop_cycles / chip.noc_clock_hz
    return mixed(Peaks(crossed, noc.all_ports[:, inputs]).busy_s(chip, table) + latency_s, table)
