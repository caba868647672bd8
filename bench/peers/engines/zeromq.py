"""pyzmq and msgpack by hand: a ROUTER that joins P batches and answers each DEALER with all events, and nothing more.

As in the guide's asynchronous client and server. It has no names, ticks, tables, checks or counters: what `gennaker`
takes beyond this is what those cost.
"""

from __future__ import annotations

from pathlib import Path

import msgpack
import zmq

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "bare ZeroMQ"


def version() -> str:
    """Return the versions of what carries the events."""
    return f"{installed('pyzmq', 'msgpack')}, libzmq {zmq.zmq_version()}"


def _dealer(part: Part, address: str) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.ROUTING_ID, b"p%d" % part.rank)
    socket.connect(address)
    for tick in range(part.size.all_ticks):
        socket.send(msgpack.packb([tick, part.batch(tick)]))
        part.hear(msgpack.unpackb(socket.recv())[1])
    context.destroy(linger=0)


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    address = f"ipc://{scratch}/zeromq"
    forked = Forked(size, _dealer, [(address,)] * size.processes)
    context = zmq.Context()
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.BACKLOG, 4096)
    socket.bind(address)
    names = [b"p%d" % rank for rank in range(size.processes)]
    for tick in range(size.all_ticks):
        batches = {}
        while len(batches) < size.processes:
            name, raw = socket.recv_multipart()
            batches[name] = msgpack.unpackb(raw)[1]
        run = msgpack.packb([tick, b"".join([batches[name] for name in names])])
        for name in names:
            socket.send_multipart((name, run))
    reports = forked.reports()
    context.destroy(linger=0)
    return reports
