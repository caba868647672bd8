"""`Port`: the calls by which a shard's events meet its weights in any format; and code that event-driven formats share.

Apart from `models/formats`, which must load without the compiler.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.compute.bound_calls import Call, FloatRows, Words, bindable, nothing
from models.compute.compiling import inlined
from models.network import Array


class Port(NamedTuple):
    """What a shard's port does with events, as compiled calls bound to its arena views."""

    clear: Call  # before each position: as if no unit of the source had an event; a trace fades instead
    receive: Call  # take the first n events of the FIFO (keys, values, n); keys ascend between two clears
    product: Call  # leave weights times events, or trace, in `sums`, and the work in `counts`
    restart: Call = nothing  # where a segment begins: set a trace to zero


@inlined
def forget(sums: Array, counts: Array) -> None:
    """Zero the accumulators (lanes, rows) of an event-driven port, and the work that it counted."""
    sums[:] = np.float32(0)
    counts[0] = counts[1] = 0


@bindable
def clear(sums: FloatRows, counts: Words) -> None:
    """Forget every event and the work it made, of an event-driven port."""
    forget(sums, counts)
