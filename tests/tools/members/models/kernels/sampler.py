"""A low-pass in int32 that sends every unit's value at every position, as int8.

    v = (v >> 1) + x               x the sum of the position
    y = v >> shift, no further from 0 than 127

Shifts are arithmetic; sums wrap at 32 bits.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import Chars, IntRows, Lane, Number, Words, bindable, zeroing_lane
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(1, ("int32",))}
EMITS = ("int8",)
DENSE = True
VECTORS: Mapping[str, Vector] = {}
DEFAULTS = {"shift": 3.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports and values."""
    return [Field("level", (lanes, units), "<i4", "variables", "level")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views."""
    step = _step.bind(
        sums=mem["input.sums"], level=mem["level"], counts=mem["counts"], values=mem["send_values"], shift=int(params["shift"])
    )
    return Stepper(reset=zeroing_lane(mem["level"]), step=step)


@bindable
def _step(sums: IntRows, level: IntRows, counts: Words, values: Chars, shift: Number, lane: Lane) -> int:
    n = level.shape[1]
    for i in range(n):
        v = np.int32((level[lane, i] >> 1) + sums[lane, i])
        values[lane * n + i] = min(max(v >> shift, -127), 127)
        level[lane, i] = v
    counts[0] += n
    return n
