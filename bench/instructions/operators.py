"""Cycles of the loops of `operators.c`: what a DNN asks of a PE's core. What they compute is checked against numpy.

Each count is of an element (a product of a depthwise convolution, an element that a pool's window sees), all of the loop's work
on it included; what a row or a window takes beside it is in the figures of pools and depthwise convolutions, and in no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from bench.instructions.compiled import Compiled
from bench.instructions.kernels import Case, Cost, costs_of

_MULTIPLIER, _SHIFT, _ZERO = 0x5B3C2A19, 41, -3
_WINDOWS = ((2, 2), (3, 1), (3, 2), (5, 1), (7, 1))
"""Kernels with as many rows as columns, and their strides."""
_COUNTS = (32, 64, 192)


def _draw(seed: int) -> Any:
    return np.random.default_rng(seed)


def _bytes(rng: Any, *shape: int) -> Any:
    return rng.integers(-128, 128, shape).astype("i1")


def _clamped(values: Any, low: int = -128, high: int = 127) -> Any:
    return np.clip(values, low, high).astype("i1")


def _scaled(sums: Any, low: int = -128, high: int = 127) -> Any:
    products = np.asarray(sums, np.int64) * _MULTIPLIER + (1 << (_SHIFT - 1))
    return _clamped(_ZERO + (products >> _SHIFT), low, high)


def _equal(ours: Any, expected: Any) -> None:
    np.testing.assert_array_equal(ours, expected)


def scaling(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that scale sums to int8."""
    rng, ends = _draw(1), (-100, 90) if name == "requantise_any" else ()
    for count in _COUNTS:
        sums = rng.integers(-200_000, 200_000, count).astype("<i4")
        run, arrays = program.call(name, count, sums, np.zeros(count, "i1"), _MULTIPLIER, _SHIFT, _ZERO & 0xFFFFFFFF, *_words(ends))
        _equal(arrays[1], _scaled(sums, *ends))
        yield {"element": count}, run


def partial(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that add up partial sums."""
    rng = _draw(2)
    for count in _COUNTS:
        part, sums = (rng.integers(-(2**20), 2**20, count).astype("<i4") for _ in range(2))
        run, arrays = program.call(name, count, part, sums)
        _equal(arrays[1], sums + part)
        yield {"element": count}, run


def table(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that look bytes up."""
    rng = _draw(3)
    for count in _COUNTS:
        values, x = _bytes(rng, 256), _bytes(rng, count)
        run, arrays = program.call(name, count, values, x, np.zeros(count, "i1"))
        _equal(arrays[2], values[x.astype(int) + 128])
        yield {"element": count}, run


def addition(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs of a residual addition."""
    rng, of_x, of_y, rest, shift = _draw(4), 700_001, 400_003, -12_345_678, 20
    ends = (-100, 90) if name == "add_any" else ()
    for count in _COUNTS:
        x, y = _bytes(rng, count), _bytes(rng, count)
        numbers = (of_x, of_y, rest & 0xFFFFFFFF, shift)
        run, arrays = program.call(name, count, x, y, np.zeros(count, "i1"), *numbers, *_words(ends))
        _equal(arrays[2], _clamped((x.astype(int) * of_x + y.astype(int) * of_y + rest) >> shift, *ends))
        yield {"element": count}, run


def product(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs of a product that is scaled."""
    rng, offsets = _draw(5), (5, -7)
    for count in _COUNTS:
        x, y = _bytes(rng, count), _bytes(rng, count)
        numbers = (*_words(offsets), _MULTIPLIER, _SHIFT, _ZERO & 0xFFFFFFFF)
        run, arrays = program.call(name, count, x, y, np.zeros(count, "i1"), *numbers)
        _equal(arrays[2], _scaled((x.astype(int) - offsets[0]) * (y.astype(int) - offsets[1])))
        yield {"element": count}, run


def mean(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that sum rows."""
    rng, offset = _draw(6), 5
    for rows in (2, 8):
        for width in (32, 64, 192):
            x = _bytes(rng, rows, width)
            run, arrays = program.call(name, rows, width, x, np.zeros(rows, "<i4"), offset)
            _equal(arrays[1], x.astype(int).sum(axis=1) - width * offset)
            yield {"element": rows * width, "row": rows}, run


def movement(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that put bytes elsewhere; `move_apart` as columns."""
    rng, apart = _draw(7), name == "move_apart"
    for rows in (4, 16):
        for width in (32, 64, 128):
            x, wide = _bytes(rng, rows, width), (rows if apart else width) + 8
            out = np.zeros((width if apart else rows, wide), "i1")
            run, arrays = program.call(name, rows, width, x, width, out, wide)
            _equal(arrays[1][:, : wide - 8], x.T if apart else x)
            yield {"element": x.size, "row": rows}, run


def window(program: Compiled, name: str, kernel: int, stride: int) -> Iterator[Case]:
    """Yield runs over the windows of a plane."""
    rng = _draw(8)
    for rows, columns in ((4, 5), (8, 8), (14, 14)):
        width = (columns - 1) * stride + kernel
        x = _bytes(rng, (rows - 1) * stride + kernel, width)
        windows = np.lib.stride_tricks.sliding_window_view(x.astype(int), (kernel, kernel))[::stride, ::stride]
        weights, rest = _bytes(rng, kernel, kernel), 1000
        shape, more = (rows, columns), ([weights] if name == "depthwise" else [])
        out = np.zeros(shape, "i1" if name == "largest" else "<i4")
        run, arrays = program.call(
            name, rows, columns, kernel, stride, width, x, *more, out, *([] if name == "largest" else [rest])
        )
        expected = {"largest": windows.max((2, 3)), "sums_of_windows": windows.sum((2, 3)) + rest}
        _equal(arrays[-1], expected[name] if name in expected else (windows * weights).sum((2, 3)) + rest)
        yield {"element": rows * columns * kernel * kernel}, run


def softmax(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs of a softmax; with the chip's unit, what it answers is made up."""
    rng, values = _draw(9), np.rint(np.exp(-np.arange(256) * 0.05) * 2**20).astype("<u4")
    for rows in (2, 6):
        for width in (32, 64, 128):
            x, factor = _bytes(rng, rows, width), np.float32(255.0)
            exponentials = values if name == "softmax" else np.zeros(width, "<u4")
            run, arrays = program.call(name, rows, width, x, exponentials, np.zeros((rows, width), "i1"), 0xFFFFFF80, float(factor))
            if name == "softmax":
                powers = values[x.max(axis=1, keepdims=True).astype(int) - x]
                ratio = factor / powers.sum(axis=1, keepdims=True).astype(np.float32)
                _equal(arrays[2], _clamped(-128 + (powers.astype(np.float32) * ratio + np.float32(0.5)).astype(int)))
            yield {"element": rows * width, "row": rows}, run


def layer_norm(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs of a layer normalisation."""
    rng = _draw(10)
    for rows in (2, 6):
        for width in (32, 64, 128):
            x = _bytes(rng, rows, width)
            gamma, beta = (rng.normal(size=width).astype("<f4") * np.float32(size) for size in (30, 3))
            run, arrays = program.call(name, rows, width, x, gamma, beta, np.zeros((rows, width), "i1"), 2, 1.0)
            wide, n = x.astype(np.int64), width
            total, squares = wide.sum(axis=1, keepdims=True), (wide**2).sum(axis=1, keepdims=True)
            scale = np.float32(1) / np.sqrt((n * squares - total**2).astype(np.float32) + np.float32(1))
            value = (n * wide - total).astype(np.float32) * scale * gamma + beta
            _equal(arrays[3], _clamped(2 + np.floor(value + np.float32(0.5)).astype(int)))
            yield {"element": rows * width, "row": rows}, run


def _words(numbers: tuple[int, ...]) -> list[int]:
    return [number & 0xFFFFFFFF for number in numbers]


_LOOPS = {
    "requantise": scaling, "requantise_any": scaling, "partial": partial, "table": table, "add": addition, "add_any": addition,
    "multiply": product, "mean": mean, "mean_in_words": mean,
    "move": movement, "move_apart": movement, "move_words": movement,
    "softmax": softmax, "softmax_rest": softmax, "layer_norm": layer_norm,
}  # fmt: skip
_FLAGS = ("-ffp-contract=off", "-fno-math-errno")
_OVER_WINDOWS = ("largest", "sums_of_windows", "depthwise")


def counted() -> Mapping[str, Mapping[str, Cost]]:
    """Return what each loop's things cost, by loop, those over windows with kernel and stride; MissingTool as `kernels.counted`."""
    program, unrolled = (Compiled("operators.c", *_FLAGS, *more, libm=True) for more in ((), ("-funroll-loops",)))
    costs = {name: costs_of(cases(program, name)) for name, cases in _LOOPS.items()}
    costs |= {f"{name}_unrolled": costs_of(cases(unrolled, name)) for name, cases in _LOOPS.items()}
    for name in _OVER_WINDOWS:
        for kernel, stride in _WINDOWS:
            costs[f"{name}_{kernel}x{kernel}_{stride}"] = costs_of(window(program, name, kernel, stride))
    return costs


def main() -> None:
    """Print the table."""
    from bench.instructions.kernels import table as lines

    print("\n".join(lines(counted())))


if __name__ == "__main__":
    main()
