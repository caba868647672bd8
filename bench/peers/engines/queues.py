"""`multiprocessing.Queue`: one queue into the parent, which joins, and one back to each process.

As the library's documentation recommends: queues for several producers, objects that are cheap to pickle, and no shared state.
One queue from each process to each other would take 22,350 puts a tick at 150 processes.
"""

from __future__ import annotations

import multiprocessing
import platform
from pathlib import Path
from typing import Any

from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "mp.Queue"


def version() -> str:
    """Return the version of Python, whose library this is."""
    return f"Python {platform.python_version()}"


def _child(part: Part, to_parent: Any, from_parent: Any) -> None:
    for tick in range(part.size.all_ticks):
        to_parent.put((part.rank, part.batch(tick)))
        part.hear(from_parent.get())


def play(size: Size, scratch: Path) -> list[Report]:  # noqa: ARG001 - queues have no names
    """Run one trial."""
    to_parent: Any = multiprocessing.Queue()
    queues: list[Any] = [multiprocessing.Queue() for _ in range(size.processes)]
    forked = Forked(size, _child, [(to_parent, queue) for queue in queues])
    for _ in range(size.all_ticks):
        batches = dict(to_parent.get() for _ in range(size.processes))
        run = b"".join([batches[rank] for rank in range(size.processes)])
        for queue in queues:
            queue.put(run)
    return forked.reports()
