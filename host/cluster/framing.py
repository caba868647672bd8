"""Records on a byte stream between an agent and its worker: each packed (`noc/wire.py` status) behind its length."""

import struct
from typing import Any

from noc.wire import pack_status, unpack_status

_LENGTH = struct.Struct("<I")


def frame_record(record: dict[str, Any]) -> bytes:
    """Return a record's bytes."""
    raw = pack_status(record)
    return _LENGTH.pack(len(raw)) + raw


class RecordReader:
    """Puts records together from pieces of the stream."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, piece: bytes) -> list[dict[str, Any]]:
        """Take the next bytes; return the records that are complete."""
        self._buffer += piece
        records = []
        while len(self._buffer) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._buffer)[0]
            if len(self._buffer) < end:
                break
            records.append(unpack_status(self._buffer[_LENGTH.size : end]))
            self._buffer = self._buffer[end:]
        return records
