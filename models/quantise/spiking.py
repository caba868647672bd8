"""Spiking networks in 8 bits: int8 weights, sums in int32, and neurons whose numbers are scaled with their weights.

One grid a population, over all that it hears, or one a channel out of its kernels (a unit of its matrices). Weights that lie on a
grid already keep it, and a pool's factor in the weights goes into the thresholds with the rest (`neuron_grids.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.accumulators import largest_row_sum
from models.convolution import Convolution
from models.network import F64, Array, ModelError, Network, Population, Projection, SparseRows, Weights
from models.numerics import sum_of
from models.quantise.grids import Grid, common_step, numbers_of, scale_of
from models.quantise.neuron_grids import SILENT, SPIKING, WHOLE, scaled, whole
from models.quantise.weights import without_zeros

STATES = ("float32", "int32")
INPUTS = ("spike", "count", "float32")


@dataclass(frozen=True, kw_only=True)
class QuantisedPopulation:
    """What was done to a population; `note` alone where nothing was.

    `scales` (smallest, largest): a weight is number * scale. `kept`: the weights lay on this grid already. Of its `weights`, so
    many were `clipped`, and `vanished` became zero; `signal_db` is the power of the weights over that of their errors, infinite
    without an error. `thresholds` (smallest, largest) are those it has now, None without one; `sum_bits` hold any sum of a step
    of one event a source.
    """

    name: str
    note: str = ""
    scales: tuple[float, float] = (1.0, 1.0)
    kept: bool = False
    weights: int = 0
    clipped: int = 0
    vanished: int = 0
    signal_db: float = float("inf")
    thresholds: tuple[float, float] | None = None
    sum_bits: int = 0


def quantise_spiking(
    network: Network, grid: Grid, *, state: str = "float32", inputs: str = "spike"
) -> tuple[Network, tuple[QuantisedPopulation, ...]]:
    """Return a spiking network with int8 weights, and what was done to each of its populations.

    Args:
        network: neurons of `lif`, `cuba_lif`, `li` and `cuba_li` with float32 weights; those of int8 stay as they are.
        grid: how to quantise; `per_row` is per channel.
        state: what membranes are kept in, "float32" or "int32" (integrate-and-fire neurons alone, which become `iaf`).
        inputs: what inputs of float32 send from now on, "spike" (0 or 1) or "count" (0 to 65,535); "float32": as before, so that
            who hears them stays in float32.

    Raises:
        ModelError: a network without spiking neurons, a number that is not finite, a state that does not go with its neurons.

    """
    if state not in STATES:
        raise ModelError(f"quantise: state {state!r}; needs {' or '.join(STATES)}")
    if inputs not in INPUTS:
        raise ModelError(f"quantise: inputs {inputs!r}; needs {', '.join(INPUTS)}")
    populations = list(network.populations)
    if not any(populations[n].kernel in (*SPIKING, *SILENT) for n in network.layers):
        have = ", ".join(sorted({populations[n].kernel for n in network.layers}))
        raise ModelError(f"quantise: no population of spiking neurons ({', '.join((*SPIKING, *SILENT))}); has {have}")
    for n in network.inputs:
        if populations[n].payload == "float32" and not populations[n].dense:
            populations[n] = replace(populations[n], payload=inputs)
    report = []
    for n in network.layers:
        populations[n], done = _quantised(populations[n], populations, grid, state)
        report.append(done)
    return replace(network, populations=tuple(populations)), tuple(report)


def _quantised(
    population: Population, all_of: Sequence[Population], grid: Grid, state: str
) -> tuple[Population, QuantisedPopulation]:
    """Return a population on a grid, and what was done to it."""
    name = population.name
    if population.kernel not in (*SPIKING, *SILENT):
        return population, QuantisedPopulation(name=name, note=f"left as it is: neurons of {population.kernel}")
    if all(p.weights.numeric == "int8" for p in population.projections):
        return population, QuantisedPopulation(name=name, note="left as it is: its weights are int8")
    for projection in population.projections:
        source = all_of[projection.source]
        try:
            sum_of("int8", source.payload)
        except ModelError:
            note = f"left in float32: {source.name} sends {source.payload}, which does not go with int8 weights"
            return population, QuantisedPopulation(name=name, note=note)
    groups = _groups(population) if grid.per_row else np.zeros(population.units, np.int64)
    scales, kept = _scales(name, population.projections, groups, grid)
    vectors, params = scaled(population, 1 / scales[groups])
    kernel = population.kernel
    if state == "int32" and kernel == "cuba_lif":
        raise ModelError(f"quantise: {name} has a synaptic current; an int32 state is for neurons that do not leak, take float32")
    if state == "int32" and kernel in SPIKING:
        (vectors, params), kernel = whole(name, vectors, params), WHOLE
    parts = [_on_grid(p.weights, scales[groups], grid) for p in population.projections]
    projections = tuple(replace(p, weights=w) for p, (w, *_) in zip(population.projections, parts, strict=True))
    clipped, weights, vanished, power, lost = np.sum([part[1:] for part in parts], axis=0)
    report = QuantisedPopulation(
        name=name, scales=(float(scales.min()), float(scales.max())), kept=kept, weights=int(weights), clipped=int(clipped),
        vanished=int(vanished), signal_db=float(10 * np.log10(power / lost)) if lost else float("inf"),
        thresholds=(float(vectors["threshold"].min()), float(vectors["threshold"].max())) if "threshold" in vectors else None,
        sum_bits=_sum_bits(projections),
    )  # fmt: skip
    return replace(population, kernel=kernel, projections=projections, vectors=vectors, params=params), report


def _groups(population: Population) -> Array:
    """Return the group of each unit that shares a scale: its channel out where it hears kernels, else the unit itself."""
    channels = {len(p.weights.kernel) for p in population.projections if isinstance(p.weights, Convolution)}
    if len(channels) > 1:
        have = " and ".join(map(str, sorted(channels)))
        raise ModelError(f"quantise: {population.name} hears kernels of {have} channels out; they share no scale per channel")
    of_group = population.units // channels.pop() if channels else 1
    return np.arange(population.units) // of_group


def _scales(name: str, projections: Sequence[Projection], groups: Array, grid: Grid) -> tuple[F64, bool]:
    """Return the scale of each group, 1 for one without weights, and whether all lay on their grids already."""
    count, parts = int(groups[-1]) + 1, list[tuple[Array, Array]]()
    for projection in projections:
        values, of_group = _values(projection.weights, groups)
        parts.append((values[values != 0], of_group[values != 0]))
    values, of_group = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(of_group, kind="stable")
    cuts = np.searchsorted(of_group[order], np.arange(count + 1))
    scales, kept = np.ones(count), grid.keep
    for group in range(count):
        own = values[order[cuts[group] : cuts[group + 1]]]
        if own.size:
            scales[group] = scale_of(f"quantise: {name}", own, grid)
            kept = kept and common_step(np.abs(own.astype(np.float64)), grid.most) is not None
    return scales, kept and bool(values.size)


def _values(weights: Weights, groups: Array) -> tuple[Array, Array]:
    """Return all stored weights, and the group of each."""
    if isinstance(weights, Convolution):
        return weights.values, np.repeat(_of_channels(weights, groups), weights.kernel[0].size)
    assert isinstance(weights, SparseRows)
    return weights.values, np.repeat(groups, weights.row_nonzeros)


def _of_channels(weights: Convolution, units: Array) -> Array:
    """Return what numbers of units are by channel out, where all units of a channel have the same."""
    return units[:: int(np.prod(weights.output_shape[1:]))]


def _on_grid(weights: Weights, scales: F64, grid: Grid) -> tuple[Weights, int, int, int, float, float]:
    """Return the weights on scales (units,): clipped, nonzero, vanished, their power and that of their errors follow."""
    if isinstance(weights, Convolution):
        each = np.repeat(_of_channels(weights, scales), weights.kernel[0].size)
    else:
        each = np.repeat(scales, weights.row_nonzeros)
    numbers, clipped = numbers_of(weights.values, each, grid)
    errors = numbers * each - weights.values
    figures = (
        clipped, int(np.count_nonzero(weights.values)), int(np.count_nonzero((numbers == 0) & (weights.values != 0))),
        float(np.square(weights.values, dtype=np.float64).sum()), float(np.square(errors).sum()),
    )  # fmt: skip
    if isinstance(weights, Convolution):
        return replace(weights, kernel=numbers.reshape(weights.kernel.shape)), *figures
    assert isinstance(weights, SparseRows)
    rows = np.repeat(np.arange(weights.shape[0]), weights.row_nonzeros)
    return without_zeros(weights, rows, numbers), *figures


def _sum_bits(projections: Sequence[Projection]) -> int:
    """Return how many bits, with the sign, hold any sum of one event of each source unit, and more for each delay."""
    most = sum(_largest_row(projection.weights) for projection in projections)
    return int(most).bit_length() + 1


def _largest_row(weights: Weights) -> int:
    if isinstance(weights, Convolution):
        windows = weights.pool[0] * weights.pool[1]
        return int(np.abs(weights.kernel.astype(np.int64)).reshape(len(weights.kernel), -1).sum(axis=1).max()) * windows
    return largest_row_sum(weights)
