"""Bundles read and batches written by compiled code: the same bytes as `noc/wire.py`, which is the definition.

A library's call for each message would cost more than the work of a tick (`pe/tick.py`). What is not exactly what our
routers write is left to `noc/wire.py`, which knows every form and every error. A test holds the two equal.
"""

from __future__ import annotations

from models.compute.bound_calls import copy_bytes
from models.compute.compiling import inlined
from models.network import Array
from noc.packet import FLAGS as MOST_FLAGS

BATCH, BUNDLE = 0, 1  # codes on the wire
COLUMNS = 9  # of a section that was read; keys, values and lanes: where they begin
POPULATION, FLAGS, POSITION, KEYS, VALUES, LANES, KEYS_BYTES, VALUES_BYTES, LANES_BYTES = range(COLUMNS)
MOST_NUMBER_BYTES = 9
MOST_HEAD_BYTES = 3 + MOST_NUMBER_BYTES + 3  # of a batch: array and code, tick, array of sections
MOST_SECTION_BYTES = 1 + 3 * MOST_NUMBER_BYTES + 4 * 5  # without keys, values, ledger and lanes
_LARGEST = 1 << 62  # of populations, positions and ticks
_UNREADABLE = -1


@inlined
def _big_endian(raw: Array, at: int, count: int) -> int:
    value = 0
    for i in range(count):
        value = value << 8 | int(raw[at + i])
    return value


@inlined
def _number(raw: Array, at: int) -> tuple[int, int]:
    """Return a whole number from 0 and where it ends, both `_UNREADABLE` where there is none."""
    if at >= raw.size:
        return _UNREADABLE, _UNREADABLE
    head = raw[at]
    if head < 0x80:
        return int(head), at + 1
    if not 0xCC <= head <= 0xCF:
        return _UNREADABLE, _UNREADABLE
    count = 1 << (head - 0xCC)
    if at + 1 + count > raw.size:
        return _UNREADABLE, _UNREADABLE
    value = _big_endian(raw, at + 1, count)
    return (value, at + 1 + count) if 0 <= value < _LARGEST else (_UNREADABLE, _UNREADABLE)


@inlined
def _bin(raw: Array, at: int) -> tuple[int, int]:
    """Return where the bytes of a bin begin and end, both `_UNREADABLE` where there is none."""
    if at >= raw.size or not 0xC4 <= raw[at] <= 0xC6:
        return _UNREADABLE, _UNREADABLE
    count = 1 << (raw[at] - 0xC4)
    first = at + 1 + count
    if first > raw.size:
        return _UNREADABLE, _UNREADABLE
    end = first + _big_endian(raw, at + 1, count)
    return (first, end) if end <= raw.size else (_UNREADABLE, _UNREADABLE)


@inlined
def _section(raw: Array, at: int, section: Array) -> int:
    """Read one section into `section`; return where it ends, `_UNREADABLE` where it is none."""
    if at >= raw.size or raw[at] != 0x97:
        return _UNREADABLE
    at += 1
    for column in (POPULATION, FLAGS, POSITION):
        section[column], at = _number(raw, at)
        if at < 0:
            return _UNREADABLE
    keys, keys_end = _bin(raw, at)
    if keys < 0:
        return _UNREADABLE
    values, values_end = _bin(raw, keys_end)
    if values < 0:
        return _UNREADABLE
    ledger, ledger_end = _bin(raw, values_end)
    if ledger < 0 or section[FLAGS] > MOST_FLAGS:
        return _UNREADABLE
    lanes, end = _bin(raw, ledger_end)
    if lanes < 0:
        return _UNREADABLE
    section[KEYS], section[VALUES], section[LANES] = keys, values, lanes
    section[KEYS_BYTES], section[VALUES_BYTES], section[LANES_BYTES] = keys_end - keys, values_end - values, end - lanes
    return end


@inlined
def read_bundle(raw: Array, sections: Array) -> tuple[int, int]:
    """Read a bundle out of `raw` (uint8) into `sections` (most sections, COLUMNS) int64; return its tick and how many sections
    it has. (-1, 0) for everything that is not a bundle of at most so many sections, as our routers write it.
    """
    if raw.size < 4 or raw[0] != 0x93 or raw[1] != BUNDLE:
        return _UNREADABLE, 0
    tick, at = _number(raw, 2)
    if at < 0 or at >= raw.size:
        return _UNREADABLE, 0
    if 0x90 <= raw[at] <= 0x9F:
        count, at = int(raw[at]) - 0x90, at + 1
    elif raw[at] == 0xDC and at + 3 <= raw.size:  # 16 sections or more
        count, at = _big_endian(raw, at + 1, 2), at + 3
    else:
        return _UNREADABLE, 0
    if count > sections.shape[0]:
        return _UNREADABLE, 0
    for i in range(count):
        at = _section(raw, at, sections[i])
        if at < 0:
            return _UNREADABLE, 0
    return (tick, count) if at == raw.size else (_UNREADABLE, 0)


@inlined
def _put_big_endian(out: Array, at: int, value: int, count: int) -> int:
    for i in range(count):
        out[at + i] = value >> 8 * (count - 1 - i) & 0xFF
    return at + count


@inlined
def _put_number(out: Array, at: int, value: int) -> int:
    if value < 0x80:
        out[at] = value
        return at + 1
    size = 0 if value < 1 << 8 else 1 if value < 1 << 16 else 2 if value < 1 << 32 else 3
    out[at] = 0xCC + size
    return _put_big_endian(out, at + 1, value, 1 << size)


@inlined
def put_bin_head(out: Array, at: int, count: int) -> int:
    """Begin a bin of `count` bytes; return where they go."""
    size = 0 if count < 1 << 8 else 1 if count < 1 << 16 else 2
    out[at] = 0xC4 + size
    return _put_big_endian(out, at + 1, count, 1 << size)


@inlined
def put_bin(out: Array, at: int, address: int, count: int) -> int:
    """Write a bin of `count` bytes from `address`; return where the next thing goes."""
    at = put_bin_head(out, at, count)
    copy_bytes(out.ctypes.data + at, address, count)
    return at + count


@inlined
def put_head(out: Array, tick: int, sections: int) -> int:
    """Begin a batch of fewer than 65,536 sections in `out` (uint8); return where the first one goes."""
    out[0], out[1] = 0x93, BATCH
    at = _put_number(out, 2, tick)
    if sections < 16:
        out[at] = 0x90 | sections
        return at + 1
    out[at] = 0xDC
    return _put_big_endian(out, at + 1, sections, 2)


@inlined
def put_section(
    out: Array, at: int, population: int, flags: int, position: int,
    keys: int, keys_bytes: int, values: int, values_bytes: int,
) -> int:  # fmt: skip
    """Begin a section at `at`, with keys and values from these addresses; return where its ledger goes."""
    out[at] = 0x97
    at = _put_number(out, at + 1, population)
    at = _put_number(out, at, flags)
    at = _put_number(out, at, position)
    at = put_bin(out, at, keys, keys_bytes)
    return put_bin(out, at, values, values_bytes)
