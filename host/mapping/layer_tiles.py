"""A layer of a scheduled network as it is cut: its operation and tiling, where its tensors lie, and the constants of its tiles."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from host.mapping.dnn_tensors import TensorPlace
from host.mapping.tile_block import TileBlock
from models.dnn.integer import OVERFLOWS, ROUNDINGS, IntegerOperation
from models.dnn.program import B_BIAS, B_MULTIPLIER_COUNT, B_MULTIPLIERS, B_SHIFTS, C_STEP, aligned
from models.dnn.tiles import Tiling
from models.dnn.work import Conv2dWork, CoreWork, MatmulWork, Work
from models.network import Array, ModelError
from models.operators import operator

Store = Callable[[tuple[object, ...], Callable[[], bytes]], int]
"""Keeps constants under a key and returns their address: those of one key lie there once."""
_LARGEST = (1 << 31) - 1


@dataclass(frozen=True, kw_only=True)
class LayerTiles:
    """A layer, `tiling` of its work over all samples of a pass. `inputs` and `output`: where its tensors lie. `store` keeps
    constants. `stays`: its parameters stay on the workers from pass to pass.
    """

    operation: IntegerOperation
    tiling: Tiling
    inputs: Sequence[TensorPlace]
    output: TensorPlace
    overflow: str
    samples: int
    store: Store
    stays: bool = False

    @property
    def name(self) -> str:
        """The operation's."""
        return self.operation.name

    @property
    def output_tiles(self) -> int:
        """How many tiles there are, those of a cut depth as one."""
        return self.tiling.tiles // self.tiling.parts

    def read_parameters(self, block: TileBlock, key: tuple[object, ...], channels: slice, rest: Callable[[], Array]) -> int:
        """Read biases, multipliers and shifts of channels, and behind them `rest` (weights of the tile); return where that lies."""
        one = self.operation.requantisation
        assert one is not None
        several = len(one.multipliers) > 1
        count = channels.stop - channels.start
        bias = self.operation.arrays.get("bias")
        own = channels if several else slice(0, 1)
        heads = [
            np.zeros(count, np.int32) if bias is None else bias[channels], one.multipliers[own].astype(np.int32),
            one.shifts[own].astype(np.int32),
        ]  # fmt: skip
        sizes = [aligned(head.nbytes) for head in heads]

        def content() -> bytes:
            parts = [
                np.ascontiguousarray(head, "<i4").tobytes().ljust(size, b"\0") for head, size in zip(heads, sizes, strict=True)
            ]
            return b"".join(parts) + np.ascontiguousarray(rest()).tobytes()

        size = sum(sizes) + rest().nbytes
        at = block.read_constant(self.store((self.name, *key), content), size, stays=self.stays)
        block.set(B_BIAS, at)
        block.set(B_MULTIPLIERS, at + sizes[0])
        block.set(B_SHIFTS, at + sizes[0] + sizes[1])
        block.set(B_MULTIPLIER_COUNT, len(heads[1]))
        return at + sum(sizes)

    def step_words(self) -> dict[int, int]:
        """Return the words of the requantisation; ModelError for a multiplier of more than 31 bits."""
        one = self.operation.requantisation
        if one is None:
            return {}
        if int(np.abs(one.multipliers).max()) > _LARGEST:
            raise ModelError(f"operation {self.name}: a multiplier of {int(np.abs(one.multipliers).max())}; a worker takes 31 bits")
        numbers = (one.zero_point, one.low, one.high, ROUNDINGS.index(one.rounding), OVERFLOWS.index(self.overflow))
        return {C_STEP + n: int(number) for n, number in enumerate(numbers)}


def pair(first: int, values: Sequence[int]) -> dict[int, int]:
    """Return two words of a configuration."""
    return {first: int(values[0]), first + 1: int(values[1])}


def float_word(number: Array) -> int:
    """Return a word of a configuration that has the bits of one float32."""
    return int(np.asarray(number, np.float32).reshape(-1)[:1].view(np.int32)[0])


def work_of(operation: IntegerOperation, shapes: Mapping[str, tuple[int, ...]], samples: int) -> Work:
    """Return what an operation asks of PEs for so many samples: rows, images or units of all of them."""
    work = operator(operation.kind).work(operation, [shapes[name] for name in operation.inputs], shapes[operation.output])
    if isinstance(work, Conv2dWork):
        return replace(work, samples=work.samples * samples)
    if isinstance(work, CoreWork):
        return replace(work, units=work.units * samples)
    assert isinstance(work, MatmulWork)
    return (
        replace(work, rows=work.rows * work.batches * samples, batches=1)
        if work.is_weight
        else replace(work, batches=work.batches * samples)
    )


def pieces(whole: int, each: int) -> int:
    """Return into how many pieces something is cut."""
    return -(-whole // each)


def span(number: int, each: int, whole: int) -> tuple[int, int]:
    """Return where piece `number` begins, and how long it is."""
    begin = number * each
    return begin, min(each, whole - begin)
