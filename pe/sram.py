"""A PE's SRAM: 131,072 bytes in four banks, named aligned regions, and a guard page behind them.

Bank 0 holds the program and, behind it, scratch regions (dense event vectors, the event FIFO); the program region stands
for its stack, too. Banks 1 to 3 hold data: the debug area, weights and variables. `plan` alone decides what fits: the host
asks it before any process starts, and the PE asks it again. The arena is real memory of exactly that size; the page behind
it cannot be touched, so a kernel that runs past the end dies at once and is named by the launcher.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from models.network import Array, Field

ALIGNMENT_BYTES = 4  # the M4F loads float32 and 32-bit integers from word addresses
_MOST_BYTES = 1 << 30
PROGRAM, DEBUG = "program", "debug"
_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
FIFO = "fifo."  # what the names of the event FIFO begin with: it is empty between ticks


@dataclass(frozen=True)
class Region:
    """A named stretch of SRAM; `role` is its column in the paper's Table I: program, debug, weights or variables."""

    name: str
    offset: int
    size_bytes: int
    role: str
    field: Field | None = None


@dataclass(frozen=True)
class SramSize:
    """The sizes that `plan` needs, from the chip description."""

    sram_bytes: int
    bank_bytes: int
    program_bytes: int
    debug_bytes: int

    def check(self) -> None:
        """Raise ValueError where a PE with such sizes cannot be; before memory for them is asked for."""
        sizes = tuple(vars(self).values())
        if any(type(size) is not int for size in sizes) or not 0 <= min(sizes) <= max(sizes) <= _MOST_BYTES:
            raise ValueError(f"sizes of SRAM {sizes}; needs whole numbers from 0 to {_MOST_BYTES}")
        if self.bank_bytes > self.sram_bytes:
            raise ValueError(f"a bank of {self.bank_bytes} B in {self.sram_bytes} B of SRAM")

    @property
    def data_bytes(self) -> int:
        """Bytes of the three data banks."""
        return self.sram_bytes - self.bank_bytes


class SramOverflow(ValueError):
    """A region that does not fit: knows the region, the bytes it needs, those free and those there are."""

    def __init__(self, who: str, region: str, need_bytes: int, free_bytes: int, total_bytes: int) -> None:
        super().__init__(f"{who}: region {region!r} needs {need_bytes} B, {free_bytes} B free of {total_bytes} B")
        self.region, self.need_bytes, self.free_bytes, self.total_bytes = region, need_bytes, free_bytes, total_bytes


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def plan(who: str, fields: Iterable[Field], size: SramSize) -> list[Region]:
    """Lay the fields out: scratch behind the program while there is room, everything else (and the rest) in the data banks.

    Raises SramOverflow, naming `who` and the first region that does not fit.
    """
    program_end, bank_end = size.program_bytes, size.bank_bytes
    data_end = bank_end + size.debug_bytes
    if program_end > bank_end:
        raise SramOverflow(who, PROGRAM, program_end, bank_end, bank_end)
    if data_end > size.sram_bytes:
        raise SramOverflow(who, DEBUG, size.debug_bytes, size.data_bytes, size.data_bytes)
    regions = [Region(PROGRAM, 0, size.program_bytes, PROGRAM), Region(DEBUG, bank_end, size.debug_bytes, DEBUG)]
    for item in fields:
        start = _aligned(program_end)
        if item.scratch and start + item.size_bytes <= bank_end:
            program_end = start + item.size_bytes
        else:
            start = _aligned(data_end)
            if start + item.size_bytes > size.sram_bytes:
                raise SramOverflow(who, item.name, item.size_bytes, max(size.sram_bytes - start, 0), size.data_bytes)
            data_end = start + item.size_bytes
        regions.append(Region(name=item.name, offset=start, size_bytes=item.size_bytes, role=item.role, field=item))
    return regions


def footprint(regions: Iterable[Region], size: SramSize) -> dict[str, int]:
    """Return bytes by role, `spill` (what of the variables lies behind the program) and `free` (of the data banks)."""
    used = dict.fromkeys((PROGRAM, DEBUG, "weights", "variables", "spill"), 0)
    data_end = size.bank_bytes
    for region in regions:
        used[region.role] += region.size_bytes
        if region.offset >= size.bank_bytes:
            data_end = max(data_end, region.offset + region.size_bytes)
        elif region.name != PROGRAM:
            used["spill"] += region.size_bytes
    return used | {"free": size.sram_bytes - data_end}


class Arena:
    """The SRAM itself: anonymous private memory, gone with its process, with an inaccessible page behind it."""

    def __init__(self, regions: Iterable[Region], size: SramSize) -> None:
        self.size = size
        self.regions = tuple(regions)
        usable_bytes = -(-size.sram_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, usable_bytes + mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        _guard(self.base + usable_bytes, mmap.PAGESIZE)
        # With a size that is no multiple of a page, the arena ends at the guard page and so begins inside the first one.
        self._first = usable_bytes - size.sram_bytes
        self.views: Mapping[str, Array] = {r.name: self._view(r) for r in self.regions if r.field is not None}

    def _view(self, region: Region) -> Array:
        assert region.field is not None
        return np.ndarray(region.field.shape, region.field.dtype, self._memory, self._first + region.offset)

    @property
    def variables(self) -> list[Array]:
        """All that may be kept from one tick to the next and is no weight: views in the order of the regions."""
        regions = [r for r in self.regions if r.role == "variables" and not r.name.startswith(FIFO)]
        return [self.views[region.name] for region in regions]

    def holds(self, array: Array) -> bool:
        """Tell whether `array` lies wholly inside the arena."""
        start = array.__array_interface__["data"][0] - self.base - self._first
        return bool(start >= 0 and start + array.nbytes <= self.size.sram_bytes)


def _guard(address: int, size: int) -> None:
    if _mprotect(address, size, 0):  # PROT_NONE
        raise OSError(ctypes.get_errno(), "mprotect of the guard page failed")
