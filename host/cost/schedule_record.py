"""`Schedule`: when the layers of positions begin, wait and send, in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.network import F64, I64, Array


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """When layers begin, wait, compute and send, in seconds; `time_s` is all of it, from the first position that it is of, and
    `position_s` (positions,) how long each lasts, side by side until the next one enters.

    (positions, layers' exchanges) each: `began_s` when a layer began it at a position, `wait_s` how long it waited for its inputs
    (DRAM, and the way to other chips), `transit_s` and then `links_s` how long its messages were under way on meshes and over
    links, `layer_s` how long all that took, and `critical`, its slowest turn. `input_links_s` is what of `wait_s` was
    inputs' way to other chips; `on_path`, whether it was on its position's longest path, which a sequential run takes; `busy_s`
    (PEs,) how long each PE computed over the run. `ahead_s` (positions, turns), where layers lie beside each other and work while
    messages travel: how much later than its layer each turn begins, or sooner; None where none does. Of networks that run layer
    by layer: `array_s` (PEs,), how long each PE's array was busy, in `busy_s`; and `dram_bytes`, from and to DRAMs.
    """

    time_s: float
    position_s: F64 = field(repr=False)
    began_s: F64 = field(repr=False)
    ahead_s: F64 | None = field(repr=False)
    wait_s: F64 = field(repr=False)
    transit_s: F64 = field(repr=False)
    links_s: F64 = field(repr=False)
    layer_s: F64 = field(repr=False)
    critical: I64 = field(repr=False)
    input_links_s: F64 = field(repr=False)
    on_path: Array = field(repr=False)
    busy_s: F64 = field(repr=False)
    array_s: F64 | None = field(repr=False, default=None)
    dram_bytes: int = 0
