"""pynng: batches come in through a pipeline (push, pull), and the joined events go out to all subscribers (publish, subscribe).

The two patterns that its documentation has for many to one and one to many. Publishing is best effort, but nothing is lost with
one message a tick on its way. The survey pattern, one ask and P answers, would fit in one socket; its surveyor keeps 128
answers at most and drops the others, too few for 150 processes.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "NNG"
_RANK = struct.Struct("<I")
_LOOK_AGAIN_S = 0.005


def version() -> str:
    """Return the version of what carries the events."""
    return installed("pynng")


def _child(part: Part, to_parent: str, from_parent: str) -> None:
    import pynng

    with (
        pynng.Sub0(dial=from_parent, topics=[b""], block_on_dial=False) as hears,
        pynng.Push0(dial=to_parent, block_on_dial=False) as sends,
    ):
        hears.recv()
        for tick in range(part.size.all_ticks):
            sends.send(_RANK.pack(part.rank) + part.batch(tick))
            part.hear(hears.recv())


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    import pynng  # before the fork, which its threads would not survive: they start with the first socket

    addresses = (f"ipc://{scratch}/in", f"ipc://{scratch}/out")
    forked = Forked(size, _child, [addresses] * size.processes)
    with pynng.Pull0(listen=addresses[0]) as hears, pynng.Pub0(listen=addresses[1]) as publishes:
        while len(publishes.pipes) < size.processes:
            time.sleep(_LOOK_AGAIN_S)
        publishes.send(b"go")
        for _ in range(size.all_ticks):
            batches = {}
            while len(batches) < size.processes:
                batch = hears.recv()
                batches[_RANK.unpack_from(batch)[0]] = batch[_RANK.size :]
            publishes.send(b"".join([batches[rank] for rank in range(size.processes)]))
        return forked.reports()
