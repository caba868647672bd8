"""Linear maps between nodes of a NIR graph, in float64: kernels that stay kernels, matrices where nothing else will do.

Weights, pools, scales and flattenings between two neurons are one map. A convolution with a pool or a scale of channels
before it, or a scale of channels behind it, is a convolution again, and so is a matrix behind a pool; anything else is
multiplied out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.convolution import Convolution
from models.network import F64, Array, ModelError, SparseRows

MOST_UNROLLED = 20_000_000  # elements of a matrix that is multiplied out


@dataclass(frozen=True, eq=False)
class Identity:
    """The map that changes nothing."""

    units: int


@dataclass(frozen=True, eq=False)
class Kernel:
    """A convolution whose kernel is float64; the rest is as `Convolution` has it."""

    convolution: Convolution

    @property
    def is_pointwise(self) -> bool:
        """Whether it multiplies each channel by a number, perhaps after a pool, and does no more."""
        c = self.convolution
        plain = c.kernel.shape[1:] == (1, 1, 1) and c.stride == (1, 1) and not any(c.padding)
        return plain and c.groups == len(c.kernel) == c.input_shape[0]


@dataclass(frozen=True, eq=False)
class Matrix:
    """A sparse matrix of SciPy's, by rows, of float64; `dense` is the array (out, in) that it was made of, where it was one."""

    rows: Any
    dense: F64 | None = None


Map = Identity | Kernel | Matrix


def dense_map(weight: Array, copies: int = 1) -> Matrix:
    """Return the map of a matrix (out, in), applied to each of so many rows of its input."""
    from scipy import sparse

    dense = np.asarray(weight, np.float64)
    rows = sparse.csr_array(dense)
    if copies == 1:
        return Matrix(rows, dense)
    return Matrix(sparse.csr_array(sparse.kron(sparse.eye_array(copies), rows, format="csr")))


def scale_map(scale: F64, shape: tuple[int, ...]) -> Map:
    """Return the map that multiplies each of the numbers of a shape by its own of `scale` (units,)."""
    from scipy import sparse

    if np.all(scale == 1):
        return Identity(len(scale))
    if len(shape) == 3:
        by_channel = scale.reshape(shape[0], -1)
        if np.all(by_channel == by_channel[:, :1]):
            return pool_map((shape[0], shape[1], shape[2]), (1, 1), by_channel[:, 0])
    return Matrix(sparse.csr_array(sparse.diags_array(scale, format="csr")))


def pool_map(shape: tuple[int, int, int], size: tuple[int, int], scale: F64 | float = 1.0) -> Kernel:
    """Return the map of sums over windows of a size, side by side, each channel times its `scale`."""
    kernel = np.empty((shape[0], 1, 1, 1), np.float64)
    kernel[:, 0, 0, 0] = scale
    return Kernel(Convolution(kernel, shape, groups=shape[0], pool=size))


def then(who: str, first: Map, second: Map) -> Map:
    """Return the map that applies `first`, then `second`; ModelError, beginning with `who`, where it would be too large."""
    if isinstance(first, Identity):
        return second
    if isinstance(second, Identity):
        return first
    if isinstance(first, Kernel) and isinstance(second, Kernel):
        a, b = first.convolution, second.convolution
        if first.is_pointwise:
            scale = a.kernel[:, 0, 0, 0].reshape(b.groups, -1)  # (groups, channels in of each)
            kernel = b.kernel * scale.repeat(len(b.kernel) // b.groups, axis=0)[:, :, None, None]
            pool = a.pool[0] * b.pool[0], a.pool[1] * b.pool[1]
            return Kernel(replace(b, kernel=kernel, input_shape=a.input_shape, pool=pool))
        if second.is_pointwise and b.pool == (1, 1):
            return Kernel(replace(a, kernel=a.kernel * b.kernel))
    if isinstance(first, Kernel) and isinstance(second, Matrix) and first.is_pointwise and second.dense is not None:
        a = first.convolution
        if a.pool != (1, 1):  # a kernel as large as the pooled map, so that weights are not repeated for each of a window
            kernel = second.dense.reshape(len(second.dense), *a.pooled_shape) * a.kernel[:, 0, 0, 0][:, None, None]
            return Kernel(Convolution(kernel, a.input_shape, pool=a.pool))
    left, right = _rows(who, second), _rows(who, first)
    products = int(np.diff(right.indptr)[left.indices].sum())
    if products > MOST_UNROLLED:
        raise ModelError(f"{who}: weights behind weights take {products:,} products to fold; needs at most {MOST_UNROLLED:,}")
    return Matrix(left @ right)


def plus(who: str, one: Map, other: Map) -> Map:
    """Return the sum of two maps between the same units."""
    return Matrix((_rows(who, one) + _rows(who, other)).tocsr())


def only(who: str, whole: Map, kept: Array) -> Map:
    """Return the map with the rows alone that are `kept` (units out,)."""
    from scipy import sparse

    if np.all(kept):
        return whole
    return Matrix((sparse.diags_array(kept.astype(np.float64), format="csr") @ _rows(who, whole)).tocsr())


def applied(who: str, whole: Map, numbers: F64) -> F64:
    """Return what a map makes of numbers (units in,)."""
    if isinstance(whole, Identity):
        return numbers
    return np.asarray(_rows(who, whole) @ numbers, np.float64)


def weights_of(who: str, whole: Map) -> SparseRows | Convolution:
    """Return a map as weights of a projection, in float32; ModelError, beginning with `who`, where one is not finite."""
    if isinstance(whole, Kernel):
        weights = replace(whole.convolution, kernel=_narrow(whole.convolution.kernel))
        weights.check(who)
        return weights
    rows = _rows(who, whole).astype(np.float64)
    rows.sort_indices()
    values = _narrow(rows.data)
    kept = values != 0  # rounded to zero, or a sum that is
    counts = np.add.reduceat(np.append(kept, False).astype(np.int64), rows.indptr[:-1]) * (np.diff(rows.indptr) > 0)
    extents = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]).astype(np.int64)
    result = SparseRows((rows.shape[0], rows.shape[1]), extents, rows.indices[kept].astype(np.uint32), values[kept])
    result.check(who)
    return result


def _narrow(values: F64) -> Array:
    with np.errstate(over="ignore"):  # infinities are named by whoever checks
        return values.astype(np.float32)


def _rows(who: str, whole: Map) -> Any:
    from scipy import sparse

    if isinstance(whole, Matrix):
        return whole.rows
    if isinstance(whole, Identity):
        return sparse.eye_array(whole.units, format="csr")
    convolution = whole.convolution
    if convolution.nonzeros > MOST_UNROLLED:
        need = f"needs at most {MOST_UNROLLED:,}"
        raise ModelError(f"{who}: a convolution of {convolution.nonzeros:,} elements would have to be unrolled; {need}")
    rows = convolution.to_rows()
    return sparse.csr_array((rows.values.astype(np.float64), rows.columns.astype(np.int64), rows.extents), shape=rows.shape)
