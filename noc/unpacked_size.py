"""How much memory msgpack would take to unpack bytes, reckoned from their heads before anything is unpacked.

A byte of msgpack can become 75 bytes of Python: an empty list in a list. What is read here is not checked, and need not be
msgpack at all; where it is, the sum is no less than what CPython takes, to a few per cent.
"""

_LIST, _ENTRY, _DICT, _PAIR, _TEXT, _BYTES, _NUMBER, _OTHER = 56, 8, 232, 104, 76, 33, 32, 160
_TEXT_BYTE = 4  # of one of text, if a single sign of it is beyond 16 bits
_FIXED, _SIZED, _ARRAY, _MAP = range(4)


def _row(head: int) -> tuple[int, int, int, int]:
    """Return (kind, bytes of a length or fixed length, cost, cost of a byte or entry) of a head."""
    if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC1, 0xC2, 0xC3):
        return _FIXED, 0, 0, 0
    if head < 0x90:
        return _FIXED, 0, _DICT + (head & 15) * _PAIR, 0
    if head < 0xA0:
        return _FIXED, 0, _LIST + (head & 15) * _ENTRY, 0
    if head < 0xC0:
        return _FIXED, head & 31, _TEXT + _TEXT_BYTE * (head & 31), 0
    if head in (0xC4, 0xC5, 0xC6):
        return _SIZED, 1 << (head - 0xC4), _BYTES, 0  # their bytes lie in the message as well
    if head in (0xC7, 0xC8, 0xC9):
        return _SIZED, 1 << (head - 0xC7), _OTHER, 1
    if head in (0xD9, 0xDA, 0xDB):
        return _SIZED, 1 << (head - 0xD9), _TEXT, _TEXT_BYTE
    if head in (0xDC, 0xDD):
        return _ARRAY, 2 << (head - 0xDC), _LIST, _ENTRY
    if head in (0xDE, 0xDF):
        return _MAP, 2 << (head - 0xDE), _DICT, _PAIR
    if head >= 0xD4:  # extensions of 1 to 16 bytes
        return _FIXED, 1 + (1 << (head - 0xD4)), _OTHER, 0
    return _FIXED, {0xCA: 4, 0xCB: 8}.get(head, 1 << (head & 3)), _NUMBER, 0


_ROWS = tuple(map(_row, range(256)))


def is_larger_unpacked(raw: bytes, most_bytes: int) -> bool:
    """Tell whether the objects in `raw`, beside the bytes that lie in it, would take more than `most_bytes`."""
    at, end, cost, rows = 0, len(raw), 0, _ROWS
    while at < end and cost <= most_bytes:
        kind, size, fixed, each = rows[raw[at]]
        cost += fixed
        at += 1
        if kind == _FIXED:
            at += size
            continue
        length = int.from_bytes(raw[at : at + size], "big")
        at += size + (length if kind == _SIZED else 0)
        cost += length * each
    return cost > most_bytes
