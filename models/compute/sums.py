"""Accumulators of a port, float32 or int32: forgotten, and added up where projections share a port or it holds several
positions.
"""

from __future__ import annotations

import numpy as np

from models.compute.bound_calls import ByteRows, Call, Lane, NumberRows, bindable, bindable_late, copy_bytes, fill_bytes
from models.compute.compiling import inlined
from models.network import Array


@bindable_late
def _begin(slot: ByteRows, sums: ByteRows, lane: Lane) -> None:
    """Begin a lane's sums with those of a projection."""
    copy_bytes(sums.ctypes.data + lane * sums.shape[1], slot.ctypes.data + lane * sums.shape[1], sums.shape[1])


@bindable_late
def _add(slot: NumberRows, sums: NumberRows, lane: Lane) -> None:
    """Add a projection's sums to those of its port; float32 is rounded at each."""
    for row in range(sums.shape[1]):
        sums[lane, row] += slot[lane, row]


@bindable
def _forget(sums: ByteRows, counts: ByteRows, lane: Lane) -> None:
    """Zero a lane's accumulators and the work that it counted."""
    fill_bytes(sums.ctypes.data + lane * sums.shape[1], 0, sums.shape[1])
    fill_bytes(counts.ctypes.data + lane * counts.shape[1], 0, counts.shape[1])


@bindable
def _clear(sums: ByteRows, counts: ByteRows) -> None:
    """Zero all accumulators and the work that was counted."""
    fill_bytes(sums.ctypes.data, 0, sums.size)
    fill_bytes(counts.ctypes.data, 0, counts.size)


@inlined
def forget_lane(sums: Array, counts: Array, lane: int) -> None:
    """Zero a lane's float32 accumulators (lanes, rows) and the work that it counted (lanes, 2)."""
    sums[lane] = np.float32(0)
    counts[lane, 0] = counts[lane, 1] = 0


def adding(slot: Array, sums: Array, first: bool) -> Call:
    """Return the call that adds a slot's accumulators (lanes, rows) to its port's sums, or with the `first` begins those."""
    if first:
        return _begin.bind(slot=slot.view(np.uint8), sums=sums.view(np.uint8))
    return _add.bind(slot=slot, sums=sums)


def forgetting(sums: Array, counts: Array) -> Call:
    """Return the call that zeroes a lane of accumulators (lanes, rows) and of the work that they counted (lanes, 2)."""
    return _forget.bind(sums=sums.view(np.uint8), counts=counts.view(np.uint8))


def clearing(sums: Array, counts: Array) -> Call:
    """Return the call that zeroes the accumulators of all lanes, and the work that they counted."""
    return _clear.bind(sums=sums.view(np.uint8), counts=counts.view(np.uint8))
