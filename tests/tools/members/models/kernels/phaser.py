"""A neuron that says its sum bit by bit, as a Few-Spikes neuron does: a position takes `ticks` ticks, phases 0 to ticks - 1.

    v = v + x                      at phase 0; x the sum of the position
    an event of value h = 2 ** -phase if v >= h, and then v = v - h

In float32. What is left stays for the next position.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, FloatRows, Floats, Lane, Number, Phase, Words, bindable, zeroing_lane
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS: Mapping[str, Vector] = {}
DEFAULTS = {"ticks": 4.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def ticks(params: Mapping[str, float]) -> int:
    """Return how many ticks a position takes."""
    return int(params["ticks"])


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports and events."""
    return [Field("rest", (lanes, units), "<f4", "variables", "what has not been said")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    step = _step.bind(
        sums=mem["input.sums"], units=mem["units"], rest=mem["rest"], counts=mem["counts"], keys=mem["send_keys"],
        values=mem["send_values"], steps=np.float32(2) ** -np.arange(ticks(params), dtype=np.float32), width=width,
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["rest"]), step=step)


@bindable
def _step(
    sums: FloatRows, units: Words, rest: FloatRows, counts: Words, keys: Words, values: Floats, steps: Floats, width: Number,
    lane: Lane, before: EventsBefore, phase: Phase,
) -> int:  # fmt: skip
    sent, h = before, steps[phase]
    for i in range(units.size):
        v = rest[lane, i]
        if phase == 0:
            v += sums[lane, i]
        if v >= h:
            keys[sent] = lane * width + units[i]
            values[sent] = h
            sent += 1
            v -= h
        rest[lane, i] = v
    counts[0] += units.size
    return sent - before
