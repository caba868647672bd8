"""Calibration: a prepared graph run on samples, and what numbers each of its tensors had."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.dnn.evaluate import run_graph
from models.dnn.graph import GraphInput, OperatorGraph
from models.network import Array, ModelError

LEAST_SAMPLES = 8
USUAL_SAMPLES = 100
_VALUES_A_SAMPLE = 1 << 13

Samples = Mapping[str, Array]  # by input, (samples, ...) of that input's shape without its batch


def check_samples(who: str, graph: OperatorGraph, samples: Samples, least: int = LEAST_SAMPLES) -> int:
    """Return how many samples there are; ModelError, beginning with `who`, for too few, or of another shape or type."""
    names = [one.name for one in graph.inputs]
    if set(samples) != set(names):
        raise ModelError(f"{who}: has samples for {', '.join(samples) or 'nothing'}; needs {', '.join(names)}")
    counts = set()
    for one in graph.inputs:
        given = samples[one.name]
        shape = sample_shape(one)
        if given.ndim != len(shape) + 1 or given.shape[1:] != shape:
            need = ", ".join(["samples", *map(str, shape)])
            raise ModelError(f"{who}: input {one.name[:60]!r} needs samples of shape ({need}), has {given.shape}")
        wrong = given.dtype.kind not in ("iu" if one.dtype[0] in "iu" else "fiub")
        if wrong or (given.dtype.kind == "f" and not np.all(np.isfinite(given))):
            raise ModelError(
                f"{who}: input {one.name[:60]!r} has samples of {given.dtype} or that are not finite; needs {one.dtype}"
            )
        counts.add(len(given))
    if len(counts) > 1:
        raise ModelError(f"{who}: has {', '.join(map(str, sorted(counts)))} samples for its inputs; needs as many for each")
    (count,) = counts
    if count < least:
        raise ModelError(
            f"{who}: has {count} samples, too few to choose scales by; needs at least {least} ({USUAL_SAMPLES} are usual)"
        )
    return count


def sample_shape(one: GraphInput) -> tuple[int, ...]:
    """Return a sample's shape: the input's, without a batch of one in front."""
    shape = tuple(length or 1 for length in one.shape)
    return shape[1:] if shape[:1] == (1,) else shape


def sample_feeds(graph: OperatorGraph, samples: Samples, at: int) -> dict[str, Array]:
    """Return one sample as the graph takes it."""
    return {
        one.name: samples[one.name][at].reshape([length or 1 for length in one.shape]).astype(one.dtype) for one in graph.inputs
    }


def tensor_values(graph: OperatorGraph, samples: Samples, most: int = USUAL_SAMPLES) -> dict[str, Array]:
    """Return numbers that each float tensor had, evenly taken: at most 8,192 a sample, and the largest of each."""
    seen: dict[str, list[Array]] = {}

    def keep(name: str, values: Array) -> None:
        if values.dtype.kind != "f" or not values.size:
            return
        flat = values.reshape(-1)
        step = -(-flat.size // _VALUES_A_SAMPLE)
        seen.setdefault(name, []).append(flat if step == 1 else np.append(flat[::step], flat[np.argmax(np.abs(flat))]))

    for at in range(min(most, len(next(iter(samples.values()))))):
        feeds = sample_feeds(graph, samples, at)
        for name, values in feeds.items():
            keep(name, values)
        run_graph(graph, feeds, keep)
    joined = {name: np.concatenate(parts) for name, parts in seen.items()}
    for name, array in joined.items():
        if not np.all(np.isfinite(array)):
            raise ModelError(f"tensor {name[:60]!r} has numbers that are not finite for these samples; needs finite ones")
    return joined
