"""Ray: one actor a process; the driver calls a method on all, gets all results at once, and hands the joined events on.

As its documentation recommends: one `ray.get` on the list of results, none in a loop; small arguments by value (it asks for
`ray.put` above 100 KB); actors that only wait are given no processor.
"""

from __future__ import annotations

import logging
from pathlib import Path

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size

NAME = "Ray actors"
MOST_TICKS = 20
ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_register_timeout_seconds": "300", "RAY_DISABLE_IMPORT_WARNING": "1"}
_STORE_BYTES = 100 << 20


def version() -> str:
    """Return the version of what carries the events."""
    return installed("ray")


class _Actor:
    def __init__(self, rank: int, size: Size) -> None:
        self._part = Part(rank, Size(*size))

    def first(self) -> bytes:
        return self._part.batch(0)

    def step(self, tick: int, run: bytes) -> bytes:
        self._part.hear(run)
        return b"" if self._part.done else self._part.batch(tick + 1)

    def report(self) -> tuple:
        return tuple(self._part.report())


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    import ray

    ray.init(
        include_dashboard=False,
        object_store_memory=_STORE_BYTES,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=str(scratch),
    )
    actor = ray.remote(num_cpus=0)(_Actor)
    actors = [actor.remote(rank, size) for rank in range(size.processes)]
    batches = ray.get([actor.first.remote() for actor in actors])
    for tick in range(size.all_ticks):
        run = b"".join(batches)
        batches = ray.get([actor.step.remote(tick, run) for actor in actors])
    reports = [Report(*fields) for fields in ray.get([actor.report.remote() for actor in actors])]
    ray.shutdown()
    return reports
