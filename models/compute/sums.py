"""Accumulators of a port, float32 or int32: forgotten, and added up where projections share a port or it holds a ring."""

from __future__ import annotations

import numpy as np

from models.compute.bound_calls import Call, FloatRows, IntRows, Lane, WordRows, bindable
from models.compute.compiling import inlined
from models.network import Array


@bindable
def _begin_float32(slot: FloatRows, sums: FloatRows, lane: Lane) -> None:
    """Begin a lane's sums with those of a projection."""
    sums[lane] = slot[lane]


@bindable
def _add_float32(slot: FloatRows, sums: FloatRows, lane: Lane) -> None:
    """Add a projection's sums to those of its port, each rounded to float32."""
    for row in range(sums.shape[1]):
        sums[lane, row] += slot[lane, row]


@bindable
def _begin_int32(slot: IntRows, sums: IntRows, lane: Lane) -> None:
    """Begin a lane's integer sums with those of a projection."""
    sums[lane] = slot[lane]


@bindable
def _add_int32(slot: IntRows, sums: IntRows, lane: Lane) -> None:
    """Add a projection's integer sums to those of its port."""
    for row in range(sums.shape[1]):
        sums[lane, row] += slot[lane, row]


@inlined
def forget_lane(sums: Array, counts: Array, lane: int) -> None:
    """Zero a lane's accumulators (lanes, rows) and the work that it counted (lanes, 2)."""
    sums[lane] = np.float32(0)
    counts[lane, 0] = counts[lane, 1] = 0


@bindable
def _forget_float32(sums: FloatRows, counts: WordRows, lane: Lane) -> None:
    """Zero a lane's accumulators and the work that it counted."""
    sums[lane] = np.float32(0)
    counts[lane] = 0


@bindable
def _forget_int32(sums: IntRows, counts: WordRows, lane: Lane) -> None:
    """Zero a lane's integer accumulators and the work that it counted."""
    sums[lane] = 0
    counts[lane] = 0


@bindable
def _clear_float32(sums: FloatRows, counts: WordRows) -> None:
    """Zero all accumulators and the work that was counted."""
    sums[:] = np.float32(0)
    counts[:] = 0


@bindable
def _clear_int32(sums: IntRows, counts: WordRows) -> None:
    """Zero all integer accumulators and the work that was counted."""
    sums[:] = 0
    counts[:] = 0


_ADDING = {"float32": (_begin_float32, _add_float32), "int32": (_begin_int32, _add_int32)}
_FORGETTING = {"float32": (_forget_float32, _clear_float32), "int32": (_forget_int32, _clear_int32)}


def adding(slot: Array, sums: Array, first: bool) -> Call:
    """Return the call that adds a slot's accumulators (lanes, rows) to its port's sums, or with the `first` begins those."""
    begin, add = _ADDING[sums.dtype.name]
    return (begin if first else add).bind(slot=slot, sums=sums)


def forgetting(sums: Array, counts: Array) -> Call:
    """Return the call that zeroes a lane of accumulators (lanes, rows) and of the work that they counted (lanes, 2)."""
    return _FORGETTING[sums.dtype.name][0].bind(sums=sums, counts=counts)


def clearing(sums: Array, counts: Array) -> Call:
    """Return the call that zeroes the accumulators of all lanes, and the work that they counted."""
    return _FORGETTING[sums.dtype.name][1].bind(sums=sums, counts=counts)
