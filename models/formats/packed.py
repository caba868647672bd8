"""`packed`: event-driven columns. An event adds its column of weights to the accumulators; silent units cost nothing.

Per stored weight a float32 value and a row index in the smallest unsigned integer that holds the shard's rows (one byte
up to 85 EGRU units), per source unit one extent in the smallest integer that holds the number of weights. No dense
vector is kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    Call,
    bytes_at,
    call,
    carray,
    float_rows,
    floats_at,
    nothing,
    number,
    shorts_at,
    words,
    words_at,
)
from models.compute.compiling import inlined
from models.compute.lowpass import traced
from models.compute.port import Port, clear, forget
from models.formats import trace_field
from models.network import Array, Field, SparseRows

_UNSIGNED = ("|u1", "<u2", "<u4")


def _smallest(largest: int) -> str:
    return next(dtype for dtype in _UNSIGNED if largest <= np.iinfo(dtype).max)


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32 by column, `rows` and `extents` (source units + 1) in the smallest integers that fit."""
    rows = np.repeat(np.arange(weights.shape[0]), np.diff(weights.extents))
    order = np.argsort(weights.columns, kind="stable")  # rows stay ascending within a column
    dtypes = {f.name: f.dtype for f in fields(*weights.shape, weights.nonzeros, 1)}
    extents = np.zeros(weights.shape[1] + 1, np.int64)
    np.cumsum(np.bincount(weights.columns, minlength=weights.shape[1]), out=extents[1:])
    return {
        "values": weights.values[order],
        "rows": rows[order].astype(dtypes["rows"]),
        "extents": extents.astype(dtypes["extents"]),
    }


def fields(rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:
    """Return the weights and accumulators of a port."""
    return [
        Field("values", (nonzeros,), "<f4", "weights"),
        Field("rows", (nonzeros,), _smallest(max(rows - 1, 0)), "weights"),
        # One-byte extents would save next to nothing.
        Field("extents", (source_units + 1,), _smallest(max(nonzeros, 256)), "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
        *([trace_field(lanes, source_units)] if trace else []),
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:  # noqa: ARG001 - the contract's arguments
    """Bind a port to its arena views."""
    values, rows, extents, sums, counts = (mem[f"{name}.{array}"] for array in ("values", "rows", "extents", "sums", "counts"))
    matrix = (values, rows, rows.itemsize, extents, extents.itemsize, sums, counts)
    if trace:
        return traced(mem[f"{name}.trace"], trace, Call(_product_at, *matrix, mem[f"{name}.trace"]))
    return Port(Call(clear, sums, counts), Call(_accumulate_at, *matrix, source_units), nothing)


@inlined
def _extent(address: int, itemsize: int, at: int) -> int:
    if itemsize == 2:
        return int(carray(shorts_at(address), (at + 1,))[at])
    return int(carray(words_at(address), (at + 1,))[at])


@inlined
def _column(block: int, unit: int, event: np.float32, sums: Array) -> int:
    """Add an event's column of weights to the accumulators of its lane, `sums`; return its length.

    Parts of `block`: values, rows, bytes of a row index, extents, bytes of an extent.
    """
    address, width = number(block, 3), number(block, 4)
    first, last = _extent(address, width, unit), _extent(address, width, unit + 1)
    values, rows, width = carray(floats_at(number(block, 0)), (last,)), number(block, 1), number(block, 2)
    # One loop for each width of index, so that none asks for it weight by weight.
    if width == 1:
        narrow = carray(bytes_at(rows), (last,))
        for k in range(first, last):
            sums[narrow[k]] += values[k] * event
    elif width == 2:
        middle = carray(shorts_at(rows), (last,))
        for k in range(first, last):
            sums[middle[k]] += values[k] * event
    else:
        wide = carray(words_at(rows), (last,))
        for k in range(first, last):
            sums[wide[k]] += values[k] * event
    return last - first


@call
def _accumulate_at(block: int, keys: int, values: int, count: int) -> int:
    units, events = carray(words_at(keys), (count,)), carray(floats_at(values), (count,))
    sums, counts, source_units = float_rows(block, 5), words(block, 6), number(block, 7)
    macs = 0
    for e in range(count):
        key = int(units[e])
        lane = key // source_units
        macs += _column(block, key - lane * source_units, events[e], sums[lane])
    counts[0] += macs
    counts[1] += macs
    return 0


@call
def _product_at(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    sums, counts, trace = float_rows(block, 5), words(block, 6), float_rows(block, 7)
    forget(sums, counts)
    macs = 0
    for lane in range(trace.shape[0]):
        for unit in range(trace.shape[1]):
            event = trace[lane, unit]
            if event != np.float32(0):
                macs += _column(block, unit, event, sums[lane])
    counts[0] = macs
    counts[1] = macs
    return 0
