"""The emulated LPDDR4 store: named regions of a memory-mapped file, capacity enforced, bytes counted.

The file is unlinked from the start and sparse, so it costs what is written to it and nothing is left whatever dies. Room
on the disk is reserved before a write: a page that finds none there ends the process (SIGBUS). The
chip has two interfaces of 1 GB each; 0x0-0x3FF of each is reserved, starts are multiples of 16 bytes, and a read may
not cross from one interface to the other (developer portal, second-hand).
"""

import errno
import mmap
import os
import tempfile
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

INTERFACES = 2
RESERVED_BYTES = 0x400  # at the start of each interface
BLOCK_BYTES = 1 << 16  # of which room on the disk is reserved, when the first byte is written


class DramError(ValueError):
    """A store that cannot be made, in one line."""


class DramOverflow(DramError):
    """A region that fits no interface; one line that names it, what it needs and what is free."""


class DramFull(DramError, OSError):
    """A write for which the disk behind the store has no room, in one line."""


@dataclass(frozen=True)
class DramRegion:
    """A named stretch of DRAM."""

    name: str
    offset: int
    size_bytes: int


def check_address(address: int, size_bytes: int, capacity_bytes: int, alignment_bytes: int) -> None:
    """Raise DramError unless so many bytes at an address lie in one interface of a store, behind what is reserved and aligned."""
    interface, what = capacity_bytes // INTERFACES, f"bytes {address:#x} to {address + size_bytes:#x}"
    first = address - address % interface + RESERVED_BYTES if interface else 0
    end = first - RESERVED_BYTES + interface
    if not (0 <= address < interface * INTERFACES and first <= address and address + size_bytes <= end):
        raise DramError(f"{what}; has {INTERFACES} x {interface:#x} B, of which the first {RESERVED_BYTES:#x} are reserved")
    if address % alignment_bytes:
        raise DramError(f"{what}; needs a start aligned to {alignment_bytes} B")


class Dram:
    """A store of `capacity_bytes`, with starts aligned to `alignment_bytes`; DramError where it cannot be made."""

    def __init__(self, capacity_bytes: int, alignment_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.read_bytes = 0
        self.written_bytes = 0
        self._alignment = alignment_bytes
        self._interface = capacity_bytes // INTERFACES
        self._end = RESERVED_BYTES
        self._names: set[str] = set()
        if self._interface <= RESERVED_BYTES:
            raise DramError(f"DRAM: {capacity_bytes} B; needs more than {INTERFACES * RESERVED_BYTES} B, which are reserved")
        try:
            file = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the store is
            weakref.finalize(self, file.close)
            file.truncate(capacity_bytes)
            self._memory = mmap.mmap(file.fileno(), capacity_bytes)
            self._descriptor = file.fileno()
            self.blocks = np.zeros(-(-capacity_bytes // BLOCK_BYTES), np.uint8)  # 1 for each that has room on the disk
        except (OSError, OverflowError, MemoryError) as error:
            raise DramError(f"DRAM: a store of {capacity_bytes} B cannot be made here ({error})") from error

    def allocate(self, name: str, size_bytes: int) -> DramRegion:
        """Reserve a region; DramOverflow where it does not fit one interface."""
        if name in self._names:
            raise ValueError(f"DRAM: region {name!r} exists already")
        start = next((start for start in self._starts() if self._left(start) >= size_bytes), None)
        if start is None:
            have = f"{self.room_bytes} B free of {self.capacity_bytes} B, {self._interface - RESERVED_BYTES} B an interface"
            raise DramOverflow(f"DRAM: region {name!r} needs {size_bytes} B, {have}")
        self._end = start + size_bytes
        self._names.add(name)
        return DramRegion(name, start, size_bytes)

    @property
    def room_bytes(self) -> int:
        """Bytes of the largest region that can be reserved now."""
        return max(map(self._left, self._starts()))

    def _starts(self) -> tuple[int, int]:
        """Return where the next region may begin, in this interface and in the one after it."""
        start = self._behind_reserved(self._aligned(self._end))
        return start, self._behind_reserved((start // self._interface + 1) * self._interface)

    def _behind_reserved(self, start: int) -> int:
        return max(start, self._aligned(start // self._interface * self._interface + RESERVED_BYTES))

    def _left(self, start: int) -> int:
        """Return the bytes from `start` to the end of its interface."""
        return (start // self._interface + 1) * self._interface - start if start < self.capacity_bytes else 0

    def _aligned(self, offset: int) -> int:
        return -(-offset // self._alignment) * self._alignment

    def row_stride(self, row_bytes: int) -> int:
        """Return the distance between rows such that each starts aligned."""
        return self._aligned(row_bytes)

    def write(self, region: DramRegion, offset: int, data: bytes) -> None:
        """Write `data` at `offset` of the region; DramFull where the disk has no room."""
        self._check(region, offset, len(data), "write")
        self._reserve(region.offset + offset, len(data))
        self._memory[region.offset + offset : region.offset + offset + len(data)] = data
        self.written_bytes += len(data)

    def write_rows(self, region: DramRegion, rows: npt.NDArray[Any]) -> None:
        """Write a 2-D array row by row, each row aligned; DramFull where the disk has no room."""
        row_bytes = rows.shape[1] * rows.itemsize
        stride = self.row_stride(row_bytes)
        self._check(region, 0, stride * len(rows), "write")
        self._reserve(region.offset, stride * len(rows))
        target = np.frombuffer(self._memory, np.uint8, stride * len(rows), region.offset).reshape(len(rows), stride)
        target[:, :row_bytes] = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
        self.written_bytes += rows.nbytes

    def read(self, region: DramRegion, offset: int, size_bytes: int) -> bytes:
        """Return `size_bytes` at `offset` of the region."""
        self._check(region, offset, size_bytes, "read")
        self.read_bytes += size_bytes
        return self._memory[region.offset + offset : region.offset + offset + size_bytes]

    def read_at(self, address: int, size_bytes: int) -> bytes:
        """Return the bytes at an address; DramError where they are not of one interface, or the start is not aligned."""
        self._check_address(address, size_bytes)
        self.read_bytes += size_bytes
        return self._memory[address : address + size_bytes]

    def write_at(self, address: int, data: bytes) -> None:
        """Write bytes at an address; DramError as for `read_at`, DramFull where the disk has no room."""
        self._check_address(address, len(data))
        self._reserve(address, len(data))
        self._memory[address : address + len(data)] = data
        self.written_bytes += len(data)

    @property
    def memory(self) -> npt.NDArray[np.uint8]:
        """All bytes, where they lie: for who checks addresses and room, and counts, by himself."""
        return np.frombuffer(self._memory, np.uint8)

    @property
    def alignment_bytes(self) -> int:
        """What starts are multiples of."""
        return self._alignment

    def peek(self, address: int, size_bytes: int) -> bytes:
        """Return bytes without counting them, wherever they lie."""
        return self._memory[address : address + size_bytes]

    def poke(self, address: int, data: bytes) -> None:
        """Put bytes back without counting them, wherever they lie; DramFull where the disk has no room."""
        self._reserve(address, len(data))
        self._memory[address : address + len(data)] = data

    def _check_address(self, address: int, size_bytes: int) -> None:
        check_address(address, size_bytes, self.capacity_bytes, self._alignment)

    def _reserve(self, start: int, size_bytes: int) -> None:
        """Reserve room on the disk for these bytes."""
        for block in range(start // BLOCK_BYTES, -(-(start + size_bytes) // BLOCK_BYTES)):
            if not self.blocks[block]:
                try:
                    at = block * BLOCK_BYTES
                    os.posix_fallocate(self._descriptor, at, min(BLOCK_BYTES, self.capacity_bytes - at))
                except OSError as error:
                    if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system that cannot say
                        where = f"in {tempfile.gettempdir()} ({error.strerror}); set TMPDIR to a folder with room"
                        raise DramFull(f"DRAM: {size_bytes:,} B cannot be stored {where}") from error
                self.blocks[block] = 1

    def _check(self, region: DramRegion, offset: int, size_bytes: int, what: str) -> None:
        end = offset + size_bytes
        if offset < 0 or end > region.size_bytes:
            raise ValueError(f"DRAM: {what} of bytes {offset} to {end} in region {region.name!r} of {region.size_bytes} B")
        if offset % self._alignment:
            raise ValueError(f"DRAM: {what} at {offset} of region {region.name!r} is not aligned to {self._alignment} B")
