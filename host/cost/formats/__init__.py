"""Cost twins of the weight formats (`host/cost/twins.py`), and what those that loop over events share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.cost.cost_table import CostTable, sends_vectors
from models.families import family_path
from models.network import F64, I64, U32, Array

__path__ = family_path(__path__, __name__)

WORD_BYTES = 4
KEY_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class PortCounts:
    """What the ports of a ledger's shards did and hold, a port a column.

    (positions, ports): `macs` and `visited`, effective multiply-accumulates and stored weights that were looked at; `heard`, how
    many events came in for each position's step; `lanes` that it stepped. (ports,): `phases`, ticks that the source takes for a
    position, each of which brings a product of its own; `rows`, of which a unit has `gates`, stored `weights`, `width` in units
    of the source, `weight_bytes` of each weight, `value_bytes` of what an event carries beside its key, whether the source is
    `dense` and sends no keys, `traced`, 1 where the port keeps a low-pass trace of what it hears, else 0, and `adds`, 1 where
    its sums are added to those of others, or come out of a ring. Of a port that keeps a convolution's kernel, else 0: `channels`,
    output channels that an event meets at most, and `places`, outputs of the window around those that it has. `nibbles`: 1 where
    weights are of four bits, two to a byte, of which the core loads one for each weight; else 0.
    """

    macs: U32
    visited: U32
    heard: I64
    lanes: I64
    phases: I64
    rows: I64
    gates: I64
    weights: I64
    width: I64
    weight_bytes: I64
    value_bytes: I64
    dense: Array
    traced: I64
    adds: I64
    channels: I64
    places: I64
    nibbles: I64

    @property
    def products(self) -> I64:
        """How many products of weights and events each port computed over the run, (ports,)."""
        return np.asarray(self.lanes.sum(axis=0) * self.phases, np.int64)

    @property
    def event_bytes(self) -> I64:
        """Bytes of an event as it lies in SRAM, with its key where it has one, (ports,)."""
        return np.asarray(self.value_bytes + np.where(self.dense, 0, KEY_BYTES), np.int64)

    def by_weight(self, table: CostTable, name: str) -> F64:
        """Return a constant of each port, (ports,): by its name of float32 weights, by `int8_` or `int4_` and its name of those."""
        of_bytes = np.where(self.nibbles == 1, table[f"int4_{name}"], table[f"int8_{name}"])
        return np.where(self.weight_bytes == 1, of_bytes, table[name])


def event_loop_cycles(port: PortCounts, table: CostTable, weight_cycles: F64, event_cycles: F64 | float, stored: I64) -> F64:
    """Return the cycles of a loop over events, (positions, ports); `stored` (ports,) weights would be visited by a trace
    without zeros.
    """
    visited, heard = port.visited.astype(np.float64), port.heard.astype(np.float64)
    # A PE that is sent a vector looks for the events in it.
    searched = np.full(visited.shape, sends_vectors(table.settings)) | port.dense
    if port.traced.any():
        # A trace's elements, too. How many are not zero follows from the weights visited; for `packed` as if columns were alike.
        traced = port.traced > 0
        heard = np.where(traced, visited * port.width / np.maximum(stored, 1), heard)
        searched |= traced
    silent_cycles = table["event_silent_cycles"] * np.maximum(port.lanes * port.phases * port.width - heard, 0.0)
    return np.asarray(weight_cycles * visited + event_cycles * heard + np.where(searched, silent_cycles, 0.0), np.float64)


def event_loop_bytes(port: PortCounts, index_bytes: I64 | int = 0, extent_bytes: I64 | int = 0) -> tuple[I64, I64]:
    """Return bytes read and written by a loop over events, (ports,) each.

    Read: value, sum and row index of a weight visited; key, value and two extents of an event, or over a trace each element,
    and extents, which ascend, so that one more than there are elements are read. Written: the sum of a weight visited, and
    each row, which is cleared.
    """
    visited, elements = port.visited.sum(axis=0, dtype=np.int64), port.products * port.width
    over_events = (port.event_bytes + 2 * extent_bytes) * port.heard.sum(axis=0)
    over_trace = WORD_BYTES * elements + extent_bytes * (elements + port.products)
    read = (WORD_BYTES + port.weight_bytes + index_bytes) * visited + np.where(port.traced > 0, over_trace, over_events)
    return read, WORD_BYTES * (visited + port.rows * port.lanes.sum(axis=0))
