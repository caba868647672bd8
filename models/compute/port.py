"""`Port`: the calls by which a shard's events meet its weights in any format.

Apart from `models/formats`, which must load without the compiler.
"""

from __future__ import annotations

from typing import NamedTuple

from models.compute.bound_calls import Call, nothing


class Port(NamedTuple):
    """What one slot of a shard's port does with events, as compiled calls bound to its arena views."""

    clear: Call  # at a position's first section: as if no unit of the source had an event; a trace fades instead
    receive: Call  # take the first n events of the FIFO (keys, values, n); keys ascend strictly within a section
    product: Call  # (lane): leave weights times events, or trace, in `sums`, and the work in `counts`
    forget: Call  # (lane): as if no unit had an event; what begins a sequence does not hear what was before
    restart: Call = nothing  # (lane) where a segment begins: set a trace to zero
    more: Call = nothing  # before each further section of a position, of a source that takes several ticks for one
    # The product is made when a section has come, not at the step, since what was received lies in no SRAM. It adds what all lanes
    # have to `sums`, whichever lane asks first; the work is counted by `receive`, which may ask, too.
    closes: bool = False
