"""Bundles read and batches written by compiled code: the same bytes as `noc/wire.py`, which is the definition.

A library's call for each message would cost more than the work of a tick (`pe/tick.py`). What is not exactly what our
routers write is left to `noc/wire.py`, which knows every form and every error. A test holds the two equal.
"""

from __future__ import annotations

from models.compute.bound_calls import copy_bytes
from models.compute.compiling import inlined
from models.network import Array
from models.transfers import ADDRESS, AT, KIND, LANDING_BITS, NUMBER, PEER, SIZE
from noc.packet import DATA, KINDS, PROBE, READ
from noc.packet import FLAGS as MOST_FLAGS

BATCH, BUNDLE = 0, 1  # codes on the wire
COLUMNS = 11  # of a section that was read; keys, values, ledger and lanes: where they begin
POPULATION, FLAGS, POSITION, KEYS, VALUES, LANES, LEDGER, KEYS_BYTES, VALUES_BYTES, LANES_BYTES, LEDGER_BYTES = range(COLUMNS)
NAME_BYTES = 32  # of a name as it is on the wire: a head with its length, then its characters
UNREADABLE_TRANSFERS, FULL, WRONG = -1, -2, -5
MOST_KIND = len(KINDS) - 1
_MOST_WORD = 1 << 32
_PAIR = 0x92  # how an array of two begins
MOST_NUMBER_BYTES = 9
MOST_HEAD_BYTES = 3 + 2 * MOST_NUMBER_BYTES + 3  # array, code, tick with what stands before it, array of sections
MOST_SECTION_BYTES = 1 + 3 * MOST_NUMBER_BYTES + 4 * 5  # without keys, values, ledger and lanes
MOST_TRANSFER_HEAD_BYTES = 2 + 2 * NAME_BYTES + 3 * MOST_NUMBER_BYTES + 5
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
def _bytes_of(value: int) -> int:
    return 1 if value < 0x80 else 2 if value < 1 << 8 else 3 if value < 1 << 16 else 5 if value < _MOST_WORD else 9


@inlined
def shortest_number(raw: Array, at: int) -> tuple[int, int]:
    """Return a whole number from 0 to 2^62 and where it ends, both negative where there is none or it could be shorter."""
    value, end = _number(raw, at)
    return (value, end) if end - at == _bytes_of(value) else (_UNREADABLE, _UNREADABLE)


@inlined
def shortest_bin(raw: Array, at: int) -> tuple[int, int]:
    """Return where the bytes of a bin begin and end, both negative where there is none or its head could be shorter."""
    first, end = _bin(raw, at)
    need = 2 if end - first < 1 << 8 else 3 if end - first < 1 << 16 else 5
    return (first, end) if first - at == need else (_UNREADABLE, _UNREADABLE)


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
    section[KEYS], section[VALUES], section[LANES], section[LEDGER] = keys, values, lanes, ledger
    section[KEYS_BYTES], section[VALUES_BYTES], section[LANES_BYTES] = keys_end - keys, values_end - values, end - lanes
    section[LEDGER_BYTES] = ledger_end - ledger
    return end


@inlined
def read_count(raw: Array, at: int) -> tuple[int, int]:
    """Return the length of an array of fewer than 65,536 and where its first element begins, both `_UNREADABLE` for none."""
    if at < raw.size and 0x90 <= raw[at] <= 0x9F:
        return int(raw[at]) - 0x90, at + 1
    if at + 3 <= raw.size and raw[at] == 0xDC:  # 16 or more
        return _big_endian(raw, at + 1, 2), at + 3
    return _UNREADABLE, _UNREADABLE


@inlined
def read_tick(raw: Array, at: int) -> tuple[int, int, int]:
    """Return a tick, how many are said to be spared before it, and where it ends; all `_UNREADABLE` where there is none."""
    spared = 0
    if at < raw.size and raw[at] == _PAIR:
        spared, at = _number(raw, at + 1)
        if spared < 1:
            return _UNREADABLE, _UNREADABLE, _UNREADABLE
    tick, at = _number(raw, at)
    return (tick, spared, at) if at >= 0 else (_UNREADABLE, _UNREADABLE, _UNREADABLE)


@inlined
def read_bundle(raw: Array, sections: Array) -> tuple[int, int, int, int]:
    """Read a bundle out of `raw` (uint8) as `read_ticked` does."""
    if raw.size < 5 or raw[0] != 0x94:
        return _UNREADABLE, 0, 0, 0
    return read_ticked(raw, BUNDLE, sections)


@inlined
def read_ticked(raw: Array, code: int, sections: Array) -> tuple[int, int, int, int]:
    """Read a batch or bundle out of `raw` (uint8) into `sections` (most sections, COLUMNS) int64; return its tick, how many ticks
    it says are spared, how many sections it has, and where its transfers begin. (-1, 0, 0, 0) for everything that is not one of at
    most so many sections, as our PEs and routers write it.
    """
    if raw[1] != code:
        return _UNREADABLE, 0, 0, 0
    tick, spared, at = read_tick(raw, 2)
    if at < 0:
        return _UNREADABLE, 0, 0, 0
    count, at = read_count(raw, at)
    if count < 0 or count > sections.shape[0]:
        return _UNREADABLE, 0, 0, 0
    for i in range(count):
        at = _section(raw, at, sections[i])
        if at < 0:
            return _UNREADABLE, 0, 0, 0
    return tick, spared, count, at


@inlined
def has_no_transfers(raw: Array, at: int) -> bool:
    """Tell whether a bundle ends at its transfers, and there are none."""
    return at + 1 == raw.size and raw[at] == 0x90


@inlined
def read_transfers(
    raw: Array, at: int, rows: Array, names: Array, peers: int, own: Array, room: int, inbox: int, lands: int
) -> int:
    """Read the transfers of a bundle at `at` into `rows` (most, TRANSFER_WORDS) uint32, their bytes to address `inbox`, where there
    are `room`; return how many there are. They lie one behind the other, or, where each `lands` by itself, a DATA's at the last
    bits of its number and others' at their address.

    `names` (peers, NAME_BYTES) and `own` (NAME_BYTES) hold a name each as it is on the wire. UNREADABLE_TRANSFERS for what is no
    transfer from a peer to `own`, FULL where rows or bytes do not suffice.
    """
    count, at = read_count(raw, at)
    if count < 0:
        return UNREADABLE_TRANSFERS
    if count > rows.shape[0]:
        return FULL
    used, peer = 0, 0
    for i in range(count):
        if at >= raw.size or raw[at] != 0x97:
            return UNREADABLE_TRANSFERS
        kind, at = _number(raw, at + 1)
        if at < 0 or kind > MOST_KIND or kind == READ or kind == PROBE:  # noqa: PLR1714, SIM109 - compiled; they are for DRAMs
            return UNREADABLE_TRANSFERS
        tried = 0
        while tried < peers and not is_name(raw, at, names[peer]):  # they come in the order of names
            tried, peer = tried + 1, peer + 1
            peer = 0 if peer == peers else peer
        if tried == peers:
            return UNREADABLE_TRANSFERS
        at += 1 + (int(names[peer, 0]) & 0x1F)
        if not is_name(raw, at, own):
            return UNREADABLE_TRANSFERS
        at += 1 + (int(own[0]) & 0x1F)
        rows[i, KIND], rows[i, PEER], rows[i, AT] = kind, peer, used
        for column in (NUMBER, ADDRESS, SIZE):
            value, at = _number(raw, at)
            if at < 0 or value >= _MOST_WORD:
                return UNREADABLE_TRANSFERS
            rows[i, column] = value
        first, end = _bin(raw, at)
        if first < 0 or end - first != rows[i, SIZE]:
            return UNREADABLE_TRANSFERS
        if lands:
            used = int(rows[i, NUMBER]) & ((1 << LANDING_BITS) - 1) if kind == DATA else int(rows[i, ADDRESS])
            rows[i, AT] = used
        if used + end - first > room and end > first:
            return FULL
        copy_bytes(inbox + used, raw.ctypes.data + first, end - first)
        used += (end - first + 3) // 4 * 4
        at = end
    return count if at == raw.size else UNREADABLE_TRANSFERS


@inlined
def is_name(raw: Array, at: int, name: Array) -> bool:
    """Tell whether a name stands at `at`; it is on the wire as `name` (NAME_BYTES) begins."""
    size = 1 + (int(name[0]) & 0x1F)
    if at + size > raw.size:
        return False
    alike = True
    for i in range(size):
        alike &= raw[at + i] == name[i]
    return alike


@inlined
def _put_big_endian(out: Array, at: int, value: int, count: int) -> int:
    for i in range(count):
        out[at + i] = value >> 8 * (count - 1 - i) & 0xFF
    return at + count


@inlined
def put_number(out: Array, at: int, value: int) -> int:
    """Write a whole number from 0; return where the next thing goes."""
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
def put_tick(out: Array, at: int, tick: int, spared: int) -> int:
    """Write a tick, and before it how many are spared where any are; return where the next thing goes."""
    if spared:
        out[at] = _PAIR
        at = put_number(out, at + 1, spared)
    return put_number(out, at, tick)


@inlined
def put_head(out: Array, tick: int, stands: int, sections: int) -> int:
    """Begin a batch of fewer than 65,536 sections in `out` (uint8); return where the first one goes."""
    out[0], out[1] = 0x94, BATCH
    return put_count(out, put_tick(out, 2, tick, stands), sections)


@inlined
def put_count(out: Array, at: int, count: int) -> int:
    """Begin an array; return where its first element goes."""
    if count < 16:
        out[at] = 0x90 | count
        return at + 1
    size = 2 if count < 1 << 16 else 4
    out[at] = 0xDC if size == 2 else 0xDD
    return _put_big_endian(out, at + 1, count, size)


@inlined
def put_transfer_head(
    out: Array, at: int, kind: int, source: Array, target: Array, number: int, address: int, size: int
) -> int:  # fmt: skip
    """Begin a transfer from `source` to `target` (NAME_BYTES); return where its bin goes."""
    out[at] = 0x97
    out[at + 1] = kind
    at += 2
    for name in (source, target):
        length = 1 + (int(name[0]) & 0x1F)
        copy_bytes(out.ctypes.data + at, name.ctypes.data, length)
        at += length
    return put_number(out, put_number(out, put_number(out, at, number), address), size)


@inlined
def put_transfer(out: Array, at: int, row: Array, own: Array, target: Array, data: int) -> int:
    """Write the transfer of `row` (TRANSFER_WORDS) from `own` to `target` (NAME_BYTES) with bytes from address `data`; return where
    the next one goes.
    """
    at = put_transfer_head(out, at, row[KIND], own, target, int(row[NUMBER]), int(row[ADDRESS]), int(row[SIZE]))
    return put_bin(out, at, data, int(row[SIZE]) if row[KIND] != READ else 0)


@inlined
def bytes_of_numbers(population: int, flags: int, position: int) -> int:
    """Return how many bytes of a section stand before its keys."""
    return 1 + _bytes_of(population) + _bytes_of(flags) + _bytes_of(position)


@inlined
def put_section(
    out: Array, at: int, population: int, flags: int, position: int,
    keys: int, keys_bytes: int, values: int, values_bytes: int,
) -> int:  # fmt: skip
    """Begin a section at `at`, with keys and values from these addresses; return where its ledger goes."""
    out[at] = 0x97
    at = put_number(out, at + 1, population)
    at = put_number(out, at, flags)
    at = put_number(out, at, position)
    at = put_bin(out, at, keys, keys_bytes)
    return put_bin(out, at, values, values_bytes)
