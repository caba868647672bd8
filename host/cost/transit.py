"""How long messages are under way on a mesh beyond their sending: a closed form, held against a flit simulation (docs/noc.md).

    time = max(sender, sender - tail + hops, first + busy + mean hops) + q min(sender, busy)

- `sender`: how long the PE that sends longest takes for its messages; `first`: how long until its first flit for its own chip
  leaves, after what it writes for others; `tail`: how long after the last one it waits;
- `busy`: the busiest link or port of a PE, stretched by what routers' inputs wait for each other (`head_waits.py`), and by FIFOs
  that are full (`noc_blocking_flits` by their depth);
- `hops`: to the farthest listener; their mean lies around the busiest link. Where copies spread, the busiest place is a port
  at the end;
- q (`transit_exposed_share`): how much of the shorter of the two the longer does not hide.

What goes to other chips is a third party: it is written, crosses links (`link_cost.py`) and two meshes, while the rest is sent.
The form has an error of its own: all of an exchange takes `noc_form_ratio` of what it says, but no less than its sender.

A port takes a flit in `port_flit_cycles` of the PE's clock, a link one each cycle of the NoC's. Which routes the tables hold is not
published: the time is that of the balanced ones and that of the nearest, weighted by `nearest_routes_share`. All of this was set
with simulated traffic, nothing of it with published times.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.head_waits import busy_cycles
from host.cost.mesh_paths import TABLES
from host.cost.noc_traffic import NocTraffic
from host.cost.placement_waits import PlacementWaits
from host.cost.router_flows import PortPairs
from models.network import F64
from noc.chip import ChipSpec

_AT_ONCE = 64  # positions whose transfers' ways are in memory at a time


class Transit(NamedTuple):
    """(positions, layers' exchanges) each, of what stays on its chip and what leaves it: `under_way_s`, how long messages are under
    way on meshes when their sender is done; `together_s`, how long meshes and sender take; `written_s`, when the last packet for
    other chips is written, and `away_s`, how long its ways on both chips' meshes take.
    """

    under_way_s: F64
    together_s: F64
    written_s: F64
    away_s: F64


def port_noc_cycles(chip: ChipSpec, table: CostTable) -> float:
    """Return the NoC cycles that a flit takes through a PE's port: a link's cycle at least."""
    return max(1.0, table["port_flit_cycles"] * chip.noc_clock_hz / chip.pe_clock_hz)


def blocked(cycles: F64, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long a mesh is busy, whose FIFOs fill up, if it is busy for `cycles` with FIFOs without a limit."""
    return np.asarray(cycles * (1 + table["noc_blocking_flits"] / max(1.0, chip.noc_fifo_flits)), np.float64)


def pairs_cycles(pairs: PortPairs, port: float) -> tuple[F64, F64]:
    """Return how long a mesh is busy with what goes from port to port, (tables, ...) of `pairs`, and how long it would be without
    waits.
    """
    rows = np.atleast_2d(np.concatenate([pairs.flits, pairs.following], axis=-1))
    kinds, kind = np.unique(rows, axis=0, return_inverse=True)
    ends = pairs.starts.tobytes(), pairs.goals.tobytes()
    parts = [_busy_cycles(*ends, kinds[at : at + _AT_ONCE].tobytes(), port) for at in range(0, len(kinds), _AT_ONCE)]
    both = (np.concatenate(one)[kind.ravel()].T for one in zip(*parts, strict=True))
    longest, least = (one.reshape(len(TABLES), *pairs.flits.shape[:-1]) for one in both)
    return longest, least


@lru_cache(maxsize=256)
def _busy_cycles(starts: bytes, goals: bytes, rows: bytes, port: float) -> tuple[F64, F64]:
    """Return `busy_cycles` of the rows of `pairs_cycles`: parts of a run and its constants ask for the same ones again."""
    first, last = (np.frombuffer(one, np.int64).reshape(-1, 2) for one in (starts, goals))
    flits, following = np.split(np.frombuffer(rows, np.int64).reshape(-1, 2 * len(first)), 2, axis=1)
    flows, trains = PortPairs(first, last, flits, following).flows()
    return busy_cycles(flows, port, copies=False, trains=trains)


def written_s(noc: NocTraffic, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long the PEs that send write packets for other chips before their messages for their own, (positions, layers'
    exchanges).
    """
    written = np.zeros((len(noc.flits), len(noc.exchanges.layers)))
    if table.settings["messages"] != "multicast" and noc.outgoing.any():
        for column, number in enumerate(noc.exchanges.layers.tolist()):
            packets = noc.outgoing[:, noc.turn_exchange == number].max(axis=1, initial=0)
            written[:, column] = (packets > 0) * table["packet_setup_cycles"] + packets * table["packet_cycles"]
    return written / chip.pe_clock_hz


def first_flit_s(chip: ChipSpec, table: CostTable) -> float:
    """Return how long a PE takes until the first flit of a message leaves."""
    by_core = table["packet_setup_cycles"] + table["packet_cycles"]
    return (float(chip.dma_setup_cycles) if table.settings["messages"] == "dma" else by_core) / chip.pe_clock_hz


def tail_s(chip: ChipSpec, table: CostTable) -> float:
    """Return how long a PE waits after its last flit has left: a DMA engine's message ends with an interrupt."""
    return table["dma_wait_noc_cycles"] / chip.noc_clock_hz if table.settings["messages"] == "dma" else 0.0


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


def layers_busy_s(noc: NocTraffic, waits: PlacementWaits, chip: ChipSpec, table: CostTable, with_input: bool) -> F64:
    """Return how long meshes are busy while a layer's messages are under way, (tables, positions, layers' exchanges).

    Layers that run side by side share them with all that is sent in the same tick; `with_input`, what inputs bring in then, too.
    """
    exchanges, pipelined = noc.exchanges, table.settings["schedule"] == "pipelined" and len(noc.flits) > 0
    key = pipelined and with_input, pipelined
    if key not in noc.peaks:
        if pipelined:
            by_tick = [exchanges.sum_by_tick(loads, with_input).max(axis=-1, initial=0) for loads in noc.loads_by_table]
            links = np.stack([exchanges.of_positions(peaks, len(noc.flits)) for peaks in by_tick])
            noc.peaks[key] = links, exchanges.of_positions(exchanges.sum_by_tick(noc.all_ports, with_input), len(noc.flits))
        else:
            noc.peaks[key] = noc.loads_by_table[:, :, exchanges.layers].max(axis=-1, initial=0), noc.ports
    port = port_noc_cycles(chip, table)
    stretch = waits.stretch(port, pipelined, with_input)[:, None, exchanges.layers]
    links, ports = noc.peaks[key]
    cycles = np.maximum(links, port * ports) * stretch
    if noc.transfers is not None:
        cycles = cycles + _transfer_waits(noc, port)[:, :, exchanges.layers]
    return blocked(cycles, chip, table) / chip.noc_clock_hz


def _transfer_waits(noc: NocTraffic, port: float) -> F64:
    """Return the cycles that transfers wait for each other, (tables, positions, exchanges)."""
    key = "transfers", port
    if key not in noc.peaks:
        waited = np.zeros((len(TABLES), len(noc.flits), len(noc.exchanges)))
        for (exchange, _), pairs in noc.transfers.pairs.items() if noc.transfers else ():
            longest, least = pairs_cycles(pairs, port)
            waited[:, :, exchange] = np.maximum(waited[:, :, exchange], longest - least)
        noc.peaks[key] = waited
    return np.asarray(noc.peaks[key], np.float64)


def transit(noc: NocTraffic, waits: PlacementWaits, sender_s: F64, chip: ChipSpec, table: CostTable, with_input: bool) -> Transit:
    """Return how long a layer's messages are under way; `sender_s` (positions, layers' exchanges) is how long the PE that
    sends longest takes.
    """
    layers, hop_s, q = noc.exchanges.layers, chip.hop_cycles / chip.noc_clock_hz, table["transit_exposed_share"]
    mesh_s, before_s = layers_busy_s(noc, waits, chip, table, with_input), written_s(noc, chip, table)
    latency_s = np.maximum(noc.hops[:, None, layers] * hop_s - tail_s(chip, table), 0)
    over_s = (before_s + first_flit_s(chip, table) + noc.mean_hops[:, None, layers] * hop_s + mesh_s) * (mesh_s > 0) - sender_s
    under_way_s = mixed(np.maximum(latency_s, over_s) + q * np.minimum(sender_s, mesh_s), table)
    # Copies go to all chips at once, and transfers may be sent last.
    written = before_s if noc.transfers is None and table.settings["messages"] != "multicast" else sender_s
    away_s = mixed(np.broadcast_to(noc.hops_away[:, None, layers] * hop_s, mesh_s.shape), table)
    return Transit(under_way_s, np.maximum(sender_s, mixed(mesh_s, table)), written, away_s)


def form_error_s(sender_s: F64, after_s: F64, table: CostTable) -> F64:
    """Return how much longer an exchange takes than the closed form says, or less: of one whose sender takes `sender_s`, and in
    which messages are under way for `after_s` more. No message, no error; and it takes as long as its sender at least.
    """
    error_s = np.maximum((table["noc_form_ratio"] - 1) * (sender_s + after_s), -after_s)
    return np.where(after_s > 0, error_s, 0.0)


def inputs_s(noc: NocTraffic, waits: PlacementWaits, link_busy_s: F64, chip: ChipSpec, table: CostTable) -> F64:
    """Return how long each input takes to all PEs of chips that it reaches over links, (positions, inputs), beside its way over
    these: as long as the busiest link, for `link_busy_s` likewise, or mesh, and the way on the mesh.
    """
    exchanges = noc.exchanges
    inputs, port = exchanges.inputs, port_noc_cycles(chip, table)
    links = noc.loads_by_table[:, :, inputs].max(axis=-1, initial=0)
    cycles = np.maximum(links, port * noc.all_ports[:, inputs]) * waits.stretch(port, False, False)[:, None, inputs]
    latency_s = noc.hops_away[:, None, inputs] * chip.hop_cycles / chip.noc_clock_hz
    return mixed(np.maximum(blocked(cycles, chip, table) / chip.noc_clock_hz, link_busy_s) + latency_s, table)
