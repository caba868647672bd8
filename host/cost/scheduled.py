"""Time and energy of a network that a scheduler runs layer by layer: a position of its ledger is a layer of a pass.

A layer is a barrier. It takes the scheduler's time; the busiest worker's array and core; and its transfers, as long as the busiest
worker's DMA or the busiest DRAM takes, whichever is longer. Of these, what workers fetched or wrote while another of their tiles
was to be computed lies behind the work, as long as that lasts. The first layer of a run has the start before it, the last one the
end behind it. Nothing of that is planned: bytes, products and loops are what workers counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.cycles import TRANSFERS, UNITS, stages_of, turns_by_kernel
from host.cost.ledger import BYTES, READ_BYTES, Ledger, Part, RunLedger
from host.cost.moves import Moves
from host.cost.schedule_record import Schedule
from host.cost.twins import twin
from models.network import F64, I64, Array
from noc.chip import ChipSpec

SCHEDULING, ARRAY, CORE, DMA, DRAM = "scheduling", "array", "core", "DMA", "DRAM"


def is_scheduled(run: RunLedger) -> bool:
    """Tell whether a position of a run is a layer."""
    return any(getattr(twin("kernels", run.populations[number].kernel), "LAYER_BY_LAYER", False) for number in run.layers)


@dataclass(frozen=True, kw_only=True)
class LayerTimes:
    """Seconds of each position's parts: (positions,) of scheduling, of the busiest worker's array and core, and of transfers by DMA
    and from DRAM, of which the longer counts, but for `behind_s` of it, which lie behind the work; (positions, workers) busy in the
    array and in the core; `dram_bytes` (positions,).
    """

    scheduling_s: F64
    busiest_array_s: F64
    busiest_core_s: F64
    dma_s: F64
    dram_s: F64
    behind_s: F64
    array_s: F64
    core_s: F64
    dram_bytes: I64

    @property
    def time_s(self) -> F64:
        """Seconds of each position."""
        moving_s = np.maximum(self.dma_s, self.dram_s) - self.behind_s
        return self.scheduling_s + self.busiest_array_s + self.busiest_core_s + moving_s

    def parts(self, positions: Array) -> Mapping[str, float]:
        """Return the seconds of each part at some positions, added up."""
        return {
            SCHEDULING: float(self.scheduling_s[positions].sum()), ARRAY: float(self.busiest_array_s[positions].sum()),
            CORE: float(self.busiest_core_s[positions].sum()), DMA: float(self.dma_s[positions].sum()),
            DRAM: float(self.dram_s[positions].sum()),
        }  # fmt: skip


def worker_turns(ledger: Ledger) -> I64:
    """Return the turns of the workers."""
    by_kernel = turns_by_kernel(ledger)
    return next(turns for kernel, turns in by_kernel.items() if hasattr(twin("kernels", kernel), "array_cycles"))


def layer_times(ledger: Ledger, cycles: F64, chip: ChipSpec, table: CostTable) -> LayerTimes:
    """Return how long each position's parts take. `cycles` as of `shard_cycles`, of which those of transfers are used."""
    price, turns = twin("kernels", "worker"), worker_turns(ledger)
    counts = {name: values[:, turns] for name, values in ledger.by_turn.items()}
    array = np.broadcast_to(price.array_cycles(counts, table), (ledger.positions, len(turns))) / chip.pe_clock_hz
    core = np.broadcast_to(price.core_cycles(counts, table), (ledger.positions, len(turns))) / chip.pe_clock_hz
    busiest = np.argmax(array + core, axis=1)
    every = np.arange(ledger.positions)
    stages = stages_of(ledger)
    dma = cycles[:, turns, stages.index(TRANSFERS)].max(axis=1) / chip.pe_clock_hz if TRANSFERS in stages else np.zeros(len(every))
    moved = dram_bytes(ledger)
    scheduler = ledger.by_turn
    layers = scheduler["layers"].sum(axis=1) if "layers" in scheduler else np.zeros(len(every))
    dram_s = moved.max(axis=1) / chip.dram_sustained_bytes_per_s
    moving_s, working_s = np.maximum(dma, dram_s), array[every, busiest] + core[every, busiest]
    begun, ended = (scheduler[name].sum(axis=1) if name in scheduler else np.zeros(len(every)) for name in ("starts", "ends"))
    return LayerTimes(
        scheduling_s=table["dnn_layer_s"] * layers + table["dnn_start_s"] * begun + table["dnn_end_s"] * ended,
        busiest_array_s=array[every, busiest], busiest_core_s=core[every, busiest], dma_s=dma,
        dram_s=dram_s, behind_s=np.minimum(moving_s * _ahead_share(ledger, turns), working_s),
        array_s=array, core_s=core, dram_bytes=moved.sum(axis=1),
    )  # fmt: skip


def _ahead_share(ledger: Ledger, workers: I64) -> F64:
    """Return the share of the bytes that workers sent and asked for, (positions,), that was under way while another of their tiles
    was to be computed.
    """
    if "ahead" not in ledger.by_turn:
        return np.zeros(ledger.positions)
    ahead = ledger.by_turn["ahead"][:, workers].sum(axis=1).astype(np.float64)
    counts = ledger.transfers.astype(np.float64)
    of_workers = np.isin(ledger.peers["shard"], ledger.turns.shard[workers])
    all_bytes = counts[:, of_workers, BYTES].sum(axis=1) + counts[:, of_workers, READ_BYTES].sum(axis=1)
    return np.asarray(ahead / np.maximum(all_bytes, 1))


def dram_bytes(ledger: Ledger) -> I64:
    """Return the bytes that went to and from each chip's DRAM, (positions, chips)."""
    peers = ledger.peers
    chips = np.unique(peers["chip"][peers["chip"] >= 0])
    counts, out = ledger.transfers.astype(np.int64), np.zeros((ledger.positions, max(len(chips), 1)), np.int64)
    for column, chip in enumerate(chips.tolist()):
        of_chip = (peers["pe"] < 0) & (peers["chip"] == chip)
        out[:, column] = counts[:, of_chip, 1].sum(axis=1) + counts[:, of_chip, 3].sum(axis=1)
    return out


def scheduled(part: Part, moves: Moves, cycles: F64, chip: ChipSpec, table: CostTable) -> Schedule:  # noqa: ARG001 - as others
    """Return when layers begin and how long they take: the scheduler's time first, then the workers'."""
    ledger, own = part.ledger, part.own
    times = layer_times(ledger, cycles, chip, table)
    exchanges, turns = ledger.exchanges, ledger.turns
    columns = exchanges.layers.tolist()
    shape = (ledger.positions, len(columns))
    layer_s, wait_s, critical = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.int64)
    busy, unit = np.zeros(len(ledger.pes)), cycles[:, :, stages_of(ledger).index(UNITS)]
    workers = worker_turns(ledger)
    for n, exchange in enumerate(columns):
        of_layer = np.flatnonzero(turns.exchange == exchange)
        critical[:, n] = of_layer[np.argmax(unit[:, of_layer], axis=1)]
        if of_layer[0] not in workers:
            layer_s[:, n] = times.scheduling_s
            continue
        wait_s[:, n] = np.maximum(times.dram_s - times.dma_s - times.behind_s, 0)
        layer_s[:, n] = times.time_s - times.scheduling_s
    array_s = np.zeros(len(ledger.pes))
    pe_of = ledger.shards["pe"][turns.shard[workers]]
    np.add.at(busy, pe_of, (times.array_s + times.core_s)[own].sum(axis=0))
    np.add.at(array_s, pe_of, times.array_s[own].sum(axis=0))
    position_s = layer_s.sum(axis=1)
    began = np.concatenate([[0.0], np.cumsum(position_s)[:-1]])[: len(position_s)]
    began_s = np.zeros(shape)
    for n in range(len(columns)):
        began_s[:, n] = began
        began = began + layer_s[:, n]
    nothing = np.zeros(shape)
    return Schedule(
        time_s=float(position_s[own].sum()), position_s=position_s[own], began_s=began_s[own], ahead_s=None, wait_s=wait_s[own],
        transit_s=nothing[own], links_s=nothing[own], layer_s=layer_s[own], critical=critical[own], input_links_s=nothing[own],
        on_path=np.ones(shape, bool)[own], busy_s=busy, array_s=array_s, dram_bytes=int(times.dram_bytes[own].sum()),
    )  # fmt: skip


def array_w(chip: ChipSpec) -> float:
    """Return what a PE's array draws at full use."""
    facts = (chip.facts[name].value or 0.0 for name in ("mla_pj_per_mac", "mla_ops_per_s", "pes"))
    pj, operations, pes = map(float, facts)
    return pj * 1e-12 * operations / 2 / pes
