"""The low-pass trace that a port may keep of its source's events, in place, in float32.

    h = trace * h + (1 - trace) * y

for every unit of the source at every position, rounded after each product and after the sum; `1 - trace` is the float32
difference. A unit without an event adds +0, so only events need to be told.
"""

from __future__ import annotations

import numpy as np

from models.compute.bound_calls import Call, EventKeys, EventValues, Float, Floats, bindable, zeroing_lane
from models.compute.port import Port
from models.network import Array


@bindable
def _fade(trace: Floats, keep: Float) -> None:
    """Let every element of the trace (lanes * source units,) fade, once a position; `keep` is the decay."""
    for i in range(trace.size):
        trace[i] = keep * trace[i] + np.float32(0)  # +0 is what a silent unit adds: it makes a -0 the +0 of the equation


@bindable
def _add(trace: Floats, share: Float, units: EventKeys, events: EventValues) -> None:
    """Add the events, behind `_fade` and each at most once; `share` is 1 - decay."""
    for e in range(units.size):
        trace[units[e]] += share * events[e]


def traced(trace: Array, decay: float, product: Call) -> Port:
    """Return a port whose `product` runs over `trace` (lanes, source units), which it keeps with this decay."""
    flat, keep = trace.reshape(trace.size), np.array([decay], np.float32)
    fade, add = _fade.bind(trace=flat, keep=keep), _add.bind(trace=flat, share=np.float32(1) - keep)
    silence = zeroing_lane(trace)
    return Port(clear=fade, receive=add, product=product, forget=silence, restart=silence)
