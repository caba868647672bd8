"""Protobuf messages that nobody vouches for, cut into fields: what a field means is for who reads the message.

Nothing is copied and nothing is read before its length is known to lie within its message, so that no message can ask for more
than the file has bytes. Nesting is the reader's own: it descends where its schema says so.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from models.network import Array, ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST_VARINT = 10  # bytes of 64 bits, seven in each
_WIRES = {VARINT, FIXED64, BYTES, FIXED32}

Value = int | memoryview


class DamagedMessage(ModelError):
    """Bytes that are no protobuf message; the message says what, without the file's name."""


def fields(message: memoryview) -> Iterator[tuple[int, int, Value]]:
    """Yield each field's number, wire type and value: a varint as an unsigned number, anything else as its bytes."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not number or wire not in _WIRES:
            raise DamagedMessage(f"no protobuf message (field {number} of wire type {wire})")
        if wire == VARINT:
            value, at = _varint(message, at)
            yield number, wire, value
            continue
        length = 8 if wire == FIXED64 else 4
        if wire == BYTES:
            length, at = _varint(message, at)
        if length > end - at:
            raise DamagedMessage(f"cut short (field {number} needs {length} bytes, has {end - at})")
        yield number, wire, message[at : at + length]
        at += length


def signed(value: Value) -> int:
    """Return a varint as the int64 that it is."""
    if not isinstance(value, int):
        raise DamagedMessage("has bytes where a number should be")
    return value - (1 << 64) if value >> 63 else value


def text(value: Value) -> str:
    """Return a string's text."""
    try:
        return str(part(value), "utf-8")
    except UnicodeDecodeError:
        raise DamagedMessage("has a name that is no UTF-8") from None


def part(value: Value) -> memoryview:
    """Return a field's bytes."""
    if isinstance(value, int):
        raise DamagedMessage("has a number where bytes should be")
    return value


def single(value: Value) -> float:
    """Return a float of four bytes."""
    raw = part(value)
    if len(raw) != 4:
        raise DamagedMessage(f"has a float of {len(raw)} bytes")
    return float(struct.unpack("<f", raw)[0])


def integers(wire: int, value: Value) -> list[int]:
    """Return a repeated integer's values, of one field: packed, or one."""
    if wire == VARINT:
        return [signed(value)]
    raw, at, values = part(value), 0, list[int]()
    while at < len(raw):
        one, at = _varint(raw, at)
        values.append(signed(one))
    return values


def numbers(value: Value, dtype: str) -> Array:
    """Return a packed repeated number of fixed length, or one of them."""
    raw = part(value)
    if len(raw) % np.dtype(dtype).itemsize:
        raise DamagedMessage(f"has {len(raw)} bytes of {dtype}")
    return np.frombuffer(raw, dtype)


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + _MOST_VARINT]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + place + 1
    raise DamagedMessage("no protobuf message (a number without an end)")
