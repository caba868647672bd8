"""`multiprocessing` pipes: one duplex `Pipe` to each process, the parent joins.

As the library's documentation says for two ends and bytes: `Pipe`, `send_bytes`, `recv_bytes`, and
`multiprocessing.connection.wait` to hear several at once.
"""

from __future__ import annotations

import multiprocessing
import platform
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "mp.Pipe"


def version() -> str:
    """Return the version of Python, whose library this is."""
    return f"Python {platform.python_version()}"


def _child(part: Part, pipe: Connection) -> None:
    for tick in range(part.size.all_ticks):
        pipe.send_bytes(part.batch(tick))
        part.hear(pipe.recv_bytes())


def play(size: Size, scratch: Path) -> list[Report]:  # noqa: ARG001 - pipes have no names
    """Run one trial."""
    pairs = [multiprocessing.Pipe() for _ in range(size.processes)]
    forked = Forked(size, _child, [(child_end,) for _, child_end in pairs])
    pipes = [parent_end for parent_end, _ in pairs]
    for _ in range(size.all_ticks):
        batches = {}
        while len(batches) < size.processes:
            for pipe in wait(pipes):
                batches[pipe] = pipe.recv_bytes()
        run = b"".join([batches[pipe] for pipe in pipes])
        for pipe in pipes:
            pipe.send_bytes(run)
    return forked.reports()
