"""The Few-Spikes neuron for the complex soft threshold: units 2i and 2i + 1 are the two parts of one complex number.

    x = (gain * s + bias) + d                   of each part; s its sum on port `input`, d that on `drive`, 0 without one
    m = sqrt(a * a + b * b)                     of a pair a, b
    a, b = 0, 0  if m <= theta,  else  a, b = a * f, b * f  with  f = 1 - theta / m        theta of the first of the two

A part then says its size as `fs` does, and an event carries the part's sign: what is zero is silent. In float32, each operation
rounded by itself. A pair is never split: its parts lie on the same PE, whatever the mapping (`TOGETHER`).
"""

from collections.abc import Mapping

import numpy as np

from models import few_spikes
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
from models.few_spikes import COUNTS, DEFAULTS, FILL, PAYLOADS, bindings, ticks
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, ModelError, Population

PORTS = {"input": PortSpec(1, ("float32", "int32")), "drive": PortSpec(1, may_be_silent=True)}
EMITS = PAYLOADS
VECTORS = {name: Vector() for name in FILL}
PER_UNIT = {"units": 1}
__all__ = ["COUNTS", "DEFAULTS", "FILL", "ticks"]
TOGETHER = 2


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    few_spikes.check(population)
    if population.units % TOGETHER:
        raise ModelError(f"{population.name}: {population.units} units; needs an even number, two parts of each complex number")
    if (population.vectors["theta"] < 0).any():
        raise ModelError(f"{population.name}: a theta below zero; needs 0 or more")


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and events."""
    return [Field("v", (lanes, units), "<f4", "variables", "steps not said yet, with their sign")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    drive = mem["drive.sums"] if "drive.sums" in mem else np.zeros_like(mem["v"])  # a chip's loop would lack the addition
    return Stepper(reset=zeroing_lane(mem["v"]), step=_step.bind(**bindings(mem, width, params), theta=mem["theta"], drive=drive))


@bindable_late
def _step(
    sums: NumberRows, drive: FloatRows, gain: Floats, bias: Floats, theta: Floats, units: Words, v: FloatRows, counts: Words,
    keys: Words, values: Numbers, worths: Numbers, scale: Float, half: Float, bits: Number, width: Number,
    lane: Lane, before: EventsBefore, phase: Phase,
) -> int:  # fmt: skip
    sent, h = before, np.float32(1 << (bits - 1 - phase))
    if phase == 0:
        for i in range(0, units.size - 1, 2):
            a = (gain[i] * np.float32(sums[lane, i]) + bias[i]) + drive[lane, i]
            b = (gain[i + 1] * np.float32(sums[lane, i + 1]) + bias[i + 1]) + drive[lane, i + 1]
            m = np.sqrt(a * a + b * b)
            if m > theta[i]:
                f = np.float32(1) - theta[i] / m
                a, b = a * f, b * f
            else:
                a = b = np.float32(0)
            # Half a step away from zero: the size is rounded, and the sign stays.
            v[lane, i] = a * scale + half if a >= np.float32(0) else a * scale - half
            v[lane, i + 1] = b * scale + half if b >= np.float32(0) else b * scale - half
    for i in range(units.size):
        rest = v[lane, i]
        if rest >= h:
            keys[sent] = lane * width + units[i]
            values[sent] = worths[phase]
            sent += 1
            v[lane, i] = rest - h
        elif rest <= -h:
            keys[sent] = lane * width + units[i]
            values[sent] = -worths[phase]
            sent += 1
            v[lane, i] = rest + h
    counts[0] += units.size
    return sent - before
