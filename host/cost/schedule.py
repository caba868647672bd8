"""Third pass of a price: cycles become seconds on the critical PE of each layer, and layers follow the price's schedule.

With several chips a layer's events also take links, until the last of them has arrived on the last chip: all chips wait
for that. The input waits in the host chip's DRAM and crosses links before the first layer begins; with `dram=prefetched`
it does so unseen.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger
from host.cost.link_cost import LinkCost
from host.cost.moves import Moves
from models.network import F64, I64, Array
from noc.chip import ChipSpec


@dataclass(frozen=True)
class Schedule:
    """When layers begin, wait, compute and send, in seconds; `time_s` is the whole run.

    (positions, layers) each: `began_s` when a layer began a position, `wait_s` how long it waited for its input (DRAM, and
    the way to other chips), `transit_s` and then `links_s` how long its messages were under way on meshes and over links,
    `layer_s` how long all that took, and `critical`, its slowest shard. `input_links_s` (positions,) is what of `wait_s` was
    the input's way to other chips; `busy_s` (PEs,) how long each PE computed over the run.
    """

    time_s: float
    began_s: F64 = field(repr=False)
    wait_s: F64 = field(repr=False)
    transit_s: F64 = field(repr=False)
    links_s: F64 = field(repr=False)
    layer_s: F64 = field(repr=False)
    critical: I64 = field(repr=False)
    input_links_s: F64 = field(repr=False)
    busy_s: F64 = field(repr=False)


def schedule(ledger: Ledger, moves: Moves, cycles: F64, links: LinkCost, chip: ChipSpec, table: CostTable) -> Schedule:
    """Return the schedule of a run, from its moves, the (positions, shards, stages) `cycles`, and `links`, the seconds of its
    packets between chips. Settings of the table say in which order layers run, and whether they wait for DRAM.
    """
    shards, noc = ledger.table, moves.noc
    shape = ledger.positions, len(ledger.layers)
    pipelined, waited = table.settings["schedule"] == "pipelined", table.settings["dram"] == "waited"
    flits = noc.peak_flits(pipelined, with_input=not waited)
    transit_s = (flits + noc.farthest[1:] * chip.hop_cycles) / chip.noc_clock_hz
    wait_s, input_links_s = np.zeros(shape), np.zeros(ledger.positions)
    if waited:
        input_noc_s = (noc.input_peak_flits + int(noc.farthest[0]) * chip.hop_cycles) / chip.noc_clock_hz
        input_links_s = links.input_s + input_noc_s
        wait_s[:, 0] = moves.dram_bytes / chip.dram_sustained_bytes_per_s + input_links_s
    after_s = transit_s + links.after_s
    shard_s = cycles.sum(axis=2) / chip.pe_clock_hz
    layer_s, critical, pe_s = np.zeros(shape), np.zeros(shape, np.int64), np.zeros((*shape, len(ledger.pes)))
    runs = np.zeros(pe_s.shape[1:], bool)
    runs[shards["layer"] - 1, shards["pe"]] = True
    for n in range(len(ledger.layers)):
        of_layer = np.flatnonzero(shards["layer"] == n + 1)
        pe_s[:, n, shards["pe"][of_layer]] = shard_s[:, of_layer]
        critical[:, n] = of_layer[np.argmax(shard_s[:, of_layer], axis=1)]
        layer_s[:, n] = shard_s[:, of_layer].max(axis=1) + after_s[:, n] + wait_s[:, n]
    if pipelined and ledger.positions:
        began_s, time_s = _pipelined(pe_s, runs, wait_s, after_s)
    else:  # each layer begins when the one before has been heard
        ends_s = np.cumsum(layer_s.ravel())
        began_s, time_s = np.concatenate([np.zeros(min(1, len(ends_s))), ends_s[:-1]]).reshape(shape), float(layer_s.sum())
    return Schedule(
        time_s=time_s, began_s=began_s, wait_s=wait_s, transit_s=transit_s, links_s=links.after_s, layer_s=layer_s,
        critical=critical, input_links_s=input_links_s, busy_s=pe_s.sum(axis=(0, 1)),
    )  # fmt: skip


def _pipelined(pe_s: F64, runs: Array, wait_s: F64, after_s: F64) -> tuple[F64, float]:
    """Return when each layer begins each position, (positions, layers), and the run's duration.

    In a tick layer l works on position t - l, and the tick lasts as long as its slowest PE, with what that waits for. `pe_s`
    (positions, layers, PEs) is how long PEs compute; `runs` (layers, PEs) whether a PE has units of a layer; `wait_s` comes
    before, and `after_s` lasts until messages have arrived on all chips, (positions, layers) each.
    """
    positions, layers, pes = pe_s.shape
    busy, before, after = (np.zeros((positions + layers - 1, pes)) for _ in range(3))
    for n in range(layers):
        ticks = slice(n, n + positions)
        busy[ticks] += pe_s[:, n]
        before[ticks] = np.maximum(before[ticks], wait_s[:, n, None] * runs[n])
        after[ticks] = np.maximum(after[ticks], after_s[:, n, None] * runs[n])
    tick_s = (before + busy + after).max(axis=1)
    began_s = np.concatenate([[0.0], np.cumsum(tick_s)[:-1]])
    return np.stack([began_s[n : n + positions] for n in range(layers)], axis=1), float(tick_s.sum())
