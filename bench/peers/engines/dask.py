"""Dask: one worker process with one actor each; the client calls all actors, and hands the joined events on.

Actors are what its documentation offers for state and low latency: calls go straight to the worker, past the scheduler.
Workers are forked from a server that has imported the library, and take no profile of themselves (100 wake-ups a second each):
its configuration offers both. The client talks to the workers directly.
"""

from __future__ import annotations

from pathlib import Path

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size

NAME = "Dask actors"
MOST_TICKS = 10
ENVIRONMENT = {
    "DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD": "forkserver",
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "120s",
    "DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT": "120s",
    "OMP_NUM_THREADS": "1",
}


def version() -> str:
    """Return the version of what carries the events."""
    return installed("distributed")


class _Actor:
    def __init__(self, rank: int, size: tuple[int, ...]) -> None:
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
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=size.processes,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=None,
            local_directory=str(scratch),
        ) as cluster,
        Client(cluster, direct_to_workers=True) as client,
    ):
        client.wait_for_workers(size.processes)
        workers = list(client.scheduler_info(n_workers=-1)["workers"])
        futures = [
            client.submit(_Actor, rank, tuple(size), actor=True, workers=worker, pure=False)
            for rank, worker in zip(range(size.processes), workers, strict=True)
        ]
        actors = [future.result() for future in futures]
        batches = [call.result() for call in [actor.first() for actor in actors]]
        for tick in range(size.all_ticks):
            run = b"".join(batches)
            batches = [call.result() for call in [actor.step(tick, run) for actor in actors]]
        return [Report(*call.result()) for call in [actor.report() for actor in actors]]
