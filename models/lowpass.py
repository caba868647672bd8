"""The low-pass trace that a port may keep of its source's events, in place, in float32.

    h = trace * h + (1 - trace) * y

for every unit of the source at every position, rounded after each product and after the sum; `1 - trace` is the float32
difference. A unit without an event adds +0, so only events need to be told. Not known here: where the trace lies and
what is done with it (`models/formats`).
"""

from __future__ import annotations

import numpy as np

from models.compiled import compiled
from models.network import Array


@compiled
def decay(trace: Array, keep: np.float32) -> None:
    """Let every element fade, once a position: `trace` (lanes * source units,) float32."""
    for i in range(trace.size):
        trace[i] = keep * trace[i] + np.float32(0)  # +0 is what a silent unit adds: it makes a -0 the +0 of the equation


@compiled
def add(trace: Array, share: np.float32, keys: Array, values: Array, count: int) -> None:
    """Add the first `count` events, behind `decay` and each at most once, `share` being 1 - trace."""
    for e in range(count):
        trace[keys[e]] += share * values[e]


def warm() -> None:
    """Compile the trace."""
    trace = np.zeros(1, np.float32)
    decay(trace, np.float32(0))
    add(trace, np.float32(1), np.zeros(1, np.uint32), trace.copy(), 1)
