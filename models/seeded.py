"""Networks from a seed: the right shapes and sparsity with random weights, for demonstrations and tests.

Only integers come from the random generator and only exact float32 arithmetic follows, so a seed gives the same bits on
every machine. Weights are scaled so that pre-activations have about unit variance at any size; with the thresholds
below 10 to 30 % of the units are over threshold. A seeded network has learnt nothing: its perplexity is about the size
of its vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.checkpoint import Model
from models.heads.gesture import ConvLayer, Gesture
from models.kernels.egru import INPUT, layer_of
from models.network import F32, Network, Population, SparseRows

PAPER_INPUT_UNITS = 750  # section III-C: the embedding's dimension, and the last layer's
PAPER_LAYERS = (1350, 1350, 750)
PAPER_DENSITY = 0.05  # 95 % of each weight matrix pruned
THRESHOLD = 0.35  # over this lie 10 to 30 % of the units (tests/test_seeded.py)
EMBEDDING_RMS = 0.15  # standard deviation of the embedding (assumed: of the size that trained ones have)
_EVENT_RMS = 0.3  # of a layer's y over all units, events and silent ones
_STEPS = 1 << 20


def _uniform(rng: np.random.Generator, count: int, half_width: float) -> F32:
    """Return `count` float32 in [-half_width, half_width), the same bits on every machine."""
    integers = rng.integers(-_STEPS, _STEPS, count, dtype=np.int64)
    return integers.astype(np.float32) * np.float32(half_width / _STEPS)


def _matrix(rng: np.random.Generator, rows: int, columns: int, density: float, source_rms: float) -> SparseRows:
    """Return a matrix whose rows have uneven numbers of weights, as trained and pruned ones do."""
    mean = density * columns
    if density >= 1:
        lengths = np.full(rows, columns)
    else:
        # Half to one and a half times the mean: blocks cut in index order differ, as they do in trained matrices.
        lengths = np.clip(rng.integers(int(mean // 2), int(mean * 1.5) + 2, rows), 1, columns)
    extents = np.zeros(rows + 1, np.int64)
    np.cumsum(lengths, out=extents[1:])
    picks = [np.sort(rng.permutation(columns)[:n]) for n in lengths] if density < 1 else [np.arange(columns)] * rows
    half_width = float(np.sqrt(3.0 / max(mean, 1.0)) / source_rms)  # unit variance of a sum of `mean` products
    values = _uniform(rng, int(extents[-1]), half_width)
    values[values == 0] = np.float32(half_width / _STEPS)  # a stored zero would be no weight
    return SparseRows((rows, columns), extents, np.concatenate(picks).astype(np.uint32), values)


def seeded_egru(
    input_units: int = PAPER_INPUT_UNITS, layers: Sequence[int] = PAPER_LAYERS, density: float = PAPER_DENSITY,
    seed: int = 1, threshold: float = THRESHOLD, zoneout: float = 0.0, inside: bool = False,
) -> Network:  # fmt: skip
    """Return a line of EGRU layers; by default with the paper's sizes. `inside`: with their reset gates inside the product, two
    populations a layer.

    `density` is the share of each weight matrix that is not pruned, (0, 1]; `threshold` the mean event threshold (0 with large
    biases makes every unit fire, 1 none); `zoneout` the authors' inference-time mix of old and new state.
    """
    rng = np.random.default_rng(seed)
    populations = [Population("input", input_units)]
    for number, units in enumerate(layers, start=1):
        sources = populations[-1].units
        source_rms = EMBEDDING_RMS if number == 1 else _EVENT_RMS
        kernel = _matrix(rng, 3 * units, sources, density, source_rms)
        recurrent = _matrix(rng, 3 * units, units, density, _EVENT_RMS)
        vectors = {
            "threshold": np.clip(np.float32(threshold) + _uniform(rng, units, 0.05), np.float32(0), np.float32(1)),
            "bias": _uniform(rng, 3 * units, 0.1),
            "recurrent_bias": _uniform(rng, 3 * units, 0.1),
        }
        if inside:
            from models.kernels import egru_cell  # whose code a run without it would compile

            populations += egru_cell.layer_of(
                len(populations), len(populations) - 1, kernel=kernel, recurrent=recurrent, bias=vectors["bias"],
                threshold=vectors["threshold"], params={"zoneout": zoneout}, name=str(number),
            )  # fmt: skip
        else:
            populations.append(layer_of(number, kernel, recurrent, vectors, {"zoneout": zoneout}))
    return Network(tuple(populations))


def seeded_gesture(
    size: int = 8, features: int = 24, layers: Sequence[int] = (16, 16), classes: int = 5, seed: int = 1,
    trace: float = 0.9, zoneout: float = 0.1,
) -> Model:  # fmt: skip
    """Return a small classifier of gestures: a head of two convolutions, dense layers, and a read-out.

    Frames are `size` pixels across, at least 7. `trace` is the decay of the trace that each layer but the first, and the
    read-out, hears (0: the events themselves); `zoneout` as of `seeded_egru`.
    """
    network = seeded_egru(features, layers, 1.0, seed, 0.1, zoneout)
    populations = [*network.populations[:2]]
    for layer in network.populations[2:]:
        projections = tuple(replace(p, trace=trace) if p.port == INPUT else p for p in layer.projections)
        populations.append(replace(layer, projections=projections))
    rng = np.random.default_rng([seed, size])

    def weights(*shape: int) -> F32:
        return _uniform(rng, int(np.prod(shape)), float(np.sqrt(6 / np.prod(shape[1:])))).reshape(shape)

    head = (
        ConvLayer(weights(4, 1, 3, 3), _uniform(rng, 4, 0.1), stride=2, padding=1, pool=True),
        ConvLayer(weights(6, 4, 3, 3), _uniform(rng, 6, 0.1), padding=1),
    )
    width = head[1].width(head[0].width(size))
    linear, readout = weights(features, 6 * width**2), weights(classes, layers[-1])
    names = tuple(f"class {number}" for number in range(classes))
    parts = head, linear, _uniform(rng, features, 0.1), readout, _uniform(rng, classes, 0.1), names
    gesture = Gesture(*parts, 25_000, 200_000, size, "mean", 2.0, trace)
    return Model(Network(tuple(populations)), segment=gesture.frames, gesture=gesture)


def seeded_embedding(words: int, units: int, seed: int = 1) -> F32:
    """Return a (words, units) float32 embedding with the spread of a trained one and no zeros."""
    rng = np.random.default_rng([seed, words])
    table = _uniform(rng, words * units, EMBEDDING_RMS * 1.7320508)
    table[table == 0] = np.float32(1.0 / _STEPS)
    return table.reshape(words, units)
