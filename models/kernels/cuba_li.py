"""Leaky integrators that hear a synaptic current (CubaLI), which send every unit's membrane at every position, in float32.

A step, of a unit at a position; s its sum (of int8 weights an int32, made float32), i its current:

    x = synapse_gain * (s + bias)
    i' of the synapses of `cuba_lif`        "decay", "difference" (Norse, of a NIR CubaLI), "sum-first"
    v' of the forms of `li`, on gain * i'

What it sends is v'. A sequence or segment begins at v = `start` and i = 0.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import FloatRows, Floats, Lane, Number, NumberRows, Words, bindable
from models.compute.membrane import current_after, membrane_after
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, Population
from models.spiking import FORMS, SYNAPSES, check_choice

PORTS = {"input": PortSpec(1, ("float32", "int32"))}
EMITS = ("float32",)
DENSE = True
FILL = {name: np.float32(value) for name, value in (
    ("synapse_rate", 0), ("synapse_gain", 1), ("rate", 1), ("gain", 1), ("leak", 0), ("bias", 0), ("start", 0),
)}  # fmt: skip
VECTORS = {name: Vector() for name in FILL}
DEFAULTS = {"synapse": 0.0, "form": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    check_choice(population, "form", FORMS)
    check_choice(population, "synapse", SYNAPSES)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and values."""
    return [
        Field("i", (lanes, units), "<f4", "variables", "synaptic current"),
        Field("v", (lanes, units), "<f4", "variables", "membrane"),
    ]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:  # noqa: ARG001 - it sends no keys
    """Bind the step to a shard's arena views. `reset` puts membranes to their start and currents to 0."""
    names = ("synapse_rate", "synapse_gain", "rate", "gain", "leak", "bias", "i", "v", "counts")
    operands: dict[str, Any] = {name: mem[name] for name in names} | {"sums": mem["input.sums"], "values": mem["send_values"]}
    step = _step.bind(**operands, synapse_kind=int(params["synapse"]), form_kind=int(params["form"]))
    return Stepper(reset=_begin.bind(v=mem["v"], i=mem["i"], start=mem["start"]), step=step)


@bindable
def _begin(v: FloatRows, i: FloatRows, start: Floats, lane: Lane) -> None:
    v[lane] = start
    i[lane] = np.float32(0)


@bindable
def _step(
    sums: NumberRows, synapse_rate: Floats, synapse_gain: Floats, rate: Floats, gain: Floats, leak: Floats, bias: Floats,
    i: FloatRows, v: FloatRows, counts: Words, values: Floats, synapse_kind: Number, form_kind: Number, lane: Lane,
) -> int:  # fmt: skip
    units = v.shape[1]
    for n in range(units):
        x = synapse_gain[n] * (np.float32(sums[lane, n]) + bias[n])
        i[lane, n] = current_after(synapse_kind, i[lane, n], x, synapse_rate[n])
        v[lane, n] = membrane_after(form_kind, v[lane, n], gain[n] * i[lane, n], rate[n], leak[n])
        values[lane * units + n] = v[lane, n]
    counts[0] += units
    return units
