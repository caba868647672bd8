"""Records on a stream of bytes: each packed (`noc/wire.py` status) behind its length. Between an agent and its worker."""

from __future__ import annotations

import struct
from typing import Any

from noc.wire import pack_status, unpack_status

_LENGTH = struct.Struct("<I")


def framed(record: dict[str, Any]) -> bytes:
    """Return a record's bytes."""
    raw = pack_status(record)
    return _LENGTH.pack(len(raw)) + raw


class Records:
    """Puts together what arrives in pieces."""

    def __init__(self) -> None:
        self._left = b""

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Take the next bytes; return the records that are complete."""
        self._left += piece
        found = []
        while len(self._left) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._left)[0]
            if len(self._left) < end:
                break
            found.append(unpack_status(self._left[_LENGTH.size : end]))
            self._left = self._left[end:]
        return found
