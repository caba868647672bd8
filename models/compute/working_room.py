"""Memory of the emulator's own beside a PE's arena: what it notes of weights that lie there, or lays out to work faster.

Nothing in it is the PE's: it could be made again from the arena at any moment, and the chip's program would not have it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.network import Array

_LINE_BYTES = 64  # of a cache: what crosses two is stored and loaded again at a third of the speed


class WorkingRoom(np.ndarray[Any, Any]):
    """An array in such memory; tests tell it by this from what a PE may not keep."""


def working_room(size: int, dtype: Any) -> Array:
    """Return zeros (size,) that begin with a cache line."""
    item_bytes = np.dtype(dtype).itemsize
    room = WorkingRoom(size * item_bytes + _LINE_BYTES, np.uint8)
    room.fill(0)
    begin = -room.ctypes.data % _LINE_BYTES
    return room[begin : begin + size * item_bytes].view(dtype)
