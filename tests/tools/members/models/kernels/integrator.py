"""A leaky integrate-and-fire neuron in int32, which sends spikes.

    v = v - (v >> leak) + x        x the sum of the position
    spike if v > threshold, and then v = v - threshold

Shifts are arithmetic; sums wrap at 32 bits.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, IntRows, Lane, Number, Words, bindable, zeroing_lane
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1, ("int32",))}
EMITS = ("spike",)
VECTORS: Mapping[str, Vector] = {}
DEFAULTS = {"leak": 3.0, "threshold": 100.0}
COUNTS = ("units", "resets")
PER_UNIT = {"units": 1}


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports and events."""
    return [Field("membrane", (lanes, units), "<i4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    step = _step.bind(
        sums=mem["input.sums"], units=mem["units"], membrane=mem["membrane"], counts=mem["counts"], keys=mem["send_keys"],
        width=width, leak=int(params["leak"]), threshold=int(params["threshold"]),
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["membrane"]), step=step)


@bindable
def _step(
    sums: IntRows, units: Words, membrane: IntRows, counts: Words, keys: Words, width: Number, leak: Number, threshold: Number,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    sent = before
    for i in range(units.size):
        v = np.int32(membrane[lane, i] - (membrane[lane, i] >> leak) + sums[lane, i])
        if v > threshold:
            keys[sent] = lane * width + units[i]
            sent += 1
            v = np.int32(v - threshold)
        membrane[lane, i] = v
    counts[0] += units.size
    counts[1] += sent - before
    return sent - before
