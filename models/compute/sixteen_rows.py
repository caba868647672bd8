"""Columns of weights added to the accumulators of sixteen rows at once.

An event that meets its column of a few weights in a loop (`models/formats/packed.py`) asks for a row number for each, and the
processor guesses the loop's length wrong. Here sixteen bits say which of sixteen rows have a weight; the weights, which lie one
behind the other, are spread to those rows by one instruction (AVX-512's expand), multiplied, and added where a bit is set. A row
gets the same products in the same order, each rounded before it is added, so that the bits are the same.

What is noted of columns is the emulator's and no part of the SRAM, where `packed` has it as row numbers and extents.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from models.compute.bound_calls import (
    Address,
    Bytes,
    Call,
    EventKeys,
    EventType,
    EventValues,
    Number,
    NumberRows,
    Numbers,
    NumbersAt,
    Shorts,
    WordRows,
    bindable,
    bindable_late,
    carray,
    shorts_at,
    value_of,
)
from models.compute.lanes_together import extent_at
from models.compute.processor import features
from models.compute.working_room import working_room
from models.network import Array

ROWS = 16
_MOST_BLOCKS = 8  # of rows for which it pays: of more, most have no weight of a column
_FEATURES = {"float32": {"avx512f"}, "int8": {"avx512f", "avx512bw", "avx512vl", "avx512vbmi2"}}  # what spreads such weights


def can_spread(weight: str) -> bool:
    """Tell whether the processor spreads such weights by an instruction."""
    return weight in _FEATURES and _FEATURES[weight] <= features()


def pays(rows: int, row_bytes: int, weight: str) -> bool:
    """Tell whether columns of so many rows, of such weights, are added faster so."""
    return row_bytes == 1 and rows <= ROWS * _MOST_BLOCKS and can_spread(weight)


bindable_where_usual = bindable if can_spread("float32") else bindable_late
"""`bindable` where most runs in `packed` come here."""


def adding_columns(
    events: EventType, matrix: dict[str, Array | int], sums: Array, counts: Array, *, source_units: int, gates: int
) -> Call:
    """Return the call that takes a FIFO's events and adds their columns to `sums` (lanes, rows); counts (lanes, 2).

    `matrix`: values, rows, extents and extent_bytes of `packed`, stored in so many `gates`.
    """
    blocks = -(-sums.shape[1] // ROWS)
    columns = working_room(source_units * (2 + blocks), np.uint16)  # where its weights begin, in two, and which rows have one
    index = {name: matrix[name] for name in ("rows", "extents", "extent_bytes")}
    noted: dict[str, Array | int] = {"columns": columns, "blocks": blocks}
    _note_columns.bind(**index, **noted, gates=gates, units=sums.shape[1] // gates)()
    line = working_room(ROWS * blocks, sums.dtype)
    return _add_columns.bind(
        events, values=matrix["values"], line=line, sums=sums, counts=counts, source_units=source_units, **noted
    )


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


def _adding(typing: Any, line: Any, weights: Any, first: Any, rows: Any, event: Any) -> Any:  # noqa: ARG001
    """Add weights from the `first` on, of those at a pointer, times an event to sixteen numbers at address `line`, where a bit in
    `rows` (uint16) is set; return how many those are.
    """
    is_float, stored_type = event == types.float32, weights.dtype

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
        at, stored, begin, bits, factor = arguments
        number, element = (context.get_value_type(kind) for kind in (event, stored_type))
        numbers, elements, lanes = (ir.VectorType(kind, ROWS) for kind in (number, element, ir.IntType(1)))
        mask = builder.bitcast(bits, lanes)
        kind = ir.FunctionType(elements, [element.as_pointer(), lanes, elements])
        letter = "f32" if is_float else f"i{element.width}"
        expand = builder.module.declare_intrinsic(f"llvm.masked.expandload.v{ROWS}{letter}", (), kind)
        spread = builder.call(expand, [builder.gep(stored, [begin]), mask, ir.Constant(elements, None)])
        one = builder.insert_element(ir.Constant(numbers, ir.Undefined), factor, ir.Constant(ir.IntType(32), 0))
        factors = builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), ROWS), None))
        place = builder.inttoptr(at, numbers.as_pointer())
        before = builder.load(place, align=4)
        if is_float:
            after = builder.fadd(before, builder.fmul(spread, factors))
        else:
            after = builder.add(before, builder.mul(builder.sext(spread, numbers), factors))
        builder.store(builder.select(mask, after, before), place, align=4)
        return builder.zext(builder.ctpop(bits), ir.IntType(64))

    return types.int64(types.int64, weights, types.int64, types.uint16, event), code


_add_sixteen: Any = intrinsic(_adding)  # numba calls it without the first argument


@bindable_where_usual
def _add_columns(
    values: NumbersAt, columns: Address, blocks: Number, line: Numbers, sums: NumberRows, counts: WordRows, source_units: Number,
    keys: EventKeys, events: EventValues,
) -> None:  # fmt: skip
    number, stride, e = sums.dtype.type, 2 + blocks, 0
    while e < len(keys):
        lane, macs = np.int64(keys[e]) // source_units, np.int64(0)
        first_key, own = np.uint64(lane * source_units), sums[lane]
        for row in range(own.size):
            line[row] = own[row]
        while e < len(keys):
            unit = np.uint64(keys[e]) - first_key
            if unit >= np.uint64(source_units):  # of the next lane; one before this lane's is a large number
                break
            event = number(value_of(events, e))
            e += 1
            if event == number(0):  # in a dense section, no event
                continue
            column = carray(shorts_at(columns + 2 * stride * np.int64(unit)), (stride,))
            at = first = np.int64(column[0]) | np.int64(column[1]) << 16
            for block in range(blocks):
                at += _add_sixteen(line.ctypes.data + 4 * ROWS * block, values, at, column[2 + block], event)
            macs += at - first
        for row in range(own.size):
            own[row] = line[row]
        counts[lane, 0] += macs
        counts[lane, 1] += macs
