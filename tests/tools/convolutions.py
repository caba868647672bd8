"""Convolutions for tests: drawn by hypothesis, and as layers of networks."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from models.convolution import Convolution
from models.network import ModelError


@st.composite
def convolutions(draw, weight="float32", most=7):
    """A convolution of any kind that there is: stride, padding, dilation, groups, a pool, one dimension or two."""
    flat, pair = draw(st.booleans()), lambda low, high: (1 if flat else draw(st.integers(low, high)), draw(st.integers(low, high)))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    shape = groups * draw(st.integers(1, 3)), draw(st.integers(1, 2)), *pair(1, 3)
    pad = draw(st.tuples(*[st.integers(0, 2)] * 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kernel = rng.integers(-4, 5, shape) if weight == "int8" else rng.normal(0, 1, shape) * (rng.random(shape) < 0.8)
    if weight == "float32" and draw(st.booleans()):  # sums of these depend on their order
        kernel = kernel * rng.choice([1e-30, 1.0, 3e7], shape)
    padding = (0, pad[1], 0, pad[3]) if flat else pad
    made = Convolution(
        kernel.astype(weight), (groups * shape[1], *pair(1, most)), stride=pair(1, 3), padding=padding, dilation=pair(1, 3),
        groups=groups, pool=pair(1, 2),
    )  # fmt: skip
    try:
        made.check("drawn")
    except ModelError:  # the kernel does not fit: one that does
        made = Convolution(kernel.astype(weight), (groups * shape[1], 3 * most, 3 * most), groups=groups)
    return made


@st.composite
def splits(draw, rows):
    """The rows of a matrix in shards, ascending in each: runs, blocks, or any."""
    shards = draw(st.integers(1, min(rows, 4)))
    if draw(st.booleans()):
        return [part for part in np.array_split(np.arange(rows), shards) if len(part)]
    owner = np.random.default_rng(draw(st.integers(0, 99))).integers(0, shards, rows)
    return [part for part in (np.flatnonzero(owner == shard) for shard in range(shards)) if len(part)]
