"""The low-pass trace that a port may keep of its source's events, in place, in float32.

    h = trace * h + (1 - trace) * y

for every unit of the source at every position, rounded after each product and after the sum; `1 - trace` is the float32
difference. A unit without an event adds +0, so only events need to be told.

Of int8 events it is a trace of their numbers, and what integer weights multiply is the nearest whole number to 2**shift times it,
ties to even, at most 127 either side.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    Address,
    Call,
    CharRows,
    EventKeys,
    EventType,
    EventValues,
    Float,
    FloatRows,
    Floats,
    Lane,
    Number,
    bindable_late,
    call_at,
    zeroing_lane,
)
from models.compute.port import Port
from models.network import Array
from models.shard import PortShape


@bindable_late  # few ports keep a trace
def _fade(trace: Floats, keep: Float) -> None:
    """Let every element of the trace (lanes * source units,) fade, once a position; `keep` is the decay."""
    for i in range(trace.size):
        trace[i] = keep * trace[i] + np.float32(0)  # +0 is what a silent unit adds: it makes a -0 the +0 of the equation


@bindable_late
def _add(trace: Floats, share: Float, units: EventKeys, events: EventValues) -> None:
    """Add the events, behind `_fade` and each at most once; `share` is 1 - decay."""
    for e in range(units.size):
        trace[units[e]] += share * np.float32(events[e])


@bindable_late
def _product_of_numbers(trace: FloatRows, vector: CharRows, gain: Float, product: Number, block: Address, lane: Lane) -> None:
    """Make a product over the whole numbers of a lane's trace, by the call at address `product` with its `block`."""
    largest = np.float32(127)
    for unit in range(trace.shape[1]):
        vector[lane, unit] = np.int8(min(max(np.float32(np.rint(trace[lane, unit] * gain)), -largest), largest))
    call_at(product, block, lane, 0, 0)


def heard_of_trace(mem: Mapping[str, Array]) -> Array:
    """Return what a product over a trace multiplies, (lanes, source units): the trace, or its whole numbers."""
    return mem.get("vector", mem["trace"])


def traced(mem: Mapping[str, Array], decay: float, shape: PortShape, product: Call) -> Port:
    """Return a port that keeps `mem["trace"]` (lanes, source units) with this decay, and whose `product` runs over
    `heard_of_trace(mem)`.
    """
    trace = mem["trace"]
    flat, keep = trace.reshape(trace.size), np.float32(decay)
    fade, silence = _fade.bind(trace=flat, keep=keep), zeroing_lane(trace)
    add = _add.bind(EventType(shape.payload), trace=flat, share=np.float32(1) - keep)
    if "vector" in mem:
        product = _product_of_numbers.bind(
            trace=trace, vector=mem["vector"], gain=np.float32(1 << shape.trace_shift), product=product.address,
            block=product.block,
        )  # fmt: skip
    return Port(clear=fade, receive=add, product=product, forget=silence, restart=silence)
