"""A DRAM that takes its box and answers, compiled: the same as `noc/dram_endpoint.py`, which is the definition.

What is wrong, and what needs room on the disk first, is left to that.
"""

from __future__ import annotations

from typing import Any

from models.compute.bound_calls import bytes_at, call, carray, copy_bytes
from models.compute.compiling import inlined
from noc.columns import CROWDED
from noc.dram import BLOCK_BYTES, INTERFACES, RESERVED_BYTES
from noc.dram_endpoint import PAGE_BYTES
from noc.packet import DATA, READ, WRITE
from noc.packet import PROBE as FOR_AN_OBSERVER
from pe import msgpack_codec as codec
from pe.box_calls import KINDS, order_of, put_row
from pe.box_records import (
    ADDRESS,
    AT,
    BYTES,
    CHAIN,
    DATA_AT,
    KIND,
    NUMBER,
    ROW,
    ROWS,
    SIZE,
    SOURCE_NAME,
    TARGET_NAME,
    boxes_at,
    long_at,
    open_at,
)

LEFT = -7  # a transfer is left to the definition


@inlined
def _is_inside(boxes: Any, address: int, size: int) -> bool:
    interface = boxes.capacity // INTERFACES
    first = address - address % interface + RESERVED_BYTES
    end = first - RESERVED_BYTES + interface
    whole = address < interface * INTERFACES and first <= address and address + size <= end
    return whole and address % boxes.alignment == 0  # type: ignore[no-any-return]  # a truth value, once compiled


@inlined
def _has_room(boxes: Any, address: int, size: int) -> bool:
    first, end = address // BLOCK_BYTES, (address + size + BLOCK_BYTES - 1) // BLOCK_BYTES
    blocks = carray(bytes_at(boxes.blocks), (end,))
    reserved = True
    for block in range(first, end):
        reserved &= blocks[block] != 0
    return reserved


@call
def serve_box(block: int, place: int, into: int, unused: int) -> int:  # noqa: ARG001 - a call's form
    """Let the DRAM take its box at `place` (slot * boxes + box) from transfer `done` on, and send its answers in the tick in slot
    `into`. Return 0 once all are taken; LEFT, with the row in `number`, for one that is left, and CROWDED for one for whose answer
    there is no room: `done` is its place.
    """
    boxes = carray(boxes_at(block), (1,))[0]
    opened = carray(open_at(boxes.open), (boxes.ring,))
    own, after, box = opened[place // boxes.boxes], opened[into], place % boxes.boxes
    count = carray(long_at(own.chains), (boxes.boxes, CHAIN))[box, ROWS]
    rows, order = carray(long_at(own.rows), (own.most, ROW)), carray(long_at(order_of(boxes, own, box)), (count,))
    answered, counts = carray(long_at(after.rows), (after.most, ROW)), carray(long_at(after.counts), (boxes.sources, KINDS))
    page = carray(bytes_at(after.page), (after.room,))
    while boxes.done < count:
        row = rows[order[boxes.done]]
        kind, address, size, asker = row[KIND], row[ADDRESS], row[SIZE], row[SOURCE_NAME]
        boxes.number = order[boxes.done]
        if not _is_inside(boxes, address, size):
            return LEFT
        if kind == READ:
            to = carray(long_at(boxes.answers), (boxes.named,))[asker]
            if to < 0:
                return LEFT
            boxes.need_rows, boxes.need = after.count + 1, after.used + codec.MOST_TRANSFER_HEAD_BYTES + size
            if boxes.need_rows > after.most or boxes.need > after.room:
                return CROWDED
            names = carray(bytes_at(boxes.names), (boxes.named, codec.NAME_BYTES))
            at = codec.put_transfer_head(page, after.used, DATA, names[boxes.dram], names[asker], row[NUMBER], address, size)
            data = codec.put_bin_head(page, at, size)
            copy_bytes(after.page + data, boxes.memory + address, size)
            answer = answered[after.count]
            answer[SOURCE_NAME], answer[TARGET_NAME], answer[KIND], answer[NUMBER] = boxes.dram, asker, DATA, row[NUMBER]
            answer[ADDRESS], answer[SIZE], answer[AT], answer[BYTES] = address, size, after.used, data + size - after.used
            answer[DATA_AT] = data
            after.used = data + size
            counts[boxes.sender, DATA] += 1
            put_row(boxes, after, to)
            boxes.read_bytes += size
        elif (kind == WRITE or kind == FOR_AN_OBSERVER) and _has_room(boxes, address, size):  # noqa: PLR1714, SIM109 - compiled
            copy_bytes(boxes.memory + address, own.page + row[DATA_AT], size)
            last = address + max(size, 1) - 1
            changed = carray(bytes_at(boxes.changed), (last // PAGE_BYTES + 1,))
            for number in range(address // PAGE_BYTES, last // PAGE_BYTES + 1):
                changed[number] = 1
            if kind == WRITE:
                boxes.written_bytes += size
        else:
            return LEFT
        boxes.done += 1
    return 0
