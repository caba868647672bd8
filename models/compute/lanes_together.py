"""Columns of weights times the events of all sequences of a batch at once.

An event that meets its column by itself (`models/formats/packed.py`) begins it somewhere in the memory, and takes a loop whose
length the processor guesses wrong; a batch of sixteen does so sixteen times for what is often the same column. Here the events of
a section are first laid out by unit and lane, eight lanes at a time, and each column then meets them side by side. A lane's sum
gets the same terms in the same order, and zeros between them, which change no bit of it: it begins at +0.

What is laid out is the emulator's and no part of the SRAM, and empty between ticks: the chip's core takes event by event.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.bound_calls import (
    Address,
    Bytes,
    Call,
    EventKeys,
    EventType,
    EventValues,
    Ints,
    Number,
    NumberRows,
    NumbersAt,
    WordRows,
    bindable_late,
    bytes_at,
    call_at,
    carray,
    fill_bytes,
    shorts_at,
    value_of,
    words_at,
)
from models.compute.compiling import inlined
from models.compute.nibbles import weight_at
from models.network import Array

LANES = 8  # that meet a column side by side
_NONE = -1  # no lane's events are laid out
_MOST_UNITS = 1 << 13  # of the source: 32 bytes each are laid out


def pays(lanes: int, source_units: int, row_bytes: int) -> bool:
    """Tell whether events of so many lanes are to be laid out: of fewer than these it was no faster (docs/performance.md)."""
    return lanes >= LANES and row_bytes == 1 and source_units <= _MOST_UNITS


def columns_together(
    events: EventType, matrix: dict[str, Array | int], sums: Array, counts: Array, *, source_units: int, gates: int
) -> tuple[Call, Call]:
    """Return the calls that take a FIFO's events, and that add their products to `sums` (lanes, rows); counts (lanes, 2).

    `matrix`: values, rows, extents and extent_bytes of `packed`, stored in so many `gates`.
    """
    laid_out, seen = np.zeros((source_units, LANES), sums.dtype), np.zeros(source_units, np.uint8)
    first_lane = np.full(1, _NONE, np.int32)
    extents: dict[str, Array | int] = {name: matrix[name] for name in ("extents", "extent_bytes")}
    shared: dict[str, Array | int] = {**extents, "gates": gates, "laid_out": laid_out, "seen": seen, "first_lane": first_lane}
    line = np.zeros((sums.shape[1], LANES), sums.dtype)
    product = _multiply.bind(values=matrix["values"], rows=matrix["rows"], sums=sums, line=line, **shared)
    addresses: dict[str, Array | int] = {"product": product.address, "product_block": product.block}
    receive = _lay_out.bind(events, counts=counts, **addresses, **shared)
    return receive, product


@inlined
def extent_at(extents: int, extent_bytes: int, at: Any) -> int:
    """Return extent `at` of those at an address, unsigned integers of two or four bytes."""
    if extent_bytes == 2:
        return int(carray(shorts_at(extents), (at + 1,))[at])
    return int(carray(words_at(extents), (at + 1,))[at])


@bindable_late
def _lay_out(
    extents: Address, extent_bytes: Number, gates: Number, product: Number, product_block: Address, laid_out: NumberRows,
    seen: Bytes, first_lane: Ints, counts: WordRows, keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    number, units, e = laid_out.dtype.type, np.uint64(seen.size), 0
    while e < len(keys):
        lane, macs = np.int64(keys[e]) // seen.size, np.int64(0)
        first, own = np.uint64(lane * seen.size), np.uint64(lane % LANES)
        if first_lane[0] != lane - lane % LANES:
            call_at(product, product_block, 0, 0, 0)
            first_lane[0] = lane - lane % LANES
        while e < len(keys):
            unit = np.uint64(keys[e]) - first
            if unit >= units:  # one before the lane's is a large number
                break
            event = number(value_of(events, e))
            if event != number(0):
                laid_out[unit, own], seen[unit] = event, 1
                at = np.int64(unit) * gates
                macs += extent_at(extents, extent_bytes, at + gates) - extent_at(extents, extent_bytes, at)
            e += 1
        counts[lane, 0] += macs
        counts[lane, 1] += macs


@bindable_late
def _multiply(
    values: NumbersAt, rows: Address, extents: Address, extent_bytes: Number, gates: Number, laid_out: NumberRows, seen: Bytes,
    first_lane: Ints, line: NumberRows, sums: NumberRows,
) -> None:  # fmt: skip
    """Add the products of what is laid out to the sums, and clear it; whichever lane asks first."""
    begin = first_lane[0]
    if begin == _NONE:
        return
    number, units, present = sums.dtype.type, sums.shape[1] // gates, min(LANES, len(sums) - begin)
    stored = extent_at(extents, extent_bytes, seen.size * gates)
    weights, own_rows = carray(values, (stored,)), carray(bytes_at(rows), (stored,))
    for row in range(sums.shape[1]):
        for own in range(present):
            line[row, own] = sums[begin + own, row]
    for unit in range(seen.size):
        if seen[unit] == 0:
            continue
        seen[unit] = 0
        e0, e1, e2, e3 = laid_out[unit, 0], laid_out[unit, 1], laid_out[unit, 2], laid_out[unit, 3]
        e4, e5, e6, e7 = laid_out[unit, 4], laid_out[unit, 5], laid_out[unit, 6], laid_out[unit, 7]
        first = extent_at(extents, extent_bytes, unit * gates)
        for gate in range(gates):
            last = extent_at(extents, extent_bytes, unit * gates + gate + 1)
            for k in range(np.uint64(first), np.uint64(last)):  # without a sign, as `at`
                weight, at = number(weight_at(weights, k)), np.uint64(gate * units) + np.uint64(own_rows[k])
                s0, s1, s2, s3 = line[at, 0], line[at, 1], line[at, 2], line[at, 3]
                s4, s5, s6, s7 = line[at, 4], line[at, 5], line[at, 6], line[at, 7]
                line[at, 0], line[at, 1] = s0 + weight * e0, s1 + weight * e1
                line[at, 2], line[at, 3] = s2 + weight * e2, s3 + weight * e3
                line[at, 4], line[at, 5] = s4 + weight * e4, s5 + weight * e5
                line[at, 6], line[at, 7] = s6 + weight * e6, s7 + weight * e7
            first = last
        fill_bytes(laid_out.ctypes.data + unit * LANES * laid_out.itemsize, 0, LANES * laid_out.itemsize)
    for row in range(sums.shape[1]):
        for own in range(present):
            sums[begin + own, row] = line[row, own]
    first_lane[0] = _NONE
