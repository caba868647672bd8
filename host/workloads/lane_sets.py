"""Which lanes begin, reset or are idle at a position: sets of lanes, as they go along with a section (`noc/packet.py`)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from noc.packet import FRESH, RESET, VALID

Bools: TypeAlias = npt.NDArray[np.bool_]


def pack_lanes(begin: Bools, reset: Bools, idle: Bools) -> tuple[int, bytes]:
    """Return the flags and sets of lanes of a section: those in which a sequence begins, those in which a segment does, and those
    that are idle, (lanes,) each. There are no sets where all lanes are alike and none is idle. ValueError for an idle lane in
    which something begins.
    """
    reset = reset | begin
    if (reset & idle).any():
        raise ValueError(f"lane {int(np.flatnonzero(reset & idle)[0])} is idle, and a segment begins there")
    flags = VALID | (FRESH if begin.any() else 0) | (RESET if reset.any() else 0)
    if not idle.any() and begin.all() == begin.any() and reset.all() == reset.any():
        return flags, b""
    return flags, b"".join([np.packbits(lanes, bitorder="little").tobytes() for lanes in (begin, reset, idle)])


def read_lanes(flags: int, packed: bytes, lanes: int) -> tuple[Bools, Bools, Bools]:
    """Return the lanes in which a sequence begins, those in which a segment does, and the idle ones, (lanes,) each."""
    if packed:
        begin, reset, idle = np.frombuffer(packed, np.uint8).reshape(3, -1)
        sets = [np.unpackbits(part, count=lanes, bitorder="little").astype(bool) for part in (begin, reset, idle)]
        return sets[0], sets[1], sets[2]
    begins, resets = (np.full(lanes, bool(flags & flag)) for flag in (FRESH, FRESH | RESET))
    return begins, resets, np.zeros(lanes, bool)


def idle_lanes(packed: bytes, lanes: int) -> Bools | None:
    """Return the idle lanes, (lanes,); None where there is none."""
    return read_lanes(VALID, packed, lanes)[2] if packed else None
