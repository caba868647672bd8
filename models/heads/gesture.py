"""The gesture classifier's parts on the host: the CNN head before the layers, and the read-out of the last one.

A frame (size, size) goes through convolutions, each with bias, ReLU and, where it says so, a max-pool of 3 x 3 with
stride 2 (AlexNet's); what is left is flattened (channel, row, column) and a linear layer makes the features that are
the network's input (the layer plan of EvNN's `benchmarks/dvs_gesture`). Everything is float32 without BLAS: a sum has
one accumulator that starts at +0, takes its products in ascending (channel, row, column) of what is summed over, and the
bias last; so the features have the same bits on every machine. Products with zeros, padding among them, are left out,
which changes no accumulator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from models.compute.compiling import compiled
from models.heads import Example
from models.heads._plain_sums import example_numbers, example_rows, plain_sums
from models.heads.language import logits_of
from models.network import F32, Array, ModelError, check_finite, check_trace

POLARITIES = ("mean", "diff")  # how the two polarities of a pixel become one number
_POOL, _POOL_STRIDE = 3, 2
_BLOCK = 64  # frames that go through the head side by side
_MAX_SIZE = 1024


@dataclass(frozen=True)
class ConvLayer:
    """A convolution over square frames with ReLU, and a max-pool of 3 x 3, stride 2, behind it where `pool` says so.

    `weight` (out, in, k, k) and `bias` (out,) are float32; a product is a correlation, as in torch. `padding` rows and
    columns of zeros surround a frame. ModelError for what cannot be.
    """

    weight: F32
    bias: F32
    stride: int = 1
    padding: int = 0
    pool: bool = False

    def __post_init__(self) -> None:
        shape = self.weight.shape
        if len(shape) != 4 or shape[2] != shape[3] or 0 in shape or self.bias.shape != shape[:1]:
            raise ModelError(f"convolution: needs weights (out, in, k, k) and a bias (out,), has {shape} and {self.bias.shape}")
        if self.stride < 1 or not 0 <= self.padding < shape[2]:
            have = f"stride {self.stride} and padding {self.padding}"
            raise ModelError(f"convolution: needs a stride from 1 and a padding from 0 below its width {shape[2]}, has {have}")

    @cached_property
    def columns(self) -> F32:
        """The weights as the loops read them: (in, k, k, out), contiguous."""
        return np.array(self.weight.transpose(1, 2, 3, 0), np.float32, order="C")

    def convolved(self, size: int) -> int:
        """Return the width of what the convolution alone makes of frames of width `size`; below 1: too small for it."""
        return int((size + 2 * self.padding - self.weight.shape[2]) // self.stride + 1)

    def width(self, size: int) -> int:
        """Return the width of what the layer makes of frames of width `size`; below 1: too small for it."""
        size = self.convolved(size)
        return (size - _POOL) // _POOL_STRIDE + 1 if self.pool else size


@dataclass(frozen=True)
class Gesture:
    """The head, the read-out, and how frames are made of events; ModelError for parts that do not fit together.

    `linear_weight` (features, flat) and `linear_bias` (features,) make the features out of the flattened head; a ReLU
    follows where `feature_relu` says so. The class scores are `readout_weight` (classes, units) times the mean over time
    of what the read-out hears of the last layer, plus `readout_bias` (classes,): the low-pass trace of its events with
    decay `trace`, or the events themselves where that is 0. All arrays are float32.

    Frames are `size` pixels wide, count events in bins of `bin_us` over slices of `slice_us`, merge polarities by
    `polarity` and are divided by `scale`. `record` is whatever training has to tell, JSON-able.
    """

    head: tuple[ConvLayer, ...]
    linear_weight: F32
    linear_bias: F32
    readout_weight: F32
    readout_bias: F32
    classes: tuple[str, ...]
    bin_us: int = 25_000
    slice_us: int = 1_700_000
    size: int = 32
    polarity: str = "mean"
    scale: float = 1.0
    trace: float = 0.0
    record: Mapping[str, Any] = field(default_factory=dict)
    feature_relu: bool = False

    def __post_init__(self) -> None:
        widths, channels = self.widths, [1, *(layer.weight.shape[0] for layer in self.head)]
        for number, layer in enumerate(self.head, start=1):
            if layer.weight.shape[1] != channels[number - 1]:
                is_for = f"{layer.weight.shape[1]} channels, hears {channels[number - 1]}"
                raise ModelError(f"gesture head: convolution {number} is for {is_for}")
        if min(widths) < 1:
            raise ModelError(f"gesture head: frames of {self.size} pixels become {' > '.join(map(str, widths))}; needs at least 1")
        flat = channels[-1] * widths[-1] ** 2
        features, classes = self.linear_weight.shape[0], len(self.classes)
        shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (
            ("linear weight", self.linear_weight.shape, (features, flat)),
            ("linear bias", self.linear_bias.shape, (features,)),
            ("readout weight", self.readout_weight.shape, (classes, *self.readout_weight.shape[1:2])),
            ("readout bias", self.readout_bias.shape, (classes,)),
        )
        for name, have, need in shapes:
            if have != need or 0 in have:
                raise ModelError(f"gesture: {name} needs shape {need}, has {have}")
        if len(set(self.classes)) != classes or not all(name and name.isprintable() for name in self.classes):
            raise ModelError("gesture: needs classes with names, no name twice")
        if self.polarity not in POLARITIES:
            raise ModelError(f"gesture: polarity {self.polarity!r} is not known here, needs {' or '.join(map(repr, POLARITIES))}")
        if not 1 <= self.bin_us <= self.slice_us:
            raise ModelError(f"gesture: needs bins from 1 us to a slice, has {self.bin_us} us in a slice of {self.slice_us} us")
        if not (math.isfinite(self.scale) and self.scale > 0):
            raise ModelError(f"gesture: scale {self.scale} needs a finite number above 0")
        check_trace("gesture", self.trace)
        for name in ("linear_weight", "linear_bias", "readout_weight", "readout_bias"):
            check_finite(f"gesture: {name}", getattr(self, name))

    @property
    def widths(self) -> list[int]:
        """Widths of the frame and of what each layer of the head makes of it."""
        if not 1 <= self.size <= _MAX_SIZE:
            raise ModelError(f"gesture: frames need 1 to {_MAX_SIZE} pixels, have {self.size}")
        widths = [self.size]
        for layer in self.head:
            widths.append(layer.width(widths[-1]))
        return widths

    @property
    def features(self) -> int:
        """How many features a frame makes: the input units of the network."""
        return int(self.linear_weight.shape[0])

    @property
    def units(self) -> int:
        """How many units the read-out hears: those of the network's last layer."""
        return int(self.readout_weight.shape[1])

    @property
    def frames(self) -> int:
        """Frames of a slice: positions of a sequence."""
        return self.slice_us // self.bin_us

    @cached_property
    def linear_columns(self) -> F32:
        """The linear layer as a convolution that is as wide as what it hears: (channels, width, width, features)."""
        width = self.widths[-1]
        return np.array(self.linear_weight.T, np.float32, order="C").reshape(-1, width, width, self.features)

    @cached_property
    def readout_columns(self) -> F32:
        """The read-out's weights unit by unit: (units, classes), contiguous."""
        return np.array(self.readout_weight.T, np.float32, order="C")


def features_of(gesture: Gesture, frames: F32) -> F32:
    """Return the features (n, features) float32 of frames (n, size, size) float32, in the order of sums stated above.

    ModelError for frames of another size.
    """
    if frames.ndim != 3 or frames.shape[1:] != (gesture.size, gesture.size):
        raise ModelError(f"frames: need shape (n, {gesture.size}, {gesture.size}), have {frames.shape}")
    features = np.empty((len(frames), gesture.features), np.float32)
    for first in range(0, len(frames), _BLOCK):
        # A copy, as of weights and biases: a compiled loop would be built a second time for a read-only array.
        seen = np.array(frames[first : first + _BLOCK, :, :, None], np.float32, order="C")
        for layer in gesture.head:
            seen = _convolved(seen, layer.columns, layer.bias, layer.stride, layer.padding, True)
            if layer.pool:
                width = (seen.shape[1] - _POOL) // _POOL_STRIDE + 1
                pooled = np.empty((len(seen), width, width, seen.shape[3]), np.float32)
                _pool(seen, pooled)
                seen = pooled
        out = _convolved(seen, gesture.linear_columns, gesture.linear_bias, 1, 0, gesture.feature_relu)
        features[first : first + _BLOCK] = out[:, 0, 0, :]
    return features


def _convolved(seen: F32, columns: F32, bias: F32, stride: int, padding: int, relu: bool) -> F32:
    width = (seen.shape[1] + 2 * padding - columns.shape[1]) // stride + 1
    out = np.empty((len(seen), width, width, columns.shape[3]), np.float32)
    _convolve(seen, columns, np.array(bias, np.float32), stride, padding, relu, out)
    return out


@compiled
def _convolve(seen: Array, columns: Array, bias: Array, stride: int, padding: int, relu: bool, out: Array) -> None:
    zero = np.float32(0)
    height, channels, k = seen.shape[1], seen.shape[3], columns.shape[1]
    for frame in range(out.shape[0]):
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                sums = out[frame, oy, ox]
                for o in range(sums.size):
                    sums[o] = zero
                for channel in range(channels):
                    for ky in range(k):
                        y = oy * stride + ky - padding
                        if y < 0 or y >= height:
                            continue
                        for kx in range(k):
                            x = ox * stride + kx - padding
                            if x < 0 or x >= height:
                                continue
                            value = seen[frame, y, x, channel]
                            if value == zero:
                                continue
                            weights = columns[channel, ky, kx]
                            for o in range(sums.size):
                                sums[o] += weights[o] * value
                for o in range(sums.size):
                    total = sums[o] + bias[o]
                    if relu and total < zero:
                        total = zero
                    sums[o] = total


@compiled
def _pool(seen: Array, out: Array) -> None:
    for frame in range(out.shape[0]):
        for oy in range(out.shape[1]):
            for ox in range(out.shape[2]):
                for channel in range(out.shape[3]):
                    most = seen[frame, _POOL_STRIDE * oy, _POOL_STRIDE * ox, channel]
                    for ky in range(_POOL):
                        for kx in range(_POOL):
                            most = max(most, seen[frame, _POOL_STRIDE * oy + ky, _POOL_STRIDE * ox + kx, channel])
                    out[frame, oy, ox, channel] = most


class Scores:
    """The class scores of one sequence as its positions come in.

    What the read-out hears, h = trace * h + (1 - trace) * y, rounded after each product and after the sum, is summed up
    position by position; scores are the read-out of that sum divided by the number of positions, summed in ascending
    unit from +0, plus the bias. All float32: the same bits on every machine. `lane` says which of the sequences side by side
    it is: of an event's key, lane * units + unit.
    """

    def __init__(self, gesture: Gesture, lane: int = 0) -> None:
        self._gesture, self._lane = gesture, lane
        self._keep = np.float32(gesture.trace)
        self._share = np.float32(1) - self._keep
        self._all = np.arange(gesture.units, dtype=np.uint32)
        self._bias = np.array(gesture.readout_bias, np.float32)
        self.reset()

    def reset(self) -> None:
        """Begin a sequence."""
        self.positions = 0
        self._heard, self._sum = np.zeros((2, self._gesture.units), np.float32)

    def sums(self) -> tuple[F32, F32]:
        """Return what the read-out hears now and its sum, (units,) float32 each: with `positions`, the whole state."""
        return self._heard, self._sum

    def resume(self, positions: int, heard: F32, total: F32) -> None:
        """Go on from a state."""
        self.positions = positions
        self._heard[:], self._sum[:] = heard, total

    def add(self, keys: Array, values: Array) -> None:
        """Take one position's events of the last layer: ascending keys uint32 and values float32, of all lanes."""
        first_key = self._lane * self._gesture.units
        first, last = np.searchsorted(keys, (first_key, first_key + self._gesture.units))
        self._heard *= self._keep
        self._heard[keys[first:last] - first_key] += self._share * values[first:last]
        self._sum += self._heard
        self.positions += 1

    def scores(self) -> F32:
        """Return the scores so far, (classes,) float32; before any position those of silence."""
        mean = self._sum / np.float32(max(self.positions, 1))
        out = np.empty_like(self._bias)
        logits_of(self._all, mean, 0, self._gesture.readout_columns, self._bias, out)
        return out


def example() -> Example:
    """Return a small classifier whose frame goes through head and features, and those through trace and read-out, twice."""
    conv = ConvLayer(example_numbers(1, 2, 1, 2, 2), example_numbers(2, 2), padding=1)
    linear, offset = example_numbers(3, 4, 18), example_numbers(4, 4)
    readout, bias = example_numbers(5, 3, 4), example_numbers(6, 3)
    gesture = Gesture(
        head=(conv,), linear_weight=linear, linear_bias=offset, readout_weight=readout, readout_bias=bias,
        classes=("a", "b", "c"), size=2, trace=0.75,
    )  # fmt: skip

    def answer(row: F32) -> F32:
        (features,) = features_of(gesture, row.reshape(1, 2, 2))
        scores, keys = Scores(gesture), np.flatnonzero(features).astype(np.uint32)
        for _ in range(2):
            scores.add(keys, features[keys])
        return scores.scores()

    def plainly(row: F32) -> F32:
        seen = np.pad(row.reshape(2, 2), 1)
        flat = [plain_sums(w.reshape(1, 4), b[None], seen[y : y + 2, x : x + 2].reshape(-1))[0]
                for w, b in zip(conv.weight, conv.bias, strict=True) for y in range(3) for x in range(3)]  # fmt: skip
        heard = np.float32(0.25) * plain_sums(linear, offset, np.maximum(np.array(flat, np.float32), np.float32(0)))
        return plain_sums(readout, bias, (heard + (np.float32(0.75) * heard + heard)) / np.float32(2))

    return Example(answer, plainly, example_rows(4, seed=3))


def warm() -> None:
    """Compile the head and the read-out."""
    tiny = ConvLayer(np.ones((1, 1, 1, 1), np.float32), np.zeros(1, np.float32), pool=True)
    one, none = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    gesture = Gesture(
        head=(tiny,), linear_weight=one, linear_bias=none, readout_weight=one, readout_bias=none, classes=("any",), size=3
    )
    features_of(gesture, np.ones((1, 3, 3), np.float32))
    Scores(gesture).scores()
