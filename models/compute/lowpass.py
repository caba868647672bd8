"""The low-pass trace that a port may keep of its source's events, in place, in float32.

    h = trace * h + (1 - trace) * y

for every unit of the source at every position, rounded after each product and after the sum; `1 - trace` is the float32
difference. A unit without an event adds +0, so only events need to be told. Not known here: where the trace lies and
what is done with it (`models/formats`).
"""

from __future__ import annotations

import numpy as np

from models.compute.bound_calls import Call, call, carray, floats, floats_at, words_at, zero
from models.compute.port import Port
from models.network import Array


@call
def _fade(block: int, keys: int, values: int, count: int) -> int:  # noqa: ARG001 - a call's form
    """Let every element fade, once a position; parts: trace (lanes * source units,) float32, decay."""
    trace, keep = floats(block, 0), floats(block, 1)[0]
    for i in range(trace.size):
        trace[i] = keep * trace[i] + np.float32(0)  # +0 is what a silent unit adds: it makes a -0 the +0 of the equation
    return 0


@call
def _add(block: int, keys: int, values: int, count: int) -> int:
    """Add the events, behind `_fade` and each at most once; parts: trace, 1 - decay."""
    trace, share = floats(block, 0), floats(block, 1)[0]
    units, events = carray(words_at(keys), (count,)), carray(floats_at(values), (count,))
    for e in range(count):
        trace[units[e]] += share * events[e]
    return 0


def traced(trace: Array, decay: float, product: Call) -> Port:
    """Return a port whose `product` runs over `trace` (lanes, source units), which it keeps with this decay."""
    flat, keep = trace.reshape(trace.size), np.array([decay], np.float32)
    return Port(Call(_fade, flat, keep), Call(_add, flat, np.float32(1) - keep), product, Call(zero, flat))
