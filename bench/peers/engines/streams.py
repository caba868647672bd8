"""`asyncio` streams over a Unix socket: the parent is the server and joins; messages have their length in front.

As the library's documentation shows: `start_unix_server`, `open_unix_connection`, `readexactly`, and `drain` after `write`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import platform
from pathlib import Path
from typing import Any

from bench.peers.exchange import Part, Report, Size
from bench.peers.forked import Forked

NAME = "asyncio"
_LENGTH_BYTES = 4


def version() -> str:
    """Return the version of Python, whose library this is."""
    return f"Python {platform.python_version()}"


async def _read(reader: asyncio.StreamReader) -> bytes:
    length = int.from_bytes(await reader.readexactly(_LENGTH_BYTES), "little")
    return await reader.readexactly(length)


async def _write(writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(len(raw).to_bytes(_LENGTH_BYTES, "little") + raw)
    await writer.drain()


async def _client(part: Part, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)
    await _write(writer, part.rank.to_bytes(_LENGTH_BYTES, "little"))
    for tick in range(part.size.all_ticks):
        await _write(writer, part.batch(tick))
        part.hear(await _read(reader))
    writer.close()
    await writer.wait_closed()


def _child(part: Part, path: Path, listening: Any) -> None:
    listening.wait()
    asyncio.run(_client(part, path))


async def _serve(size: Size, path: Path, listening: Any) -> None:
    connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
    all_here = asyncio.Event()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[int.from_bytes(await _read(reader), "little")] = (reader, writer)
        if len(connections) == size.processes:
            all_here.set()

    server = await asyncio.start_unix_server(connected, path, backlog=4096)
    listening.set()
    await all_here.wait()
    ends = [connections[rank] for rank in range(size.processes)]
    for _ in range(size.all_ticks):
        run = b"".join(await asyncio.gather(*[_read(reader) for reader, _ in ends]))
        await asyncio.gather(*[_write(writer, run) for _, writer in ends])
    server.close()
    for _, writer in ends:
        writer.close()


def play(size: Size, scratch: Path) -> list[Report]:
    """Run one trial."""
    listening = multiprocessing.Event()
    path = scratch / "asyncio"
    forked = Forked(size, _child, [(path, listening)] * size.processes)
    asyncio.run(_serve(size, path, listening))
    return forked.reports()
