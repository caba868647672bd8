"""The Few-Spikes neuron for a ReLU: a position takes K ticks, in which a unit says its value bit by bit.

    x = gain * s + bias                         s the sum of the position
    v = x * 2^K / alpha (+ 1/2 with `rounds`)   at tick 0; in steps
    an event worth h = 2^(K - 1 - t) steps if v >= h, and then v = v - h        at ticks t = 0 to K - 1

In float32, each operation rounded by itself; what is compared and subtracted is exact, alpha being a power of two. So a unit
says floor(v), at least 0 and at most 2^K - 1: `models.few_spikes.Quantiser`. Nothing is left for the next position.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import (
    EventsBefore,
    Float,
    FloatRows,
    Floats,
    Lane,
    Number,
    NumberRows,
    Numbers,
    Phase,
    Words,
    bindable_late,
    zeroing_lane,
)  # fmt: skip
from models.few_spikes import COUNTS, DEFAULTS, PAYLOADS, bindings, check, ticks
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1, ("float32", "int32"))}
EMITS = PAYLOADS
FILL: Mapping[str, Any] = {"gain": np.float32(1), "bias": np.float32(0)}
VECTORS = {name: Vector() for name in FILL}
PER_UNIT = {"units": 1}
__all__ = ["COUNTS", "DEFAULTS", "check", "ticks"]


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and events."""
    return [Field("v", (lanes, units), "<f4", "variables", "steps not said yet")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    return Stepper(reset=zeroing_lane(mem["v"]), step=_step.bind(**bindings(mem, width, params)))


@bindable_late
def _step(
    sums: NumberRows, gain: Floats, bias: Floats, units: Words, v: FloatRows, counts: Words, keys: Words, values: Numbers,
    worths: Numbers, scale: Float, half: Float, bits: Number, width: Number, lane: Lane, before: EventsBefore, phase: Phase,
) -> int:  # fmt: skip
    sent, h = before, np.float32(1 << (bits - 1 - phase))
    if phase == 0:
        for i in range(units.size):
            x = gain[i] * np.float32(sums[lane, i]) + bias[i]
            v[lane, i] = x * scale + half
    for i in range(units.size):
        if v[lane, i] >= h:
            keys[sent] = lane * width + units[i]
            values[sent] = worths[phase]
            sent += 1
            v[lane, i] -= h
    counts[0] += units.size
    return sent - before
