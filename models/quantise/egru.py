"""EGRUs in 8 bits: int8 weights with a scale a row, int8 events with a scale a population, and integer sums.

An event's number stands for number * scale of its population, a weight for number * scale of its row; so a row's sum stands for
the product of both, which is all that the neurons need (`models/kernels/egru_int8.py`). Biases and thresholds stay in float32; cell
states do too, or have 8 bits with a scale of their own (`models/kernels/egru_int8_state.py`). Events of a layer are below 1,
because its states are; those of an input have no such bound: their scale is chosen by samples of what it sends (`fitted_scale`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from models.accumulators import LARGEST_EVENT, largest_row_sum
from models.event_numbers import EVENT_SCALE
from models.graph_check import MOST_SHIFT, check_network
from models.kernels.egru_int8 import DEFAULTS, SCALES
from models.network import F32, Array, ModelError, Network, Population, Projection, SparseRows
from models.quantise.grids import Grid, power_of_two_above
from models.quantise.weights import Quantised, quantise_rows

FLOAT, INT8, INT8_STATE = "egru", "egru_int8", "egru_int8_state"
FOUR = 4
BITS = (8, FOUR)
_SHARES = np.linspace(1.0, 0.2, 33)  # of the largest value, that becomes the largest number
_MOST_OCTAVES = 5
_MOST_VALUES = 400_000  # that a scale is fitted to


@dataclass(frozen=True, kw_only=True)
class QuantisedPort:
    """What was done to a projection: smallest and largest scale of its rows, weights, those that became zero, decibels of the
    weights' power over that of their errors, and bits that hold any sum of a row.
    """

    layer: str
    port: str
    scales: tuple[float, float]
    weights: int
    vanished: int
    signal_db: float
    sum_bits: int


def largest_number(bits: int) -> int:
    """Return the largest number of so many bits: 127 of 8."""
    return int(2 ** (bits - 1) - 1)


def layer_scale(bits: int, *, powers_of_two: bool) -> float:
    """Return the scale that holds every event of a layer, whose values are below 1: 2^-7 or 1/127 in 8 bits."""
    return float(2.0 ** (1 - bits)) if powers_of_two else 1 / largest_number(bits)


def fitted_scale(who: str, values: Array, bits: int, *, powers_of_two: bool) -> float:
    """Return the scale with which numbers of so many bits are nearest to `values` in the mean square; what is larger is clipped.

    ModelError, naming `who`, where no value is other than zero, or one is not finite.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    if not np.isfinite(flat).all():
        raise ModelError(f"{who}: {int((~np.isfinite(flat)).sum())} values are not finite; no scale fits them")
    largest = float(np.abs(flat).max(initial=0.0))
    if not largest:
        raise ModelError(f"{who}: has no value that is not zero; nothing to fit a scale to")
    if flat.size > _MOST_VALUES:
        flat = flat[:: -(-flat.size // _MOST_VALUES)]
    most = largest_number(bits)
    widest = largest / most
    octaves = power_of_two_above(widest) * 2.0 ** -np.arange(_MOST_OCTAVES)
    candidates = octaves if powers_of_two else widest * _SHARES
    errors = [float(np.square(np.clip(np.rint(flat / scale), -most, most) * scale - flat).sum()) for scale in candidates]
    return float(candidates[int(np.argmin(errors))])


def fitted_shift(values: Array, scale: float) -> int:
    """Return how many bits to the left a trace of events is heard best, whose `values` numbers of this `scale` stand for: that with
    the least squared error.
    """
    numbers = np.asarray(values, np.float64).reshape(-1) / scale
    errors = [float(np.square(np.clip(np.rint(numbers * 2**s), -127, 127) / 2**s - numbers).sum()) for s in range(MOST_SHIFT + 1)]
    return int(np.argmin(errors))


def quantise_egru(
    network: Network, *, input_scales: Mapping[int, float], event_scales: Mapping[int, float], weight_bits: int = 8,
    event_bits: int = 8, trace_shifts: Mapping[int, int] | None = None, int8_cell: bool = False, powers_of_two: bool = True,
) -> tuple[Network, tuple[QuantisedPort, ...]]:  # fmt: skip
    """Return a network of EGRUs on int8 weights and events, and what was done to each projection.

    Args:
        network: EGRUs with float32 weights, and inputs of float32 events.
        input_scales: of each input, what a 1 of its events stands for.
        event_scales: the same of each layer.
        weight_bits: of the weights, 8 or 4; those of 4 bits are stored two to a byte.
        event_bits: of what layers send, 8 or 4; an input's numbers have 8.
        trace_shifts: of each layer that hears a trace, how many bits to the left it hears that (`Projection`); of others 0.
        int8_cell: whether cell states have 8 bits, too; else they stay float32.
        powers_of_two: whether rows' scales, and that of cell states, are; those of events are as they were given.

    Raises:
        ModelError: other neurons, a network that is quantised already, a sum of more than 24 bits, a NaN or infinity.

    """
    check_quantisable(network)
    for bits in (weight_bits, event_bits):
        if bits not in BITS:
            raise ModelError(f"quantise: {bits!r} bits of an EGRU; needs {' or '.join(map(str, BITS))}")
    populations = list(network.populations)
    for n in network.inputs:
        populations[n] = replace(populations[n], payload="int8", params={EVENT_SCALE: input_scales[n]})
    grid = Grid(bits=weight_bits, powers_of_two=powers_of_two, per_row=True, keep=False)
    scales, report = {**input_scales, **event_scales}, list[QuantisedPort]()
    for n in network.layers:
        facts = {EVENT_SCALE: event_scales[n], "most_event": float(largest_number(event_bits))}
        if int8_cell:
            facts["cell_scale"] = layer_scale(8, powers_of_two=powers_of_two)
        populations[n], ports = _quantised(populations[n], scales, grid, facts, (trace_shifts or {}).get(n, 0))
        report += ports
    changed = replace(network, populations=tuple(populations))
    check_network(changed)
    return changed, tuple(report)


def dequantise_egru(network: Network) -> Network:
    """Return a network of EGRUs with the float32 weights that its int8 numbers stand for; events are float32 again, not rounded.

    ModelError for a layer that is no EGRU with float32 cell states, or that hears a trace or a convolution.
    """
    populations = list(network.populations)
    scales = [population.params.get(EVENT_SCALE, DEFAULTS[EVENT_SCALE]) for population in populations]
    for n in network.inputs:
        populations[n] = replace(populations[n], payload="float32", params={})
    for n in network.layers:
        layer = populations[n]
        if layer.kernel != INT8 or any(p.trace or not isinstance(p.weights, SparseRows) for p in layer.projections):
            raise ModelError(f"{layer.name}: is no layer of {INT8} that hears events by matrices; no other becomes float32 again")
        projections = tuple(_dequantised(p, layer, scales[p.source]) for p in layer.projections)
        vectors = {name: vector for name, vector in layer.vectors.items() if name not in SCALES.values()}
        params = {name: value for name, value in layer.params.items() if name not in (EVENT_SCALE, "most_event")}
        populations[n] = replace(layer, kernel=FLOAT, projections=projections, vectors=vectors, params=params, payload="float32")
    changed = replace(network, populations=tuple(populations))
    check_network(changed)
    return changed


def _dequantised(projection: Projection, layer: Population, event_scale: float) -> Projection:
    weights = projection.weights
    assert isinstance(weights, SparseRows), "the caller has seen to that"
    scales = np.repeat(layer.vectors[SCALES[projection.port]] / np.float32(event_scale), weights.row_nonzeros)
    return replace(projection, weights=replace(weights, values=(weights.values * scales).astype(np.float32), four_bits=False))


def check_quantisable(network: Network) -> None:
    """Raise ModelError for a network that is none of EGRUs in float32."""
    kinds = {network.populations[n].kernel for n in network.layers}
    if kinds & {INT8, INT8_STATE}:
        raise ModelError("quantise: its weights and events are int8 already")
    if kinds != {FLOAT}:
        have = ", ".join(sorted(kinds))
        raise ModelError(
            f"quantise: neurons of {have}; EGRUs are brought to 8 bits where their reset gate is after the product ({FLOAT})"
        )
    for n in network.layers:
        for projection in network.populations[n].projections:
            if not isinstance(projection.weights, SparseRows):
                raise ModelError(
                    f"quantise: {network.populations[n].name} hears a convolution; EGRUs are quantised that hear matrices"
                )


def _quantised(
    layer: Population, scales: Mapping[int, float], grid: Grid, facts: Mapping[str, float], trace_shift: int
) -> tuple[Population, list[QuantisedPort]]:
    """Return a layer on a grid: what a 1 of a row's sum stands for becomes a vector of each port."""
    projections, vectors, report = list[Projection](), dict(layer.vectors), list[QuantisedPort]()
    for port, vector in SCALES.items():
        heard = layer.projections_to(port)
        sources = {projection.source for projection in heard}
        if len(heard) != 1:
            have = f"{len(heard)} projections from populations {', '.join(map(str, sorted(sources)))}"
            raise ModelError(f"quantise: {layer.name}: port {port!r} adds {have}; a row's scale is of one")
        (projection,) = heard
        assert isinstance(projection.weights, SparseRows)
        rows = quantise_rows(f"{layer.name}, port {port!r}", projection.weights, grid)
        shift = trace_shift if projection.trace else 0
        vectors[vector] = (rows.scales * scales[projection.source] / 2**shift).astype(np.float32)
        projections.append(replace(projection, weights=replace(rows.weights, four_bits=grid.bits == FOUR), trace_shift=shift))
        report.append(_report(layer.name, port, projection.weights, rows))
    params, kernel = {**layer.params, **facts}, INT8_STATE if "cell_scale" in facts else INT8
    changed = replace(
        layer, kernel=kernel, projections=tuple(projections), vectors=_as_float32(vectors), params=params, payload="int8"
    )
    return changed, report


def _as_float32(vectors: Mapping[str, Array]) -> dict[str, F32]:
    return {name: np.asarray(vector, np.float32) for name, vector in vectors.items()}


def _report(layer: str, port: str, weights: SparseRows, done: Quantised) -> QuantisedPort:
    bits = int(LARGEST_EVENT * largest_row_sum(done.weights)).bit_length() + 1
    return QuantisedPort(
        layer=layer, port=port, scales=(float(done.scales.min()), float(done.scales.max())), weights=weights.nonzeros,
        vanished=done.vanished, signal_db=done.signal_db, sum_bits=bits,
    )  # fmt: skip
