"""A sigma-delta neuron in int32, which sends numbers with a sign: int8, or int32 as they are.

    v = v + a - (b >> 1)           a, b the sums of the position: the first and the second row of a unit
    y = v >> shift, as int8 no further from 0 than 127: an event where it is not 0, and then v = v - (y << shift)

Shifts are arithmetic; sums wrap at 32 bits.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import Chars, EventsBefore, IntRows, Ints, Lane, Number, Words, bindable, zeroing_lane
from models.compute.compiling import inlined
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field

PORTS = {"input": PortSpec(2, ("int32",))}
EMITS = ("int8", "int32")
VECTORS: Mapping[str, Vector] = {}
DEFAULTS = {"shift": 4.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
INT8_MOST, INT32_MOST = 127, 2**31 - 1


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports and events."""
    return [Field("error", (lanes, units), "<i4", "variables", "what has not been sent")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views; what it sends is what `send_values` holds."""
    step = (_step_int8 if mem["send_values"].dtype == np.int8 else _step_int32).bind(
        sums=mem["input.sums"], units=mem["units"], error=mem["error"], counts=mem["counts"], keys=mem["send_keys"],
        values=mem["send_values"], width=width, shift=int(params["shift"]),
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["error"]), step=step)


@inlined
def _step_units(
    sums: Array, units: Array, error: Array, counts: Array, keys: Array, values: Array, width: int, shift: int, lane: int,
    before: int, most: int,
) -> int:  # fmt: skip
    sent, n = before, units.size
    for i in range(n):
        v = np.int32(error[lane, i] + sums[lane, i] - (sums[lane, n + i] >> 1))
        y = min(max(v >> shift, -most), most)
        if y != 0:
            keys[sent] = lane * width + units[i]
            values[sent] = y
            sent += 1
            v = np.int32(v - (y << shift))
        error[lane, i] = v
    counts[0] += n
    return sent - before


@bindable
def _step_int8(
    sums: IntRows, units: Words, error: IntRows, counts: Words, keys: Words, values: Chars, width: Number, shift: Number,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(sums, units, error, counts, keys, values, width, shift, lane, before, INT8_MOST)


@bindable
def _step_int32(
    sums: IntRows, units: Words, error: IntRows, counts: Words, keys: Words, values: Ints, width: Number, shift: Number,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(sums, units, error, counts, keys, values, width, shift, lane, before, INT32_MOST)
