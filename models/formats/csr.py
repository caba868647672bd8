"""`csr`: the paper's format (section IV-B): float32 value, 32-bit column index and row extents, 2 nnz + rows + 1 words.

A row visits each of its stored weights and looks the event up in a dense vector of the source population, so activity
does not shorten the loop. The vectors do not fit beside the paper's weights in the data banks; they are scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from models import lowpass
from models.compiled import compiled
from models.formats import Port, trace_field
from models.lowpass import traced
from models.network import Array, Field, SparseRows


def encode(weights: SparseRows) -> dict[str, Array]:
    """Return `values` float32, `columns` uint32 and `extents` uint32 (rows + 1)."""
    return {"values": weights.values, "columns": weights.columns, "extents": weights.extents.astype(np.uint32)}


def fields(rows: int, source_units: int, nonzeros: int, lanes: int, trace: bool = False) -> list[Field]:
    """Return the weights, accumulators and dense event vector of a port; a trace is such a vector itself."""
    vector = Field("vector", (lanes, source_units), "<f4", "variables", "event value", scratch=True)
    return [
        Field("values", (nonzeros,), "<f4", "weights"),
        Field("columns", (nonzeros,), "<u4", "weights", "source unit"),
        Field("extents", (rows + 1,), "<u4", "weights"),
        Field("sums", (lanes, rows), "<f4", "variables", "pre-activation"),
        Field("counts", (2,), "<u4", "variables", "MACs, weights visited"),
        trace_field(lanes, source_units) if trace else vector,
    ]


def port(mem: Mapping[str, Array], name: str, lanes: int, source_units: int, trace: float = 0.0) -> Port:
    """Bind a port to its arena views."""
    heard = "trace" if trace else "vector"
    order = ("values", "columns", "extents", heard, "sums", "counts")
    product = partial(_product, *(mem[f"{name}.{array}"] for array in order))
    if trace:
        return traced(mem[f"{name}.trace"], trace, product)
    flat = mem[f"{name}.vector"].reshape(lanes * source_units)
    return Port(partial(flat.fill, 0), partial(_scatter, flat), product)


@compiled
def _scatter(vector: Array, keys: Array, values: Array, count: int) -> None:
    for e in range(count):
        vector[keys[e]] = values[e]


@compiled
def _product(values: Array, columns: Array, extents: Array, vector: Array, sums: Array, counts: Array) -> None:
    macs = 0
    for lane in range(sums.shape[0]):
        events = vector[lane]
        for row in range(sums.shape[1]):
            total = np.float32(0)
            for k in range(extents[row], extents[row + 1]):
                event = events[columns[k]]
                total += values[k] * event
                macs += event != np.float32(0)
            sums[lane, row] = total
    counts[0] = macs
    counts[1] = sums.shape[0] * extents[sums.shape[1]]


def warm() -> None:
    """Compile the kernels: this format has one specialisation."""
    lowpass.warm()
    mem = {f"p.{f.name}": np.zeros(f.shape, f.dtype) for f in fields(2, 2, 2, 1)}
    bound = port(mem, "p", 1, 2)
    bound.receive(np.zeros(1, np.uint32), np.zeros(1, np.float32), 1)
    bound.product()
