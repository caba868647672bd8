"""The layers of a spiking gesture classifier: three convolutions, two sum pools, two dense layers, `lif` neurons behind each; or
integrators (`li`) behind the last, whose membranes answer.

They are those of Arfa et al. (arXiv:2504.06748): 25,504 weights without biases and 7,859 neurons on 2 x 32 x 32 inputs. A seeded
one has learnt nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from models.convolution import Convolution
from models.kernels import li
from models.kernels.lif import FILL
from models.network import F32, Array, Network, Population, Projection, SparseRows
from models.spiking import FORMS, RESETS, vectors_of

SHAPES = ((5, 2, 1, 1), (3, 1, 1, 1), (3, 1, 1, 2))  # of each convolution: width, stride, padding, sum pool before it
LAST_POOL = 2
BETA = 0.93  # the paper's
CHANNELS, HIDDEN = (16, 16, 8), 256
_STEPS = 1 << 20
_GAINS = (6.0, 8.0, 6.0, 6.0, 8.0)  # of a seeded layer's weights: some neurons of each layer fire


def map_sizes(size: int) -> list[int]:
    """Return the pixels along a side behind each convolution, of an input of `size`, and behind the last pool."""
    sizes = []
    for k, stride, padding, pool in SHAPES:
        size = (size // pool + 2 * padding - k) // stride + 1
        sizes.append(size)
    return [*sizes, size // LAST_POOL]


def spiking_classifier(
    weights: Sequence[Array], thresholds: Sequence[Array], rates: Sequence[Array], size: int, payload: str = "spike"
) -> Network:
    """Return the network of weights (out, in, k, k) three times, then (out, in) twice, float32, that hears `size` x `size` cells.

    `thresholds` and `rates` of each layer are one number a channel or unit out. Neurons subtract one step late. Without
    thresholds of the last layer its neurons are integrators: v = rate v + (1 - rate) x.
    """
    shape = (weights[0].shape[1], size, size)
    populations = [Population("input", int(np.prod(shape)), payload=payload)]
    for number, values in enumerate(weights, start=1):
        part: Convolution | SparseRows
        if values.ndim == 4:
            _, stride, padding, pool = SHAPES[number - 1]
            part = Convolution(
                values, shape, stride=(stride, stride), padding=(padding, padding, padding, padding), pool=(pool, pool)
            )
            shape = part.output_shape
        elif number == len(SHAPES) + 1:
            side = shape[1] // LAST_POOL
            part = Convolution(values.reshape(-1, shape[0], side, side), shape, pool=(LAST_POOL, LAST_POOL))
        else:
            part = SparseRows.from_dense(values)
        if number > len(thresholds):
            populations.append(_integrators(f"li{number}", part, rates[number - 1], number - 1))
        else:
            populations.append(_neurons(f"lif{number}", part, thresholds[number - 1], rates[number - 1], number - 1))
    return Network(tuple(populations))


def _neurons(name: str, weights: Convolution | SparseRows, thresholds: Array, rates: Array, source: int) -> Population:
    units = weights.shape[0]
    each = units // len(thresholds)
    fill: Mapping[str, Any] = FILL
    vectors = vectors_of(units, fill, rate=rates.repeat(each), threshold=thresholds.repeat(each))
    params = {"form": float(FORMS.index("decay")), "reset": float(RESETS.index("subtract-late"))}
    projection = Projection(source=source, port="input", weights=weights)
    return Population(name, units, kernel="lif", projections=(projection,), vectors=vectors, params=params, payload="spike")


def _integrators(name: str, weights: Convolution | SparseRows, rates: Array, source: int) -> Population:
    vectors = vectors_of(len(rates), li.FILL, rate=rates, gain=np.float32(1) - rates)
    params = {"form": float(FORMS.index("decay"))}
    projection = Projection(source=source, port="input", weights=weights)
    return Population(
        name, len(rates), kernel="li", projections=(projection,), vectors=vectors, params=params, payload="float32", dense=True
    )


def seeded_classifier(
    classes: int, channels: Sequence[int] = CHANNELS, hidden: int = HIDDEN, size: int = 32, seed: int = 1, inputs: int = 2
) -> Network:
    """Return a classifier of random weights, the same bits on every machine; by default of the paper's sizes."""
    rng, weights, heard = np.random.default_rng(seed), list[F32](), inputs
    for (k, *_), out in zip(SHAPES, channels, strict=True):
        weights.append(_uniform(rng, (out, heard, k, k), _GAINS[len(weights)]))
        heard = out
    flat = heard * map_sizes(size)[-1] ** 2
    weights += [_uniform(rng, (hidden, flat), _GAINS[3]), _uniform(rng, (classes, hidden), _GAINS[4])]
    ones = [np.ones(len(values), np.float32) for values in weights]
    return spiking_classifier(weights, ones, [one * np.float32(BETA) for one in ones], size)


def _uniform(rng: np.random.Generator, shape: tuple[int, ...], gain: float) -> F32:
    """Return weights of a standard deviation of gain / sqrt(3 fan-in), exact steps of a grid."""
    steps = rng.integers(-_STEPS, _STEPS, shape).astype(np.float32)
    return np.asarray(steps * np.float32(gain / np.sqrt(np.prod(shape[1:])) / _STEPS / 3), np.float32)
