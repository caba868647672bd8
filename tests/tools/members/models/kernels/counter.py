"""An integrate-and-fire neuron in int32 that may fire several times a position, and sends how often.

    v = v + x                      x the sum of the position
    n = v // threshold where v is that or more, at most 65535: an event with count n, and then v = v - n * threshold

Sums wrap at 32 bits.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, IntRows, Lane, Number, Shorts, Words, bindable, zeroing_lane
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1, ("int32",))}
EMITS = ("count",)
VECTORS: Mapping[str, Vector] = {}
DEFAULTS = {"threshold": 60.0}
COUNTS = ("units", "divisions")
PER_UNIT = {"units": 1}
MOST = 65535


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports and events."""
    return [Field("membrane", (lanes, units), "<i4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    step = _step.bind(
        sums=mem["input.sums"], units=mem["units"], membrane=mem["membrane"], counts=mem["counts"], keys=mem["send_keys"],
        values=mem["send_values"], width=width, threshold=int(params["threshold"]),
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["membrane"]), step=step)


@bindable
def _step(
    sums: IntRows, units: Words, membrane: IntRows, counts: Words, keys: Words, values: Shorts, width: Number, threshold: Number,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    sent = before
    for i in range(units.size):
        v = np.int32(membrane[lane, i] + sums[lane, i])
        if v >= threshold:
            n = min(v // threshold, MOST)
            keys[sent] = lane * width + units[i]
            values[sent] = n
            sent += 1
            v = np.int32(v - n * threshold)
        membrane[lane, i] = v
    counts[0] += units.size
    counts[1] += sent - before
    return sent - before
