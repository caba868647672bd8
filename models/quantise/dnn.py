"""DNNs in int8: scales by calibration, equalised weights, the integer network, and what each operation lost.

Weights, activations and biases follow the scheme that AMD Quark calls XINT8, which the published flow for the chip uses: int8
without zero points, one scale a tensor, a power of two of the least squared error. What differs is a choice: biases are int32
here, and weights may have a scale a channel. A file that is quantised already (QDQ) keeps its scales.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.dnn.evaluate import run_graph
from models.dnn.integer import OVERFLOWS, ROUNDINGS, IntegerNetwork, IntegerOperation
from models.dnn.prepare import PreparedGraph
from models.dnn.reference import dequantised, quantised_inputs, run_network
from models.network import Array, ModelError
from models.quantise.dnn_calibration import USUAL_SAMPLES, Samples, check_samples, sample_feeds, tensor_values
from models.quantise.dnn_equalise import equalise
from models.quantise.dnn_lower import DnnSettings
from models.quantise.dnn_network import lower
from models.quantise.dnn_scales import SCALES

_MEASURED = 16  # samples of which the signal to noise is measured


@dataclass(frozen=True)
class LayerLoss:
    """What int8 did to one operation's output: the ratio of its power to the error's in decibels (None where the float graph has
    no such tensor), numbers that did not fit int8, the bits of its widest sum, and sums that did not fit 24 bits.
    """

    operation: str
    kind: str
    shape: tuple[int, ...]
    signal_db: float | None
    saturated: int
    sum_bits: int
    overflows: int


def check_settings(settings: DnnSettings) -> None:
    """Raise ModelError for a word that a setting does not have."""
    for flag, value, known in (
        ("scales", settings.scales, SCALES), ("round", settings.rounding, ROUNDINGS), ("overflow", settings.overflow, OVERFLOWS),
    ):  # fmt: skip
        if value not in known:
            raise ModelError(f"--{flag} {value!r}: needs {' or '.join(known)}")


def quantise_dnn(
    prepared: PreparedGraph, samples: Samples | None, settings: DnnSettings, who: str = "quantise", most: int = USUAL_SAMPLES
) -> tuple[IntegerNetwork, list[LayerLoss]]:
    """Return the integer network, and what each operation lost on the first of the samples (nothing measured without).

    ModelError for too few samples, or a tensor without a scale and without samples.
    """
    network, equalised = integer_network(prepared, samples, settings, who, most)
    return network, measure_losses(network, equalised, samples) if samples is not None else widths_alone(network)


def integer_network(
    prepared: PreparedGraph, samples: Samples | None, settings: DnnSettings, who: str = "quantise", most: int = USUAL_SAMPLES
) -> tuple[IntegerNetwork, PreparedGraph]:
    """Return the integer network, and the float graph, channels equalised, that it is made of; ModelError as `quantise_dnn`."""
    check_settings(settings)
    graph, values = prepared.graph, dict[str, Array]()
    if samples is not None:
        check_samples(who, graph, samples)
        if settings.equalise and not prepared.grids:
            graph, _ = equalise(graph, dict(prepared.shapes))
            prepared = PreparedGraph(graph, prepared.shapes, prepared.grids, prepared.numbers, prepared.notes)
        values = tensor_values(graph, samples, most)
    return lower(prepared, values, settings), prepared


def measure_losses(network: IntegerNetwork, prepared: PreparedGraph, samples: Samples, most: int = _MEASURED) -> list[LayerLoss]:
    """Return what each operation's output lost, beside the float graph on some samples."""
    names = {one.output for one in network.operations}
    power, lost = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    saturated, overflows = dict[str, int](), dict[str, int]()
    known: set[str] = set()
    for at in range(min(most, len(next(iter(samples.values()))))):
        feeds, floats = sample_feeds(prepared.graph, samples, at), dict[str, Array]()
        run_graph(prepared.graph, feeds, floats.__setitem__)
        run = run_network(network, quantised_inputs(network, feeds))
        for name in names & floats.keys():
            exact = floats[name]
            known.add(name)
            away = dequantised(network, name, run.tensors[name]).astype(np.float64) - exact
            power[name] += float(np.square(exact, dtype=np.float64).sum())
            lost[name] += float(np.square(away).sum())
        for sums, of in ((saturated, run.saturated), (overflows, run.overflows)):
            for name, count in of.items():
                sums[name] = sums.get(name, 0) + count
    return [
        _loss(network, one, _decibels(power[one.output], lost[one.output]) if one.output in known else None,
              saturated.get(one.name, 0), overflows.get(one.name, 0))
        for one in network.operations
    ]  # fmt: skip


def widths_alone(network: IntegerNetwork) -> list[LayerLoss]:
    """Return the operations with the bits of their sums, where there are no samples to measure anything by."""
    return [_loss(network, one, None, 0, 0) for one in network.operations]


def may_overflow(network: IntegerNetwork) -> Sequence[IntegerOperation]:
    """Return the operations of which some input makes a sum that 24 bits do not hold."""
    return [one for one in network.operations if one.may_overflow]


def _loss(network: IntegerNetwork, one: IntegerOperation, signal_db: float | None, saturated: int, overflows: int) -> LayerLoss:
    widest = max(one.sum_high, -one.sum_low - 1, 0)
    bits = widest.bit_length() + 1 if one.sum_high or one.sum_low else 0
    return LayerLoss(one.name, one.kind, network.tensors[one.output].shape, signal_db, saturated, bits, overflows)


def _decibels(power: float, lost: float) -> float:
    if not lost:
        return math.inf
    return 10 * math.log10(power / lost) if power else -math.inf


def agreement(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    """Tell whether two answers have their largest number in the same place."""
    return all(int(np.argmax(first[name])) == int(np.argmax(second[name])) for name in first)
