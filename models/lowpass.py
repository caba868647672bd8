"""The low-pass trace that a port may keep of its source's events, in place, in float32.

    h = trace * h + (1 - trace) * y

for every unit of the source at every position, rounded after each product and after the sum; `1 - trace` is the float32
difference. A unit without an event adds +0, so only events need to be told. Not known here: where the trace lies and
what is done with it (`models/formats`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from models.compiled import compiled
from models.formats import Port
from models.network import Array


@compiled
def _fade(trace: Array, keep: np.float32) -> None:
    """Let every element fade, once a position: `trace` (lanes * source units,) float32."""
    for i in range(trace.size):
        trace[i] = keep * trace[i] + np.float32(0)  # +0 is what a silent unit adds: it makes a -0 the +0 of the equation


@compiled
def _add(trace: Array, share: np.float32, keys: Array, values: Array, count: int) -> None:
    """Add the first `count` events, behind `_fade` and each at most once, `share` being 1 - trace."""
    for e in range(count):
        trace[keys[e]] += share * values[e]


def traced(trace: Array, decay: float, product: Callable[[], object]) -> Port:
    """Return a port whose `product` runs over `trace` (lanes, source units), which it keeps with this decay."""
    flat, keep = trace.reshape(trace.size), np.float32(decay)
    fade, take = partial(_fade, flat, keep), partial(_add, flat, np.float32(1) - keep)
    return Port(fade, take, product, partial(flat.fill, 0))


def warm() -> None:
    """Compile the trace."""
    trace = np.zeros(1, np.float32)
    _fade(trace, np.float32(0))
    _add(trace, np.float32(1), np.zeros(1, np.uint32), trace.copy(), 1)
