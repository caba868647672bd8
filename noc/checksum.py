"""The checksum of a message: one element more at its end, with the CRC-32 of all that stands before.

    95 00 ...            an array of one element more than the message has
    ... c4 04            its last element: a bin of 4 bytes
    ss ss ss ss          CRC-32 (zlib's) of every byte before, least significant first

Who does not care for it reads the message and leaves the last element. The CRC-32 of bytes with their own behind them is always
the same number, by which a whole message is known.
"""

from __future__ import annotations

from zlib import crc32

RESIDUE = 0x2144DF1C
CHECKSUM_BYTES = 4
SEAL_BYTES = 2 + CHECKSUM_BYTES
_BIN_OF_4 = b"\xc4\x04"


def seal(raw: bytes) -> bytes:
    """Return a packed message (an array of fewer than 15 elements) with its checksum."""
    body = bytes((raw[0] + 1,)) + raw[1:] + _BIN_OF_4
    return body + crc32(body).to_bytes(CHECKSUM_BYTES, "little")


def unseal(raw: bytes) -> bytes:
    """Return a message without its checksum, which it has."""
    return bytes((raw[0] - 1,)) + raw[1:-SEAL_BYTES]


def is_whole(raw: bytes) -> bool:
    """Tell whether a message that ends in a checksum is as it was sent."""
    return crc32(raw) == RESIDUE
