"""The reset gate of an EGRU as the paper's equation 4 prints it, in float32: the first of two populations, beside `egru_cell`.

W the input weights, R the recurrent ones, y the events that the layer emitted one position before:

    r = sigmoid(Wx_r + Ry_r + b_r)                  event (value r y) where r y is not zero

A unit's own y comes to its port `own` through an identity, which changes no bit. r y is rounded once, here, where both are;
so what the other units hear does not depend on how the layer is cut. Where r underflows there is no event: a zero says nothing.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, FloatRows, Floats, Lane, Number, Words, bindable, nothing
from models.compute.exponentials import sigmoid32
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

INPUT, RECURRENT, OWN = "input", "recurrent", "own"
PORTS = {INPUT: PortSpec(1), RECURRENT: PortSpec(1), OWN: PortSpec(1)}
EMITS = ("float32",)
VECTORS = {"bias": Vector()}
DEFAULTS: Mapping[str, float] = {}
COUNTS = ("units", "exponentials")
PER_UNIT = {"units": 1, "exponentials": 1}
CONVENTIONS = {"reset_gate": "inside the recurrent product"}


def fields(units: int, lanes: int) -> list[Field]:  # noqa: ARG001 - a kernel's form
    """Return what a shard of `units` units keeps beside its ports, vectors, counts and events: nothing."""
    return []


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:  # noqa: ARG001 - a kernel's form
    """Bind the step to a shard's arena views. It has no state, so there is nothing to reset."""
    arrays = {
        "wx": "input.sums", "ry": "recurrent.sums", "own": "own.sums", "bias": "bias", "units": "units", "counts": "counts",
        "keys": "send_keys", "values": "send_values",
    }  # fmt: skip
    return Stepper(reset=nothing, step=_step.bind(**{operand: mem[name] for operand, name in arrays.items()}, width=width))


@bindable
def _step(
    wx: FloatRows, ry: FloatRows, own: FloatRows, bias: Floats, units: Words, counts: Words, keys: Words, values: Floats,
    width: Number, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    n = units.size
    sent = before
    x, h, y = wx[lane], ry[lane], own[lane]
    for i in range(n):
        gated = sigmoid32((x[i] + h[i]) + bias[i]) * y[i]
        if gated != np.float32(0):
            keys[sent] = lane * width + units[i]
            values[sent] = gated
            sent += 1
    counts[0] += n
    counts[1] += n
    return sent - before
