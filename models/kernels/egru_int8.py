"""The event-based gated recurrent unit on int8 weights and events: integer sums, and gates and cell state in float32 on the core.

The equations are those of `egru`, with numbers q of its ports' sums and events in the place of values:

    Wx = input_scale * float32(sum of W_q x_q), Rh = recurrent_scale * float32(sum of R_q y_q), a scale each row
    z, r, g and p as in `egru`, from left to right as written there
    event where p - thr > 0, and q is not 0: q = p / event_scale, to the nearest, ties to even, at most `most_event` either side;
    then c = p - thr, else c = p

A row's scale is that of its weights times that of its source's events. A sum has at most 24 bits, as the accumulators of the MAC
array; that is checked before anything runs (`check`), so float32 holds it exactly. An event whose number would be 0 is none, so
that nothing is taken from the cell either. `event_scale` is what an event's 1 stands for: 1/128 holds every p, which is below 1.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.accumulators import check_sums
from models.compute.bound_calls import (
    Chars,
    EventsBefore,
    Flag,
    Float,
    FloatRows,
    Floats,
    IntRows,
    Lane,
    Number,
    Words,
    bindable_late,
    zeroing_lane,
)  # fmt: skip
from models.compute.compiling import always_inlined
from models.compute.exponentials import sigmoid32, tanh32
from models.kernels import PortSpec, Stepper, Vector, egru
from models.kernels.egru import GATES, INPUT, RECURRENT
from models.network import Array, Field, ModelError, Population

PORTS = {INPUT: PortSpec(GATES, ("int32",)), RECURRENT: PortSpec(GATES, ("int32",))}
EMITS = ("int8",)
SCALES = {INPUT: "input_scale", RECURRENT: "recurrent_scale"}
"""Port -> the vector of what a 1 of each row's sum stands for."""
VECTORS = {
    "threshold": Vector(), "bias": Vector(GATES), "recurrent_bias": Vector(GATES),
    **{name: Vector(GATES) for name in SCALES.values()},
}  # fmt: skip
CONVENTIONS = egru.CONVENTIONS
DEFAULTS = {"zoneout": 0.0, "fire_at_threshold": 0.0, "event_scale": 1 / 128, "most_event": 127.0}
EXPONENTIALS_PER_UNIT = 3  # two sigmoids and a tanh
COUNTS = ("units", "exponentials")
PER_UNIT = {"units": 1, "exponentials": EXPONENTIALS_PER_UNIT}


def check(population: Population) -> None:
    """Raise ModelError for parameters and scales that cannot be, and for weights whose sums may need more than 24 bits."""
    name, params = population.name, population.params
    for of, least, most in (("zoneout", 0, 1), ("fire_at_threshold", 0, 1), ("most_event", 1, 127)):
        number = params.get(of, DEFAULTS[of])
        if not least <= number <= most:
            raise ModelError(f"{name}: {of} {number:g}; needs {least} to {most}")
    scale = params.get("event_scale", DEFAULTS["event_scale"])
    if not 0 < scale <= 1:
        raise ModelError(f"{name}: event_scale {scale:g}; needs a number above 0, at most 1")
    threshold = population.vectors["threshold"]
    if not np.all((threshold >= 0) & (threshold <= 1)):  # also refuses NaN
        raise ModelError(f"{name}: thresholds from {threshold.min():g} to {threshold.max():g}; needs 0 to 1")
    for port, vector in SCALES.items():
        scales = population.vectors[vector]
        wrong = np.flatnonzero(~(scales > 0) | ~np.isfinite(scales))
        if wrong.size:
            raise ModelError(f"{name}: {vector} of row {wrong[0]} is {scales[wrong[0]]:g}; needs a finite number above 0")
        for projection in population.projections_to(port):
            check_sums(f"{name}, port {port!r}", projection.weights)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard of `units` units keeps beside its ports, vectors, counts and events."""
    return [Field("cell", (lanes, units), "<f4", "variables", "cell state c")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` zeroes the cell state; y is carried over."""
    arrays = {**OPERANDS, "cell": "cell"}
    step = _step.bind(**{operand: mem[name] for operand, name in arrays.items()}, **step_numbers(width, params))
    return Stepper(reset=zeroing_lane(mem["cell"]), step=step)


OPERANDS = {
    "wx": "input.sums", "rh": "recurrent.sums", "sx": "input_scale", "sh": "recurrent_scale", "bx": "bias", "br": "recurrent_bias",
    "thr": "threshold", "units": "units", "counts": "counts", "keys": "send_keys", "values": "send_values",
}  # fmt: skip
"""Operand of a step -> the arena view, without the cell state."""


def step_numbers(width: int, params: Mapping[str, float]) -> dict[str, Any]:
    """Return a step's operands that are no arena views."""
    return {
        "width": width,
        "zoneout": np.float32(params["zoneout"]),
        "inclusive": int(params["fire_at_threshold"]),
        "numbers": np.float32(1) / np.float32(params["event_scale"]),
        "most": np.float32(params["most_event"]),
    }


@always_inlined
def next_state(
    wx: IntRows, rh: IntRows, sx: Floats, sh: Floats, bx: Floats, br: Floats, zoneout: Any, lane: int, i: int, n: int, c: Any
) -> Any:
    """Return p of unit `i` of `n`, in float32, from its cell state `c`; vectors are those of the ports, gate after gate."""
    k, m = n + i, 2 * n + i
    one = np.float32(1)
    xz, hz = sx[i] * np.float32(wx[lane, i]), sh[i] * np.float32(rh[lane, i])
    xr, hr = sx[k] * np.float32(wx[lane, k]), sh[k] * np.float32(rh[lane, k])
    xg, hg = sx[m] * np.float32(wx[lane, m]), sh[m] * np.float32(rh[lane, m])
    z = sigmoid32(((xz + hz) + bx[i]) + br[i])
    r = sigmoid32(((xr + hr) + bx[k]) + br[k])
    g = tanh32((xg + bx[m]) + r * (hg + br[m]))
    p = z * c + (one - z) * g
    if zoneout != np.float32(0):
        p = zoneout * c + (one - zoneout) * p
    return p


@always_inlined
def event_number(p: Any, over: Any, inclusive: int, numbers: Any, most: Any) -> Any:
    """Return the number of a unit's event, in float32, 0 for none: `over` is p less the threshold."""
    zero = np.float32(0)
    if over > zero or (inclusive and over == zero):
        return min(max(np.float32(np.rint(p * numbers)), -most), most)
    return zero


@bindable_late
def _step(
    wx: IntRows, rh: IntRows, sx: Floats, sh: Floats, bx: Floats, br: Floats, thr: Floats, units: Words, cell: FloatRows,
    counts: Words, keys: Words, values: Chars, width: Number, zoneout: Float, inclusive: Flag, numbers: Float, most: Float,
    lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    n = units.size
    sent = before
    for i in range(n):
        p = next_state(wx, rh, sx, sh, bx, br, zoneout, lane, i, n, cell[lane, i])
        over = p - thr[i]
        number = event_number(p, over, inclusive, numbers, most)
        if number != np.float32(0):
            keys[sent] = lane * width + units[i]
            values[sent] = np.int8(number)
            sent += 1
            p = over
        cell[lane, i] = p
    counts[0] += n
    counts[1] += EXPONENTIALS_PER_UNIT * n
    return sent - before
