"""A workload's unit of work, as `bench/workloads.py` measures it: one file a workload, of its name.

Contract: `unit(folder) -> Unit`, which may write into the folder what its run reads. The peer does the same work in a library that
emulates no chip, on one thread of this machine, on arrays of the same shapes; other weights in them would take it as long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from host.options import RunOptions

_LEAST_S = 0.5  # that a peer is timed for


class Unit(NamedTuple):
    """What is measured of a workload.

    `name`: what a unit is; `options`: of the run, on PE processes; `count`: how many units a run's report is of; `peer`: the
    library, and how; `peer_s`: returns the seconds of a unit there.
    """

    name: str
    options: RunOptions
    count: Callable[[Mapping[str, Any]], int]
    peer: str
    peer_s: Callable[[], float]


def seconds_of(work: Callable[[], object], units: int) -> float:
    """Return the seconds of one of the `units` that a call of `work` does, the first call left out."""
    work()
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < _LEAST_S or not calls:
        work()
        calls += 1
    return passed / (calls * units)
