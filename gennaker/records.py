"""Records over a pipe between a program and its helper: each behind its length in four bytes."""

from __future__ import annotations

import contextlib
import struct
from typing import Any, BinaryIO

from noc.wire import pack_status, unpack_status

LENGTH = struct.Struct("<I")


def read_record(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next record of a pipe, None at its end."""
    head = _read_all(stream, LENGTH.size)
    raw = _read_all(stream, LENGTH.unpack(head)[0]) if head else b""
    return unpack_status(raw) if raw else None


def _read_all(stream: BinaryIO, size: int) -> bytes:
    parts = b""
    while len(parts) < size:
        part = stream.read(size - len(parts))
        if not part:
            return b""
        parts += part
    return parts


def send_record(stream: BinaryIO, kind: str, **record: Any) -> None:
    """Send one record; a program that is gone is noticed elsewhere."""
    raw = pack_status({"kind": kind, **record})
    with contextlib.suppress(OSError):
        stream.write(LENGTH.pack(len(raw)) + raw)
