"""Cost twins of the weight formats (`host/cost/twins.py`), and what those that loop over events share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.cost.cost_table import CostTable, sends_vectors
from models.families import family_path
from models.network import F64, I64, U32

__path__ = family_path(__path__, __name__)

WORD_BYTES = 4
KEY_AND_VALUE_BYTES = 2 * WORD_BYTES


@dataclass(frozen=True)
class PortCounts:
    """What the shards of a ledger did and hold at one of their ports.

    `macs` and `visited` (positions, shards): effective multiply-accumulates, and stored weights that were looked at.
    `events` (positions, layers + 1): how many each layer, 0 the input, has sent by the step at a position; `source` (shards,)
    the layer that a shard hears. Also (shards,): `rows`, stored `weights`, `width` in units of the source, and `traced`, 1
    where the port keeps a low-pass trace of what it hears, else 0. `lanes` sequences run side by side.
    """

    macs: U32
    visited: U32
    events: I64
    source: I64
    rows: I64
    weights: I64
    width: I64
    traced: I64
    lanes: int

    @property
    def heard(self) -> I64:
        """How many events each shard took in for each position's step, (positions, shards)."""
        return np.asarray(self.events[:, self.source], np.int64)

    @property
    def products(self) -> int:
        """How many products of weights and events a shard computed over the run."""
        return self.lanes * len(self.events)


def event_loop_cycles(port: PortCounts, table: CostTable, weight_cycles: float, event_cycles: float, stored: I64) -> F64:
    """Return the cycles of a loop over events, (positions, shards); `stored` (shards,) weights would be visited by a trace
    without zeros.
    """
    visited, heard = port.visited.astype(np.float64), port.heard.astype(np.float64)
    searched = np.full(visited.shape, sends_vectors(table.settings))  # a PE that is sent a vector looks for the events in it
    if port.traced.any():
        # A trace's elements, too. How many are not zero follows from the weights visited; for `packed` as if columns were alike.
        traced = port.traced > 0
        heard = np.where(traced, visited * port.width / np.maximum(stored, 1), heard)
        searched |= traced
    silent_cycles = table["event_silent_cycles"] * (port.lanes * port.width - heard)
    return np.asarray(weight_cycles * visited + event_cycles * heard + np.where(searched, silent_cycles, 0.0), np.float64)


def event_loop_bytes(port: PortCounts, index_bytes: I64 | int = 0, extent_bytes: I64 | int = 0) -> tuple[I64, I64]:
    """Return bytes read and written by a loop over events, (shards,) each.

    Read: value, sum and row index of a weight visited; key, value and two extents of an event, or over a trace each element,
    and extents, which ascend, so that one more than there are elements are read. Written: the sum of a weight visited, and
    each row, which is cleared.
    """
    visited, elements = port.visited.sum(axis=0, dtype=np.int64), port.products * port.width
    over_events = (KEY_AND_VALUE_BYTES + 2 * extent_bytes) * port.heard.sum(axis=0)
    over_trace = WORD_BYTES * elements + extent_bytes * (elements + port.products)
    read = (2 * WORD_BYTES + index_bytes) * visited + np.where(port.traced > 0, over_trace, over_events)
    return read, WORD_BYTES * (visited + port.rows * port.products)
