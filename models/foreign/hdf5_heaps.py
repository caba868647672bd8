"""Whether the heaps of an HDF5 file can be walked, in which its texts lie: the library goes round in a damaged one without end.

A heap ("Global Heap" in the HDF5 file format, 3.0) is a signature, a version, its size, and objects one after the other: index,
references, size, data in multiples of 8 bytes. Index 0 is free space, whose size counts its own header.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import BinaryIO

_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER = 16  # bytes, of a heap and of an object in it


def are_whole(file: BinaryIO) -> bool:
    """Say whether the objects of every heap in a file follow each other to its end."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return all(_is_whole(data, at) for at in _heaps(data))


def _heaps(data: mmap.mmap) -> Iterator[int]:
    at = data.find(_SIGNATURE)
    while at >= 0:
        yield at
        at = data.find(_SIGNATURE, at + 1)


def _is_whole(data: mmap.mmap, start: int) -> bool:
    size = int.from_bytes(data[start + 8 : start + _HEADER], "little")
    end = start + size
    if size < _HEADER or end > len(data):
        return False
    at = start + _HEADER
    while at + _HEADER <= end:
        index = int.from_bytes(data[at : at + 2], "little")
        own = int.from_bytes(data[at + 8 : at + _HEADER], "little")
        step = _HEADER + -(-own // 8) * 8 if index else own
        if step < _HEADER or at + step > end:
            return False
        at += step
    return True
