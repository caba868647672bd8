"""The integrate-and-fire neuron (IF) in int32, for int8 weights: exact, so that no order and no split of its sums matters.

A step, of a unit at a position; s its sum, an int32, n its spikes:

    v' = v + s + bias
    n = 1 where v' > threshold, or with `fire_at_threshold` >=; with `multi_spike` how often the threshold goes into v' while that
        holds, at most 65,535
    v' = reset, where n > 0                 reset "zero"
    v' = v' - n * threshold                 reset "subtract"
    v' = max(v', -threshold)                where `floor`

and a step late, as in `lif`, with the other resets. Sums wrap at 32 bits. A sequence or segment begins at `start`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.compute.bound_calls import EventsBefore, Flag, IntRows, Ints, Lane, Number, Shorts, Words, bindable, bindable_late
from models.compute.compiling import inlined
from models.kernels import PortSpec, Stepper, Vector
from models.network import Array, Field, Population
from models.spiking import MOST_SPIKES, RESETS, check_firing

PORTS = {"input": PortSpec(1, ("int32",))}
EMITS = ("spike", "count")  # a count with `multi_spike`
FILL = {name: np.int32(value) for name, value in (("bias", 0), ("threshold", 1), ("reset", 0), ("start", 0))}
VECTORS = {name: Vector(dtype="<i4") for name in FILL}
DEFAULTS = {"reset": 0.0, "fire_at_threshold": 0.0, "multi_spike": 0.0, "floor": 0.0}
COUNTS = ("units",)
PER_UNIT = {"units": 1}
_ZERO, _SUBTRACT, _LATE, _NO_DELAY, _ZERO_LATE = range(len(RESETS))


def check(population: Population) -> None:
    """Raise ModelError for numbers that no neuron of this kind can have."""
    check_firing(population)


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard keeps beside its ports, vectors, counts and events."""
    return [Field("v", (lanes, units), "<i4", "variables", "membrane")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` puts membranes to their start."""
    names = ("bias", "threshold", "reset", "units", "v", "counts")
    operands: dict[str, Any] = {name: mem[name] for name in names} | {"sums": mem["input.sums"], "keys": mem["send_keys"]}
    operands |= {"reset_kind": int(params["reset"]), "inclusive": int(params["fire_at_threshold"]), "width": width}
    operands["floor"] = int(params["floor"])
    step = _step_counts.bind(**operands, values=mem["send_values"]) if params["multi_spike"] else _step_spikes.bind(**operands)
    return Stepper(reset=_begin.bind(v=mem["v"], start=mem["start"]), step=step)


@bindable
def _begin(v: IntRows, start: Ints, lane: Lane) -> None:
    v[lane] = start


@inlined
def _spikes_of(v: Any, threshold: Any, inclusive: bool, many: bool) -> int:
    """Return how often a membrane v fires."""
    if not (v > threshold or (inclusive and v == threshold)):
        return 0
    if not many:
        return 1
    spikes = v // threshold if inclusive else (v - 1) // threshold
    return min(spikes, MOST_SPIKES)


@inlined
def _step_units(
    sums: Any, bias: Any, threshold: Any, reset: Any, units: Any, v: Any, counts: Any, keys: Any, values: Any, width: int,
    kind: int, inclusive: bool, floor: bool, lane: int, before: int,
) -> int:  # fmt: skip
    sent, many = before, values is not None
    for i in range(units.size):
        theta = threshold[i]
        earlier = _spikes_of(v[lane, i], theta, inclusive, many) if kind >= _LATE else 0
        u = np.int32(v[lane, i] + sums[lane, i] + bias[i])
        if kind in (_LATE, _NO_DELAY):
            u = np.int32(u - earlier * theta)
        elif kind == _ZERO_LATE and earlier:
            u = reset[i]
        spikes = _spikes_of(u, theta, inclusive, many)
        if spikes:
            keys[sent] = lane * width + units[i]
            if values is not None:
                values[sent] = spikes
            sent += 1
        if kind == _ZERO and spikes:
            u = reset[i]
        elif kind == _SUBTRACT:
            u = np.int32(u - spikes * theta)
        elif kind == _NO_DELAY:
            u = np.int32(u - (spikes - earlier) * theta)
        v[lane, i] = max(u, -theta) if floor else u
    counts[0] += units.size
    return sent - before


@bindable_late
def _step_spikes(
    sums: IntRows, bias: Ints, threshold: Ints, reset: Ints, units: Words, v: IntRows, counts: Words, keys: Words, width: Number,
    reset_kind: Number, inclusive: Flag, floor: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, bias, threshold, reset, units, v, counts, keys, None, width, reset_kind, inclusive, floor, lane, before
    )


@bindable_late
def _step_counts(
    sums: IntRows, bias: Ints, threshold: Ints, reset: Ints, units: Words, v: IntRows, counts: Words, keys: Words, values: Shorts,
    width: Number, reset_kind: Number, inclusive: Flag, floor: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    return _step_units(
        sums, bias, threshold, reset, units, v, counts, keys, values, width, reset_kind, inclusive, floor, lane, before
    )
