"""A decoder block of OPT-125M's shapes in int8, with weights that follow from a seed.

It executes where the real ones are not at hand. Scales are powers of two, chosen so that numbers stay about as wide as int8: each
sum is shifted by what its depth makes of random operands. Nothing is learnt; what is real is every shape, and so every tile, byte
and cycle.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from models.dnn.integer import IntegerNetwork, IntegerOperation, IntegerTensor, Requantisation
from models.dnn.opt_shapes import HEADS, INNER, WIDTH
from models.network import Array

INPUT = "tokens"
_SPREAD = 30.0  # of int8 numbers, about
_EXPONENT = -5  # of every tensor's scale


def opt_block(tokens: int, *, seed: int = 1, width: int = WIDTH, heads: int = HEADS, inner: int = INNER) -> IntegerNetwork:
    """Return the block over so many tokens: (1, tokens, width) int8 to the same."""
    return _Block(tokens, seed, width, heads, inner).network()


def opt_tokens(count: int, tokens: int, *, seed: int = 2, width: int = WIDTH) -> Array:
    """Return inputs of the block, int8 (count, 1, tokens, width)."""
    return _numbers(np.random.default_rng(seed), count, 1, tokens, width)


def _numbers(rng: np.random.Generator, *shape: int) -> Array:
    return np.clip(np.rint(rng.normal(0, _SPREAD, shape)), -127, 127).astype(np.int8)


class _Block:
    def __init__(self, tokens: int, seed: int, width: int, heads: int, inner: int) -> None:
        self.tokens, self.width, self.heads, self.inner = tokens, width, heads, inner
        self._rng = np.random.default_rng(seed)
        self._tensors: dict[str, IntegerTensor] = {}
        self._operations: list[IntegerOperation] = []

    def network(self) -> IntegerNetwork:
        tokens, width, each = self.tokens, self.width, self.width // self.heads
        rows = (1, tokens, width)
        self._tensor(INPUT, rows)
        heard = self._norm("norm 1", INPUT)
        query = self._heads("q", self._linear("q", heard, width), (0, 2, 1, 3))
        key = self._heads("k", self._linear("k", heard, width), (0, 2, 3, 1))  # transposed
        value = self._heads("v", self._linear("v", heard, width), (0, 2, 1, 3))
        scores = self._product("q k^T", query, key, (1, self.heads, tokens, tokens), each)
        table = np.rint(np.exp(-np.arange(256) * 2.0**_EXPONENT) * 2.0**20).astype(np.uint32)
        arrays = {"table": table, "factor": np.array([127], np.float32), "mask": np.tril(np.ones((tokens, tokens), np.uint8))}
        shares = self._add("softmax", "softmax", [scores], (1, self.heads, tokens, tokens), self._scale(0), arrays)
        mixed = self._product("p v", shares, value, (1, self.heads, tokens, each), 1)
        back = self._add("heads", "transpose", [mixed], (1, tokens, self.heads, each), permutation=(0, 2, 1, 3))
        joined = self._add("join", "reshape", [back], rows, shape=rows)
        first = self._sum("add 1", INPUT, self._linear("out", joined, width))
        wide = self._linear("fc1", self._norm("norm 2", first), self.inner, low=0)
        self._sum("add 2", first, self._linear("fc2", wide, width))
        return IntegerNetwork(
            inputs=(INPUT,), outputs=(self._operations[-1].output,), tensors=self._tensors, operations=tuple(self._operations),
            constants={},
        )  # fmt: skip

    def _tensor(self, name: str, shape: tuple[int, ...], low: int = -128) -> str:
        self._tensors[name] = IntegerTensor(
            name=name, shape=shape, dtype="int8", scale=2.0**_EXPONENT, exponent=_EXPONENT, low=low
        )  # fmt: skip
        return name

    def _add(
        self, name: str, kind: str, inputs: list[str], made: tuple[int, ...], scale: Requantisation | None = None,
        arrays: dict[str, Array] | None = None, bound: int = 0, **attributes: Any,
    ) -> str:  # fmt: skip
        output = self._tensor(name, made, -128 if scale is None else scale.low)
        self._operations.append(IntegerOperation(
            name=name, kind=kind, inputs=tuple(inputs), output=output, attributes=attributes, arrays=arrays or {},
            requantisation=scale, sum_low=-bound, sum_high=bound,
        ))  # fmt: skip
        return output

    def _scale(self, shift: int, low: int = -128) -> Requantisation:
        return Requantisation(
            multipliers=np.ones(1, np.int64), shifts=np.array([shift], np.int32), zero_point=0, low=low, high=127,
            rounding="half-up",
        )  # fmt: skip

    def _linear(self, name: str, x: str, columns: int, low: int = -128) -> str:
        depth = self._tensors[x].shape[-1]
        weights = _numbers(self._rng, depth, columns)
        bias = self._rng.integers(-999, 1000, columns).astype(np.int32)
        bound = int(np.abs(weights.astype(np.int64)).sum(axis=0).max()) * 128 + 999
        scale, shape = self._scale(_shift(depth), low), (1, self.tokens, columns)
        return self._add(name, "matmul", [x], shape, scale, {"weights": weights, "bias": bias}, bound)

    def _product(self, name: str, x: str, y: str, shape: tuple[int, ...], depth: int) -> str:
        bound = self._tensors[x].shape[-1] << 14
        return self._add(name, "batch_matmul", [x, y], shape, self._scale(_shift(depth)), None, bound, offsets=(0, 0))

    def _norm(self, name: str, x: str) -> str:
        arrays = {
            "gamma": np.full(self.width, _SPREAD, np.float32), "beta": np.zeros(self.width, np.float32),
            "epsilon": np.ones(1, np.float32),
        }  # fmt: skip
        return self._add(name, "layer_norm", [x], self._tensors[x].shape, self._scale(0), arrays)

    def _heads(self, name: str, x: str, order: tuple[int, ...]) -> str:
        each = self.width // self.heads
        shape = (1, self.tokens, self.heads, each)
        cut = self._add(f"{name} cut", "reshape", [x], shape, shape=shape)
        return self._add(f"{name} heads", "transpose", [cut], tuple(shape[axis] for axis in order), permutation=order)

    def _sum(self, name: str, x: str, y: str) -> str:
        return self._add(
            name, "add", [x, y], self._tensors[x].shape, self._scale(1), None, 256, multipliers=(1, 1), offsets=(0, 0)
        )  # fmt: skip


def _shift(depth: int) -> int:
    """Return by how much a sum of so many products of random numbers is shifted."""
    return max(1, round(math.log2(_SPREAD * math.sqrt(depth))))
