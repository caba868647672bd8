"""torch.distributed with the gloo backend: one `all_gather_into_tensor` a tick.

The backend that its documentation recommends for processors; collectives want tensors of one shape, so that a batch is sent
as its count and room for the most events. One thread a process, as its launcher sets it. Forked after the import, which
would cost a second and more in each process.
"""

from __future__ import annotations

import socket
from pathlib import Path

from bench.peers.engines import installed
from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked
from bench.peers.padded import Padding

NAME = "torch gloo"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
MOST_TICKS = 20


def version() -> str:
    """Return the version of what carries the events."""
    return installed("torch")


def _rank(part: Part, port: int) -> None:
    import torch
    import torch.distributed

    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=part.rank, world_size=part.size.processes
    )
    padding = Padding(part.size.processes)
    own, everybody = torch.from_numpy(padding.own), torch.from_numpy(padding.everybody)
    for tick in range(part.size.all_ticks):
        padding.fill(part.batch(tick))
        torch.distributed.all_gather_into_tensor(everybody, own)
        part.hear(padding.run())
    torch.distributed.barrier()  # nobody closes its connections while another still hears


def play(size: Size, scratch: Path) -> list[Report]:  # noqa: ARG001 - gloo meets at a port
    """Run one trial."""
    import torch.distributed  # noqa: F401 - shared by the forked processes

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Forked(size, _rank, [(port,)] * size.processes).reports()
