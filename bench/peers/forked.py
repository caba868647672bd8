"""The processes of an engine that brings none of its own: forked, as the cheapest start there is.

Each dies with the process that forked it. What an engine imports before `start` is shared by all; sockets, contexts and
event loops have to be made after the fork.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

from bench.peers.exchange import Part, Report, Size
from host.processes.parent_death import die_with


class Forked:
    """Forked processes, by rank, and a pipe to each for its report."""

    def __init__(self, size: Size, body: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> None:
        """Start `size.processes` processes that run `body(part, *arguments[rank])`."""
        gc.collect()
        gc.freeze()  # a collection in a child would touch, and so copy, what it shares with the others
        context = multiprocessing.get_context("fork")
        self._children, self._pipes = [], []
        for rank in range(size.processes):
            parent_end, child_end = context.Pipe()
            child = context.Process(target=_child, args=(os.getpid(), child_end, rank, size, body, arguments[rank]), daemon=True)
            child.start()
            child_end.close()  # so that the end of a child is heard as the end of its pipe
            self._children.append(child)
            self._pipes.append(parent_end)

    def reports(self) -> list[Report]:
        """Return what every process reports, and then let them go; EOFError where one has died."""
        reports = [Report(*pipe.recv()) for pipe in self._pipes]
        for pipe in self._pipes:
            pipe.send(None)
        for child in self._children:
            child.join()
        return reports


def _child(parent_pid: int, pipe: Connection, rank: int, size: Size, body: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    die_with(parent_pid)
    part = Part(rank, size)
    body(part, *arguments)
    pipe.send(tuple(part.report()))
    pipe.recv()  # nobody leaves before all have measured their memory
