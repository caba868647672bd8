"""Memory of the emulator's own beside a PE's arena: working room of kernels, and the records that a tick goes by.

Working room holds what the emulator notes of weights that lie in the arena, or lays out to work faster: it could be made again from
the arena at any moment, and the chip's program would not have it. Records hold addresses, sizes, counts, and a PE's last batches.

They lie together, in chunks. Arrays of a few bytes, each where the memory had a gap, were on fifteen pages of a PE's: each tick
read fifteen lines of the cache for them, and asked fifteen times where a page is.
"""

from __future__ import annotations

import mmap
import threading
from math import prod
from typing import Any

import numpy as np

from models.network import Array

_LINE_BYTES = 64  # of a cache: what crosses two lines is stored and loaded again at a third of the speed
_WORD_BYTES = 8
_CHUNK_BYTES = 1 << 16  # pages of it that nothing was put on take no memory
_LARGE_BYTES = _CHUNK_BYTES // 4  # what is as large has memory of its own, so that what is small stays together


class WorkingRoom(np.ndarray[Any, Any]):
    """A chunk of such memory, or an array in it that is no record; tests tell it by this from what a PE may not keep."""


class _Chunk:
    """Where the next array goes."""

    room: Array = WorkingRoom(0, np.uint8)
    next_byte = 0
    lock = threading.Lock()


def begin_chunk() -> None:
    """Have what comes next lie on pages that nothing was put on yet; a process that is forked then puts its own there."""
    with _Chunk.lock:
        _Chunk.room, _Chunk.next_byte = _memory(_CHUNK_BYTES), 0


def _memory(size_bytes: int) -> Array:
    """Return zeros that begin with a page and are not shared with forked processes; MemoryError where there is no more."""
    try:
        return WorkingRoom(size_bytes, np.uint8, mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
    except OSError as error:
        raise MemoryError(f"{size_bytes} B of working room") from error


def _take(size_bytes: int, align_bytes: int) -> Array:
    """Return so many zeros that begin at a multiple of `align_bytes`, behind those of the last call."""
    if size_bytes >= _LARGE_BYTES:
        return _memory(size_bytes)
    with _Chunk.lock:
        begin = -(-_Chunk.next_byte // align_bytes) * align_bytes  # a chunk begins with a page
        if begin + size_bytes > _Chunk.room.size:
            _Chunk.room, begin = _memory(_CHUNK_BYTES), 0
        _Chunk.next_byte = begin + size_bytes
        return _Chunk.room[begin : begin + size_bytes]


def working_room(size: int, dtype: Any) -> Array:
    """Return zeros (size,) that begin with a cache line."""
    return _take(size * np.dtype(dtype).itemsize, _LINE_BYTES).view(dtype)


def records(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return zeros of a shape, for what each tick reads."""
    rows = (shape,) if isinstance(shape, int) else shape
    return np.ndarray(rows, dtype, _take(prod(rows) * np.dtype(dtype).itemsize, _WORD_BYTES))
