"""Weights and networks quantised, with a report of what was clipped, what became zero, and the error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.network import F64, Array, ModelError, Network, Population, SparseRows, Weights
from models.quantise.grids import Grid, numbers_of, scale_of


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A matrix of int8 numbers: weight = number * scale. `scales` float64, one a row.

    `clipped` weights were further from zero than the grid reaches, and `vanished` ones became zero and are stored no more.
    `worst` is the largest error, `error` the root of the mean squared one over the weights that were stored, both in the unit of
    the weights; `signal_db` the ratio of the weights' power to the errors' in decibels, infinite without an error.
    """

    weights: SparseRows
    scales: F64
    clipped: int
    vanished: int
    worst: float
    error: float
    signal_db: float

    def to_float32(self) -> SparseRows:
        """Return the weights that the numbers stand for."""
        rows = np.repeat(np.arange(self.weights.shape[0]), self.weights.row_nonzeros)
        return replace(self.weights, values=(self.weights.values * self.scales[rows]).astype(np.float32))


def quantise_rows(who: str, weights: SparseRows, grid: Grid) -> Quantised:
    """Return a float32 matrix on a grid; ModelError, naming `who`, where it has no weight, or one that is not finite.

    With one scale a row, a row without weights has the scale 1.
    """
    return quantise_together(who, [weights], grid)[0]


def quantise_together(who: str, matrices: Sequence[SparseRows], grid: Grid) -> list[Quantised]:
    """Return float32 matrices on one grid, for sums that are added: one scale for all, or one for each row of all."""
    numerics, heights = {matrix.numeric for matrix in matrices}, {matrix.shape[0] for matrix in matrices}
    if numerics != {"float32"}:
        raise ModelError(f"{who}: weights of {', '.join(sorted(numerics))}; needs float32 to quantise")
    if len(heights) > 1:
        raise ModelError(f"{who}: matrices of {', '.join(map(str, sorted(heights)))} rows share a grid; need as many rows each")
    scale = scale_of(who, np.concatenate([matrix.values for matrix in matrices]), grid)  # and refuse before any row does
    (rows,) = heights
    scales = np.array([_row_scale(who, matrices, row, grid) for row in range(rows)]) if grid.per_row else np.full(rows, scale)
    return [_on_grid(matrix, scales, grid) for matrix in matrices]


def _row_scale(who: str, matrices: Sequence[SparseRows], row: int, grid: Grid) -> float:
    values = np.concatenate([matrix.values[matrix.extents[row] : matrix.extents[row + 1]] for matrix in matrices])
    return scale_of(f"{who}, row {row}", values, grid) if values.size else 1.0


def quantise_network(network: Network, grids: Mapping[int, Grid] | Grid) -> tuple[Network, dict[tuple[int, int], Quantised]]:
    """Return the network with int8 weights, and what was done to each projection, by layer and place among its projections.

    Projections that share a port share its grid, since their sums are added: with scale s a sum of numbers stands for s times
    that. What the neurons make of that, in thresholds and biases, is for who knows them; so are the payloads of the populations.

    Args:
        network: the network with float32 weights; projections of int8 stay as they are.
        grids: for each layer how to quantise, those that are not named stay as they are; or one for all.

    """
    populations, done = list(network.populations), dict[tuple[int, int], Quantised]()
    for number in network.layers:
        grid = grids if isinstance(grids, Grid) else grids.get(number)
        if grid is not None:
            populations[number], parts = _quantise_population(populations[number], grid)
            done |= {(number, place): part for place, part in parts.items()}
    return replace(network, populations=tuple(populations)), done


def _quantise_population(population: Population, grid: Grid) -> tuple[Population, dict[int, Quantised]]:
    projections, parts = list(population.projections), dict[int, Quantised]()
    for port in dict.fromkeys(p.port for p in projections):
        places = [n for n, p in enumerate(projections) if p.port == port and p.weights.numeric == "float32"]
        if not places:
            continue
        who = f"{population.name}, port {port!r}"
        matrices = [_matrix(who, projections[n].weights) for n in places]
        for n, part in zip(places, quantise_together(who, matrices, grid), strict=True):
            parts[n] = part
            projections[n] = replace(projections[n], weights=part.weights)
    return replace(population, projections=tuple(projections)), parts


def _matrix(who: str, weights: Weights) -> SparseRows:
    if not isinstance(weights, SparseRows):
        raise ModelError(
            f"{who}: weights that are a kernel; spiking networks of those are quantised (`quantise_spiking`), no others"
        )
    return weights


def _on_grid(weights: SparseRows, scales: F64, grid: Grid) -> Quantised:
    """Return the matrix with these scales, one a row; numbers that become zero are no longer stored."""
    rows = np.repeat(np.arange(weights.shape[0]), weights.row_nonzeros)
    numbers, clipped = numbers_of(weights.values, scales[rows], grid)
    errors = numbers * scales[rows] - weights.values
    power, lost = float(np.square(weights.values, dtype=np.float64).sum()), float(np.square(errors).sum())
    return Quantised(
        weights=without_zeros(weights, rows, numbers),
        scales=scales,
        clipped=clipped,
        vanished=int(np.count_nonzero(numbers == 0)),
        worst=float(np.abs(errors).max(initial=0.0)),
        error=float(np.sqrt(lost / max(weights.nonzeros, 1))),
        signal_db=float(10 * np.log10(power / lost)) if lost else float("inf"),
    )


def without_zeros(weights: SparseRows, rows: Array, numbers: Array) -> SparseRows:
    """Return a matrix with these numbers, whose `rows` they are in, in the place of its values; zeros are not stored."""
    stays = numbers != 0
    extents = np.zeros(weights.shape[0] + 1, np.int64)
    np.cumsum(np.bincount(rows[stays], minlength=weights.shape[0]), out=extents[1:])
    return SparseRows(weights.shape, extents, weights.columns[stays], numbers[stays])
