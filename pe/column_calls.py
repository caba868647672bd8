"""What a router does with batches, as compiled calls on its columns (`pe/column_records.py`): take one, join a column, have PEs
answer.

A batch stays the bytes that it came as: its sections are checked where they lie, the whole is copied behind the others of its
tick, and what belongs to a column is looked up there when the column is full.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.bound_calls import bytes_at, call, call_at, carray, copy_bytes, fill_bytes, shorts_at, words_at
from models.compute.compiling import inlined
from models.network import Array
from noc.checksum import RESIDUE, SEAL_BYTES
from noc.columns import NOT_TAKEN, UNOPENED
from noc.packet import VALID
from pe import msgpack_codec as codec
from pe.box_records import boxes_at
from pe.column_records import (
    answering_at,
    columns_at,
    delivery_at,
    long_at,
    open_at,
    page_at,
    part_at,
    population_at,
    sender_at,
)
from pe.crc32 import crc32

NO_ROOM, DISAGREE, NO_ANSWER, NO_ROOM_TO_STAND = -3, -4, -5, -10
PLAIN, SEALED = 0x94, 0x95  # how a batch begins, without and with its checksum
DIGIT_BITS = 11  # of keys that are sorted, at most
EMPTY = -1
SAID = codec.POPULATION  # of a cell: the tick of which it holds a section


@inlined
def _fits(part: Any, population: Any, section: Array) -> int:
    """Return how many events a section has; negative where it is none of its population."""
    lanes, keys, values = section[codec.LANES_BYTES], section[codec.KEYS_BYTES], section[codec.VALUES_BYTES]
    valid = section[codec.FLAGS] & VALID
    if lanes and lanes != population.mask_bytes:
        return EMPTY
    if population.dense:
        events = part.values if valid else 0
        return events if keys == 0 and values == events * population.item_bytes else EMPTY
    events = keys >> 2
    return events if keys == events << 2 and values == events * population.item_bytes and (valid or not events) else EMPTY


@inlined
def slot_of(columns: Any, tick: int) -> int:
    """Return the slot of a tick that is open; the ring's size where it is not."""
    opened, slot = carray(open_at(columns.open), (columns.ring,)), 0
    while slot < columns.ring and opened[slot].tick != tick:
        slot += 1
    return slot


@inlined
def _open(columns: Any, tick: int) -> int:
    """Open a tick; return its slot, the ring's size where none is free."""
    slot = slot_of(columns, EMPTY)
    if slot == columns.ring:
        return slot
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    column.tick, column.used = tick, 0
    copy_bytes(column.missing, columns.all_missing, 8 * columns.populations)
    if columns.delivery:
        delivery = carray(delivery_at(columns.delivery), (1,))[0]
        copy_bytes(delivery.waiting + 8 * slot * delivery.groups, delivery.all_waiting, 8 * delivery.groups)
        carray(long_at(delivery.left), (columns.ring,))[slot] = delivery.parts
        carray(page_at(delivery.page), (columns.ring,))[slot].used = 0
    return slot


@call
def open_tick(block: int, tick: int, unused: int, unused_too: int) -> int:  # noqa: ARG001 - a call's form
    """Open a tick; return its slot, the ring's size where none is free."""
    return _open(carray(columns_at(block), (1,))[0], tick)


@call
def find_tick(block: int, tick: int, unused: int, unused_too: int) -> int:  # noqa: ARG001 - a call's form
    """Return the slot of a tick, which is open."""
    return slot_of(carray(columns_at(block), (1,))[0], tick)


@call
def take_batch(block: int, message: int, number: int, size: int) -> int:
    """Put the batch of sender `number` in the `size` bytes at `message` into its columns, and its transfers into their boxes;
    return how many columns are full now (`filled`) and how much waited for the transfers last, or why nothing was done.
    """
    columns = carray(columns_at(block), (1,))[0]
    sender = carray(sender_at(columns.sender), (number + 1,))[number]
    raw = carray(bytes_at(message), (size,))
    if size < 5:
        return NOT_TAKEN
    body = size
    if raw[0] == SEALED:
        body -= SEAL_BYTES
        if body < 5 or raw[body] != 0xC4 or crc32(message, size) != RESIDUE:
            return NOT_TAKEN
    elif raw[0] != PLAIN:
        return NOT_TAKEN
    sections = carray(long_at(columns.sections), (columns.most, codec.COLUMNS))
    tick, stands, count, at = codec.read_ticked(carray(bytes_at(message), (body,)), codec.BATCH, sections)
    if tick != sender.next or count != sender.sections:
        return NOT_TAKEN
    if sender.source < 0 and (at + 1 != body or raw[at] != 0x90):
        return NOT_TAKEN
    parts = carray(part_at(columns.part), (sender.first + count,))
    populations = carray(population_at(columns.population), (columns.populations,))
    for i in range(count):  # in the order of the parts, as a PE writes them
        part = parts[sender.first + i]
        population = populations[part.population]
        if sections[i, codec.POPULATION] != population.number or _fits(part, population, sections[i]) < 0:
            return NOT_TAKEN
    slot = slot_of(columns, tick)
    if slot == columns.ring and columns.opens:
        slot = _open(columns, tick)
    if slot == columns.ring:
        return UNOPENED
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    if column.used + at > column.room:
        columns.need = column.used + at
        return NO_ROOM
    if not sender.may_stand:
        stands = 0
    if stands and at > sender.room:
        columns.need = at
        return NO_ROOM_TO_STAND
    if sender.source >= 0:
        boxes = carray(boxes_at(columns.boxes), (1,))[0]
        boxes.sender, boxes.tick = sender.source, tick
        code: int = call_at(columns.read, columns.boxes, message, at, body)
        if code < 0:
            return code
    copy_bytes(column.page + column.used, message, at)
    cells = carray(long_at(column.cells), (columns.places, codec.COLUMNS))
    missing, full = carray(long_at(column.missing), (columns.populations,)), 0
    filled = carray(long_at(columns.full), (columns.populations,))
    for i in range(count):
        part = parts[sender.first + i]
        for field in range(codec.COLUMNS):
            begins = field >= codec.KEYS and field <= codec.LEDGER
            cells[part.place, field] = sections[i, field] + (column.used if begins else 0)
        cells[part.place, SAID] = tick
        part.events += _fits(part, populations[part.population], sections[i])
        missing[part.population] -= 1
        if missing[part.population] == 0:
            filled[full] = part.population
            full += 1
    column.used += at
    sender.next += 1
    sender.stands = -1
    if stands:
        sender.stands, sender.ticks, sender.used = tick, stands, at
        copy_bytes(sender.page, message, at)
        copy_bytes(columns.standing + 8 * codec.COLUMNS * number, columns.sections, 8 * codec.COLUMNS)
    columns.filled, columns.source = full, sender.source
    if sender.source >= 0:
        full += call_at(columns.put, columns.boxes, message, 0, body)
    return full


@call
def answer_all(block: int, message: int, unused: int, size: int) -> int:  # noqa: ARG001 - a call's form
    """Have a group of PEs answer the bundle in the `size` bytes at `message`, from where its turn is, and take the answers; return
    what one of them did to a column, 0 where none is left.
    """
    columns = carray(columns_at(block), (1,))[0]
    group = carray(answering_at(columns.answering), (columns.group,))
    while columns.turn < columns.group:
        pe = group[columns.turn]
        reply = call_at(pe.tick, pe.block, message, pe.reply, size)
        if reply < 0:
            return NO_ANSWER
        taken: int = call_at(columns.take, block, pe.reply, pe.sender, reply)
        if taken:
            columns.reply_bytes = reply
            return taken
        columns.turn += 1
    return 0


@inlined
def _sort(columns: Any, events: int, bits: int, at: int) -> int:
    """Sort `events` words at `at` by their upper halves, stably; return where they lie then: there, or right behind."""
    passes = (bits + DIGIT_BITS - 1) // DIGIT_BITS
    digit = (bits + passes - 1) // passes
    buckets = 1 << digit
    histogram, here, there = carray(long_at(columns.histogram), (buckets,)), at, at + 8 * events
    for turn in range(passes):
        shift = 32 + turn * digit
        fill_bytes(columns.histogram, 0, 8 * buckets)
        source, target = carray(long_at(here), (events,)), carray(long_at(there), (events,))
        for i in range(events):
            histogram[(source[i] >> shift) & (buckets - 1)] += 1
        before = 0
        for bucket in range(buckets):
            number = histogram[bucket]
            histogram[bucket] = before
            before += number
        for i in range(events):
            bucket = (source[i] >> shift) & (buckets - 1)
            target[histogram[bucket]] = source[i]
            histogram[bucket] += 1
        here, there = there, here
    return here


@inlined
def _move(target: int, source: int, item_bytes: int, to: int, at: int) -> None:
    """Move value `at` of those at `source` to place `to` of those at `target`."""
    if item_bytes == 4:
        carray(words_at(target), (to + 1,))[to] = carray(words_at(source), (at + 1,))[at]
    elif item_bytes == 2:
        carray(shorts_at(target), (to + 1,))[to] = carray(shorts_at(source), (at + 1,))[at]
    else:
        carray(bytes_at(target), (to + 1,))[to] = carray(bytes_at(source), (at + 1,))[at]


@call
def join_column(block: int, slot: int, number: int, unused: int) -> int:  # noqa: ARG001 - a call's form
    """Join the column of population `number` (a row) of the tick in `slot`: its keys, values and ledger go to `out`."""
    columns = carray(columns_at(block), (1,))[0]
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    population = carray(population_at(columns.population), (columns.populations,))[number]
    cells_at = column.cells + 8 * codec.COLUMNS * population.place
    cells, page = carray(long_at(cells_at), (population.places, codec.COLUMNS)), carray(bytes_at(column.page), (column.used,))
    keys_bytes, values_bytes, ledger_bytes, lanes_bytes = 0, 0, 0, cells[0, codec.LANES_BYTES]
    for i in range(population.places):
        if cells[i, codec.FLAGS] != cells[0, codec.FLAGS] or cells[i, codec.POSITION] != cells[0, codec.POSITION]:
            return DISAGREE
        if cells[i, codec.LANES_BYTES] != lanes_bytes:
            return DISAGREE
        for byte in range(lanes_bytes):
            if page[cells[i, codec.LANES] + byte] != page[cells[0, codec.LANES] + byte]:
                return DISAGREE
        keys_bytes += cells[i, codec.KEYS_BYTES]
        values_bytes += cells[i, codec.VALUES_BYTES]
        ledger_bytes += cells[i, codec.LEDGER_BYTES]
    events, keys_room, values_room = keys_bytes >> 2, (keys_bytes + 7) // 8 * 8, (values_bytes + 7) // 8 * 8
    columns.need = 2 * keys_room + 2 * values_room + 16 * events + ledger_bytes
    if columns.need > columns.room:
        return NO_ROOM
    pairs = columns.out
    keys = pairs + 16 * events
    values = keys + 2 * keys_room
    ledger = values + 2 * values_room
    columns.keys_bytes, columns.values_bytes, columns.ledger_bytes = keys_bytes, values_bytes, ledger_bytes
    columns.keys, columns.values, columns.ledger = keys, values, ledger
    to_keys, to_values, to_ledger = keys, values, ledger
    for i in range(population.places):
        copy_bytes(to_keys, column.page + cells[i, codec.KEYS], cells[i, codec.KEYS_BYTES])
        copy_bytes(to_values, column.page + cells[i, codec.VALUES], cells[i, codec.VALUES_BYTES])
        copy_bytes(to_ledger, column.page + cells[i, codec.LEDGER], cells[i, codec.LEDGER_BYTES])
        to_keys += cells[i, codec.KEYS_BYTES]
        to_values += cells[i, codec.VALUES_BYTES]
        to_ledger += cells[i, codec.LEDGER_BYTES]
    unsorted, pair = carray(words_at(keys), (events,)), carray(long_at(pairs), (2 * events,))
    for e in range(events):
        if unsorted[e] >= population.keys:
            return DISAGREE
        pair[e] = np.int64(unsorted[e]) << 32 | e
    if population.places > 1 and events:
        bits = 1
        while population.keys - 1 >> bits:
            bits += 1
        in_order = carray(long_at(_sort(columns, events, bits, pairs)), (events,))
        columns.keys, columns.values = keys + keys_room, values + values_room
        sorted_keys = carray(words_at(columns.keys), (events,))
        for e in range(events):
            sorted_keys[e] = in_order[e] >> 32 & 0xFFFFFFFF
        if values_bytes:
            for e in range(events):
                _move(columns.values, values, population.item_bytes, e, in_order[e] & 0xFFFFFFFF)
    elif population.order and values_bytes:
        columns.values = values + values_room
        order = carray(long_at(population.order), (values_bytes // population.item_bytes,))
        for e in range(order.size):
            _move(columns.values, values, population.item_bytes, e, order[e])
    return 0
