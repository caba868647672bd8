"""pynng: the survey pattern, in which one asks all and each answers once, which is just what a tick is.

The parent is the surveyor: it asks with the population's events, and each respondent answers with its next batch. Surveys are
documented as best effort, so the buffers hold an answer of every process. The first survey starts the ticks.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "NNG survey"
_LONGEST_MS = 60_000
_LARGEST_BUFFER = 8192  # messages: the library's limit


def version() -> str:
    """Return the version of what carries the events."""
    return installed("pynng")


def _respondent(part: Part, address: str) -> None:
    import pynng

    with pynng.Respondent0(dial=address, block_on_dial=False) as socket:
        socket.recv()
        for tick in range(part.size.all_ticks):
            socket.send(struct.pack("<I", part.rank) + part.batch(tick))
            part.hear(socket.recv())


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    import pynng  # before the fork, which its threads would not survive: they start with the first socket

    address = f"ipc://{scratch}/nng"
    forked = Forked(size, _respondent, [(address,)] * size.processes)
    with pynng.Surveyor0(listen=address, survey_time=_LONGEST_MS, recv_buffer_size=min(2 * size.processes, _LARGEST_BUFFER)) as socket:
        while len(socket.pipes) < size.processes:
            time.sleep(0.005)
        run = b"go"  # the library fails at a message without bytes
        for _ in range(size.all_ticks):
            socket.send(run)
            batches = {}
            while len(batches) < size.processes:
                answer = socket.recv()
                batches[struct.unpack_from("<I", answer)[0]] = answer[4:]
            run = b"".join([batches[rank] for rank in range(size.processes)])
        socket.send(run)
        return forked.reports()
