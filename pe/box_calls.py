"""What a router does with transfers, as compiled calls on its boxes (`pe/box_records.py`): read those of a batch, put them where
they go, tell what waited for them, and write a bundle or relay.

A transfer stays the bytes that it came as. So it is taken only where these are what we would write.
"""

from __future__ import annotations

from typing import Any

from models.compute.bound_calls import bytes_at, call, carray, copy_bytes
from models.compute.compiling import inlined
from models.network import Array
from noc.checksum import SEAL_BYTES
from noc.columns import CROWDED, NOT_TAKEN
from noc.packet import MOST_TRANSFER_BYTES, PROBE, READ
from pe import msgpack_codec as codec
from pe.box_records import (
    ADDRESS,
    AT,
    BYTES,
    CHAIN,
    DATA_AT,
    FIRST,
    KIND,
    LAST,
    NEXT,
    NUMBER,
    ROW,
    ROWS,
    SIZE,
    SOURCE_NAME,
    TARGET_NAME,
    WIRE_BYTES,
    allowed_at,
    boxes_at,
    long_at,
    open_at,
    source_at,
)
from pe.crc32 import crc32

KINDS = codec.MOST_KIND + 1
MOST_ENDS_BYTES = 5 + SEAL_BYTES  # of what is written: the array's head, and the checksum


@call
def read_transfers(block: int, message: int, at: int, size: int) -> int:
    """Read the transfers at `at` of the batch in the first `size` bytes at `message` into rows of its tick, that do not count yet;
    return how many, or why they are not taken. State: who sends it, and its tick.
    """
    boxes = carray(boxes_at(block), (1,))[0]
    source, raw = carray(source_at(boxes.source), (boxes.sources,))[boxes.sender], carray(bytes_at(message), (size,))
    opened, slot = carray(open_at(boxes.open), (boxes.ring,)), 0
    while slot < boxes.ring and opened[slot].tick != boxes.tick:
        slot += 1
    count, at = codec.read_count(raw, at)
    if source.name < 0 or slot == boxes.ring or count < 0:
        return NOT_TAKEN
    own = opened[slot]
    boxes.slot, boxes.begin, boxes.need_rows, boxes.need = slot, at, own.count + count, own.used + size - at
    if boxes.need_rows > own.most or boxes.need > own.room:
        return CROWDED
    names = carray(bytes_at(boxes.names), (boxes.named, codec.NAME_BYTES))
    allowed = carray(allowed_at(boxes.allowed), (source.first + source.allowed,))
    rows = carray(long_at(own.rows), (own.most, ROW))
    before, entry, moved = -1, 0, own.used - at
    for i in range(count):
        row, begin = rows[own.count + i], at
        if at + 2 > size or raw[at] != 0x97 or raw[at + 1] > codec.MOST_KIND or not codec.is_name(raw, at + 2, names[source.name]):
            return NOT_TAKEN
        kind = int(raw[at + 1])
        at += 3 + (int(names[source.name, 0]) & 0x1F)
        tried = 0
        while tried < source.allowed and not _is_named(raw, at, boxes, allowed[source.first + entry].name):
            tried, entry = tried + 1, entry + 1  # they come in the order of names
            entry = 0 if entry == source.allowed else entry
        if tried == source.allowed:
            return NOT_TAKEN
        to = allowed[source.first + entry]
        at += 1 + (int(raw[at]) & 0x1F)
        number, at = codec.shortest_number(raw, at)
        if at < 0 or number <= before:
            return NOT_TAKEN
        address, at = codec.shortest_number(raw, at)
        if at < 0:
            return NOT_TAKEN
        size_bytes, at = codec.shortest_number(raw, at)
        if at < 0 or size_bytes > MOST_TRANSFER_BYTES:
            return NOT_TAKEN
        first, end = codec.shortest_bin(raw, at)
        if first < 0 or end - first != (0 if kind == READ else size_bytes):
            return NOT_TAKEN
        if (kind == READ or kind == PROBE) and not to.dram:  # noqa: PLR1714, SIM109 - compiled
            return NOT_TAKEN
        at, before = end, number
        row[NEXT], row[SOURCE_NAME], row[TARGET_NAME], row[KIND] = to.box, source.name, to.name, kind
        row[NUMBER], row[ADDRESS], row[SIZE] = number, address, size_bytes
        row[AT], row[BYTES], row[DATA_AT] = begin + moved, end - begin, first + moved
    boxes.number = count
    return count if at == size else NOT_TAKEN


@inlined
def _is_named(raw: Array, at: int, boxes: Any, name: int) -> bool:
    return codec.is_name(raw, at, carray(bytes_at(boxes.names + name * codec.NAME_BYTES), (codec.NAME_BYTES,)))


@inlined
def put_row(boxes: Any, own: Any, box: int) -> None:
    """Put the row behind the last that counts into a box; now it counts."""
    rows, chains = carray(long_at(own.rows), (own.most, ROW)), carray(long_at(own.chains), (boxes.boxes, CHAIN))
    number = own.count
    rows[number, NEXT] = -1
    if chains[box, ROWS]:
        rows[chains[box, LAST], NEXT] = number
    else:
        chains[box, FIRST] = number
    chains[box, LAST] = number
    chains[box, ROWS] += 1
    chains[box, WIRE_BYTES] += rows[number, BYTES]
    counts = carray(long_at(own.counts), (boxes.sources + boxes.boxes, KINDS))
    counts[boxes.sources + box, rows[number, KIND]] += 1
    own.count += 1


@call
def put_transfers(block: int, message: int, unused: int, size: int) -> int:  # noqa: ARG001 - a call's form
    """Put what was read last, of the same batch, into its boxes; return how much waited for that last (`settled`)."""
    boxes = carray(boxes_at(block), (1,))[0]
    own = carray(open_at(boxes.open), (boxes.ring,))[boxes.slot]
    rows, counts = carray(long_at(own.rows), (own.most, ROW)), carray(long_at(own.counts), (boxes.sources, KINDS))
    copy_bytes(own.page + own.used, message + boxes.begin, size - boxes.begin)
    own.used += size - boxes.begin
    for _ in range(boxes.number):
        counts[boxes.sender, rows[own.count, KIND]] += 1
        put_row(boxes, own, rows[own.count, NEXT])
    return _settle(boxes, own, boxes.sender)


@call
def put_last(block: int, slot: int, box: int, unused: int) -> int:  # noqa: ARG001 - a call's form
    """Put the row behind the last one of the tick in `slot`, which is written, into a box."""
    boxes = carray(boxes_at(block), (1,))[0]
    put_row(boxes, carray(open_at(boxes.open), (boxes.ring,))[slot], box)
    return 0


@inlined
def _settle(boxes: Any, own: Any, number: int) -> int:
    source = carray(source_at(boxes.source), (boxes.sources,))[number]
    waits = carray(long_at(boxes.settle), (source.settle + source.settles,))
    left, settled = carray(long_at(own.left), (boxes.boxes + 1,)), carray(long_at(boxes.settled), (boxes.boxes + 1,))
    boxes.ready = 0
    for i in range(source.settle, source.settle + source.settles):
        left[waits[i]] -= 1
        if left[waits[i]] == 0:
            settled[boxes.ready] = waits[i]
            boxes.ready += 1
    return boxes.ready  # type: ignore[no-any-return]  # an integer, once compiled


@call
def settle(block: int, slot: int, number: int, unused: int) -> int:  # noqa: ARG001 - a call's form
    """All transfers of a source are in, in the tick in `slot`: return how much waited for that last (`settled`)."""
    boxes = carray(boxes_at(block), (1,))[0]
    return _settle(boxes, carray(open_at(boxes.open), (boxes.ring,))[slot], number)


@inlined
def _is_behind(rows: Array, ranks: Array, one: int, other: int) -> bool:
    """Tell whether a transfer comes behind another one, by (target, source, number)."""
    before, after = ranks[rows[other, TARGET_NAME]], ranks[rows[one, TARGET_NAME]]
    if before == after:
        before, after = ranks[rows[other, SOURCE_NAME]], ranks[rows[one, SOURCE_NAME]]
    if before == after:
        before, after = rows[other, NUMBER], rows[one, NUMBER]
    return before < after  # type: ignore[no-any-return]  # a truth value, once compiled


@inlined
def order_of(boxes: Any, own: Any, box: int) -> int:
    """Sort a box, stably; return the address of its rows' numbers (int64) in order."""
    chain = carray(long_at(own.chains), (boxes.boxes, CHAIN))[box]
    rows, ranks = carray(long_at(own.rows), (own.most, ROW)), carray(long_at(boxes.ranks), (boxes.named,))
    count, row, here, there = chain[ROWS], chain[FIRST], boxes.order, boxes.other
    order, in_order = carray(long_at(here), (count,)), True
    for i in range(count):
        order[i] = row
        in_order = in_order and (i == 0 or not _is_behind(rows, ranks, order[i - 1], row))
        row = rows[row, NEXT]
    width = count if in_order else 1
    while width < count:
        source, target = carray(long_at(here), (count,)), carray(long_at(there), (count,))
        for low in range(0, count, 2 * width):
            middle, high = min(low + width, count), min(low + 2 * width, count)
            left, right = low, middle
            for place in range(low, high):
                takes_left = left < middle and (right == high or not _is_behind(rows, ranks, source[left], source[right]))
                if takes_left:
                    target[place] = source[left]
                    left += 1
                else:
                    target[place] = source[right]
                    right += 1
        here, there = there, here
        width *= 2
    return here  # type: ignore[no-any-return]  # an address, once compiled


@call
def write_box(block: int, head: int, place: int, head_bytes: int) -> int:
    """Write a message to `out`: the `head_bytes` at `head`, without their last one, the transfers of the box at `place` (slot *
    boxes + box) as an array, and a checksum; return its bytes, or CROWDED where `need` are more than there is room for.
    """
    boxes = carray(boxes_at(block), (1,))[0]
    own, box = carray(open_at(boxes.open), (boxes.ring,))[place // boxes.boxes], place % boxes.boxes
    chain = carray(long_at(own.chains), (boxes.boxes, CHAIN))[box]
    boxes.need = head_bytes + chain[WIRE_BYTES] + MOST_ENDS_BYTES
    if boxes.need > boxes.room:
        return CROWDED
    out, at = carray(bytes_at(boxes.out), (boxes.room,)), head_bytes - 1
    copy_bytes(boxes.out, head, at)
    out[0] += 1  # one element more: the checksum
    at = codec.put_count(out, at, chain[ROWS])
    if chain[ROWS]:
        rows, order = carray(long_at(own.rows), (own.most, ROW)), carray(long_at(order_of(boxes, own, box)), (chain[ROWS],))
        for i in range(order.size):
            row = rows[order[i]]
            copy_bytes(boxes.out + at, own.page + row[AT], row[BYTES])
            at += row[BYTES]
    out[at], out[at + 1] = 0xC4, 4
    crc = crc32(boxes.out, at + 2)
    for i in range(4):
        out[at + 2 + i] = crc >> 8 * i & 0xFF
    return at + SEAL_BYTES
