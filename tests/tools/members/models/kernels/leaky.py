"""A leaky integrator in float32, which sends its membrane's value.

    v = decay * v + x              x the sum of the position
    an event of value v if v > threshold, and then v = v - threshold

Rounded after the product, the sum and the difference.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, Float, FloatRows, Floats, Lane, Number, Words, bindable, zeroing_lane
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1)}
EMITS = ("float32",)
VECTORS = {"threshold": Vector()}
DEFAULTS = {"decay": 0.75}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors and events."""
    return [Field("membrane", (lanes, units), "<f4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    step = _step.bind(
        sums=mem["input.sums"], threshold=mem["threshold"], units=mem["units"], membrane=mem["membrane"], counts=mem["counts"],
        keys=mem["send_keys"], values=mem["send_values"], width=width, decay=params["decay"],
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["membrane"]), step=step)


@bindable
def _step(
    sums: FloatRows, threshold: Floats, units: Words, membrane: FloatRows, counts: Words, keys: Words, values: Floats,
    width: Number, decay: Float, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    sent = before
    for i in range(units.size):
        v = decay * membrane[lane, i] + sums[lane, i]
        if v > threshold[i]:
            if v != np.float32(0):  # a value of zero says nothing to a listener
                keys[sent] = lane * width + units[i]
                values[sent] = v
                sent += 1
            v -= threshold[i]
        membrane[lane, i] = v
    counts[0] += units.size
    return sent - before
