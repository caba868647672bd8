"""Fills the gaps in a process's memory before others are forked from it, so that these share more of it."""

import ctypes

_MOST_FILLINGS = 4000  # of a size; a thousand or two are usual
_POOL_BYTES = 1 << 14  # of Python's objects of one size
_filling: list[bytes] = []  # kept for good


def fill_heap_gaps() -> None:
    """Fill the free gaps of this process's heap: a child that allocates in a gap would copy the whole shared page around it.

    Those of Python's objects are filled by objects that stay, those of malloc by blocks that nobody frees, the large ones first.
    """
    for size in range(1, 480, 16):
        _fill_gaps_of(size)
    malloc = ctypes.CDLL(None).malloc
    malloc.restype = ctypes.c_void_p
    for size in (1 << 15, 1 << 14, 1 << 13, 1 << 12, *range(2040, 0, -16)):
        for _ in range(16):
            malloc(ctypes.c_size_t(size))


def _fill_gaps_of(size: int) -> None:
    """Fill the gaps for objects of a size, until two of Python's pools were new: each object lay behind the one before."""
    pools, row_bytes, before, distance = 0, 0, 0, 0
    for _ in range(_MOST_FILLINGS):  # a debugging allocator puts other things between
        filling = bytes(size)
        _filling.append(filling)
        is_next = id(filling) - before == distance
        row_bytes = row_bytes + distance if is_next else 0
        before, distance = id(filling), distance if is_next else id(filling) - before
        if row_bytes > _POOL_BYTES * 7 // 8:  # a pool has a head, and the last object may leave room behind it
            pools, row_bytes = pools + 1, 0
        if pools == 2:
            return
