"""Integrators without spikes, leaky (LI) or not (I), which send every unit's membrane at every position, in float32.

A step, of a unit at a position; s its sum (of int8 weights an int32, made float32):

    x = gain * (s + bias)
    v' = (rate * v + x) + leak              form "decay": snnTorch Leaky (reset "none"), sinabs ExpLeak; rate 1: I
    v' = v + rate * ((x + leak) - v)        form "difference": Norse LIBox, of a NIR LI
    v' = v + (x - (v - leak)) / rate        form "quotient-input": SpikingJelly's NonSpikingLIFNode
    v' = (v - (v - leak) / rate) + x        form "quotient"

What it sends is v'. A sequence or segment begins at `start`.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import FloatRows, Floats, Lane, Number, NumberRows, Words, bindable
from models.compute.membrane import membrane_after
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, Population
from models.spiking import FORMS, check_choice

PORTS = {"input": PortSpec(1, ("float32", "int32"))}
EMITS = ("float32",)
DENSE = True
FILL = {name: np.float32(value) for name, value in (("rate", 1), ("gain", 1), ("leak", 0), ("bias", 0), ("start", 0))}
VECTORS = {name: Vector() for name in FILL}
DEFAULTS = {"form": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    check_choice(population, "form", FORMS)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and values."""
    return [Field("v", (lanes, units), "<f4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:  # noqa: ARG001 - it sends no keys
    """Bind the step to a shard's arena views. `reset` puts membranes to their start."""
    arrays = {name: mem[name] for name in ("rate", "gain", "leak", "bias", "v", "counts")}
    step = _step.bind(**arrays, sums=mem["input.sums"], values=mem["send_values"], form_kind=int(params["form"]))
    return Stepper(reset=_begin.bind(v=mem["v"], start=mem["start"]), step=step)


@bindable
def _begin(v: FloatRows, start: Floats, lane: Lane) -> None:
    v[lane] = start


@bindable
def _step(
    sums: NumberRows, rate: Floats, gain: Floats, leak: Floats, bias: Floats, v: FloatRows, counts: Words, values: Floats,
    form_kind: Number, lane: Lane,
) -> int:  # fmt: skip
    n = v.shape[1]
    for i in range(n):
        x = gain[i] * (np.float32(sums[lane, i]) + bias[i])
        v[lane, i] = membrane_after(form_kind, v[lane, i], x, rate[i], leak[i])
        values[lane * n + i] = v[lane, i]
    counts[0] += n
    return n
