"""Columns of weights added to the accumulators of sixteen rows at once.

An event that meets its column of a few weights in a loop (`models/formats/packed.py`) asks for a row number for each, and the
processor guesses the loop's length wrong. Here sixteen bits say which of sixteen rows have a weight; the weights, which lie one
behind the other, are spread to those rows by one instruction (AVX-512's expand), multiplied, and added where a bit is set. A row
gets the same products in the same order, each rounded before it is added, so that the bits are the same.

What is noted of columns is the emulator's and no part of the SRAM, where `packed` has it as row numbers and extents.
"""

from __future__ import annotations

import numpy as np

from models.compute.bound_calls import (
    Address,
    Bytes,
    Call,
    EventKeys,
    EventType,
    EventValues,
    Number,
    NumberRows,
    NumbersAt,
    Shorts,
    WordRows,
    bindable,
    bindable_late,
)
from models.compute.lanes_together import extent_at
from models.compute.processor import features
from models.compute.sums_in_registers import ROWS, adding_columns_of
from models.compute.working_room import working_room
from models.network import Array

_BLOCKS = 3, 6, 8  # of rows, for which there is code; of more it does not pay: most have no weight of a column
_FEATURES = {"float32": {"avx512f"}, "int8": {"avx512f", "avx512bw", "avx512vl", "avx512vbmi2"}}  # what spreads such weights


def can_spread(weight: str) -> bool:
    """Tell whether the processor spreads such weights by an instruction."""
    return weight in _FEATURES and _FEATURES[weight] <= features()


def pays(rows: int, row_bytes: int, weight: str) -> bool:
    """Tell whether columns of so many rows, of such weights, are added faster so."""
    return row_bytes == 1 and rows <= ROWS * _BLOCKS[-1] and can_spread(weight)


bindable_where_usual = bindable if can_spread("float32") else bindable_late
"""`bindable` where most runs in `packed` come here."""


def adding_columns(
    events: EventType, matrix: dict[str, Array | int], sums: Array, counts: Array, *, source_units: int, gates: int
) -> Call:
    """Return the call that takes a FIFO's events and adds their columns to `sums` (lanes, rows); counts (lanes, 2). For what `pays`
    says, and no dense sections.

    `matrix`: values, rows, extents and extent_bytes of `packed`, stored in so many `gates`.
    """
    blocks = next(blocks for blocks in _BLOCKS if sums.shape[1] <= ROWS * blocks)
    columns = working_room(source_units * (2 + blocks), np.uint16)  # where its weights begin, in two, and which rows have one
    index = {name: matrix[name] for name in ("rows", "extents", "extent_bytes")}
    noted: dict[str, Array | int] = {"columns": columns, "blocks": blocks}
    _note_columns.bind(**index, **noted, gates=gates, units=sums.shape[1] // gates)()
    return _add_columns.bind(events, values=matrix["values"], sums=sums, counts=counts, source_units=source_units, **noted)


@bindable_where_usual
def _note_columns(
    rows: Bytes, extents: Address, extent_bytes: Number, columns: Shorts, blocks: Number, gates: Number, units: Number
) -> None:
    """Note of each column where its weights begin and which rows have one; nothing where none was loaded."""
    stride = 2 + blocks
    for unit in range(columns.size // stride):
        first = begin = extent_at(extents, extent_bytes, unit * gates)
        own = columns[stride * unit : stride * (unit + 1)]
        own[0], own[1] = begin & 0xFFFF, begin >> 16
        for gate in range(gates):
            last = extent_at(extents, extent_bytes, unit * gates + gate + 1)
            for k in range(first, last):
                row = gate * units + rows[k]
                own[2 + row // ROWS] |= 1 << row % ROWS
            first = last


_add_3_blocks, _add_6_blocks, _add_8_blocks = map(adding_columns_of, _BLOCKS)


@bindable_where_usual
def _add_columns(
    values: NumbersAt, columns: Address, blocks: Number, sums: NumberRows, counts: WordRows, source_units: Number, keys: EventKeys,
    events: EventValues,
) -> None:  # fmt: skip
    e = np.int64(0)
    while e < len(keys):
        lane = np.int64(keys[e]) // source_units
        if blocks == _BLOCKS[0]:
            e, macs = _add_3_blocks(values, columns, sums[lane], keys, events, e, lane * source_units, source_units)
        elif blocks == _BLOCKS[1]:
            e, macs = _add_6_blocks(values, columns, sums[lane], keys, events, e, lane * source_units, source_units)
        else:
            e, macs = _add_8_blocks(values, columns, sums[lane], keys, events, e, lane * source_units, source_units)
        counts[lane, 0] += macs
        counts[lane, 1] += macs
