"""What a router does where everything comes from its own chip, as one compiled call (`pe/compiled_delivery.py`): columns that are
full become sections as they are on the wire, and those become the bundles of whoever waited for the last of them.
"""

from __future__ import annotations

from typing import Any

from models.compute.bound_calls import bytes_at, call, call_at, carray, copy_bytes
from models.compute.compiling import inlined
from noc.checksum import CHECKSUM_BYTES, SEAL_BYTES
from noc.packet import VALID
from pe import msgpack_codec as codec
from pe.box_records import CHAIN, ROWS, boxes_at
from pe.box_records import open_at as open_box_at
from pe.column_calls import EMPTY, PLAIN, SAID, SEALED, slot_of
from pe.column_records import (
    columns_at,
    delivery_at,
    group_at,
    long_at,
    open_at,
    page_at,
    part_at,
    population_at,
    ready_at,
    run_at,
    sender_at,
    spared_at,
    wait_at,
)
from pe.crc32 import crc32

NO_PAGE, NO_OUT, NO_BOX = -7, -8, -9  # the page of a tick, of bundles, or of transfers has no room for `need` bytes
NO_ROOM_IN_TICK = -11  # nor that of a tick's batches, for the columns' `need`
_TWO_EMPTY_BINS, _EMPTY_BIN = 4, 2  # bytes


@inlined
def _put_run(delivery: Any, columns: Any, slot: int, row: int) -> int:
    """Put a column that is full into its tick's page, as a section; return 0, or why nothing was done."""
    code: int = call_at(columns.join, delivery.columns, slot, row, 0)
    if code:
        return code
    page = carray(page_at(delivery.page), (columns.ring,))[slot]
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    population = carray(population_at(columns.population), (columns.populations,))[row]
    cell = carray(long_at(column.cells), (columns.places, codec.COLUMNS))[population.place]
    content = columns.keys_bytes + columns.values_bytes + columns.ledger_bytes + cell[codec.LANES_BYTES]
    delivery.need = page.used + codec.MOST_SECTION_BYTES + content
    if delivery.need > page.room:
        return NO_PAGE
    out, begin = carray(bytes_at(page.address), (page.room,)), page.used
    ledger = codec.put_section(
        out, begin, population.number, cell[codec.FLAGS], cell[codec.POSITION], columns.keys, columns.keys_bytes,
        columns.values, columns.values_bytes,
    )  # fmt: skip
    lanes = codec.put_bin(out, ledger, columns.ledger, columns.ledger_bytes)
    page.used = codec.put_bin(out, lanes, column.page + cell[codec.LANES], cell[codec.LANES_BYTES])
    run = carray(run_at(delivery.run), ((slot + 1) * columns.populations,))[slot * columns.populations + row]
    run.at, run.head_bytes, run.ledger_bytes, run.lanes_bytes = begin, ledger - begin, lanes - ledger, page.used - lanes
    run.numbers_bytes = codec.bytes_of_numbers(population.number, cell[codec.FLAGS], cell[codec.POSITION])
    run.position, run.is_silent = cell[codec.POSITION], run.head_bytes - run.numbers_bytes == _TWO_EMPTY_BINS
    run.is_plain = cell[codec.FLAGS] == VALID and run.lanes_bytes == _EMPTY_BIN
    run.is_bubble = cell[codec.FLAGS] & VALID == 0
    events = columns.values_bytes // population.item_bytes if population.dense else columns.keys_bytes >> 2
    carray(long_at(delivery.events), (columns.populations,))[row] += events
    return 0


@inlined
def _note_one(delivery: Any, slot: int, number: int) -> None:
    """One more is in of what a group waits for: its bundle may be written if that was the last."""
    waiting = carray(long_at(delivery.waiting), ((slot + 1) * delivery.groups,))
    at = slot * delivery.groups + number
    waiting[at] -= 1
    if waiting[at] == 0:
        if carray(group_at(delivery.group), (delivery.groups,))[number].is_dram:
            delivery.is_dram_due = 1
            return
        carray(ready_at(delivery.ready), (delivery.groups,))[delivery.pending].group = number
        delivery.pending += 1


@inlined
def _let_go(delivery: Any, columns: Any, slot: int, row: int) -> None:
    """A population's run is in: note the groups that waited for it last."""
    first, number = carray(long_at(delivery.hearers), (columns.populations, 2))[row]
    hearer = carray(long_at(delivery.hearer), (first + number,))
    for i in range(first, first + number):
        _note_one(delivery, slot, hearer[i])


@inlined
def _let_transfers_go(delivery: Any, columns: Any, slot: int) -> None:
    """Note the groups that waited last for the transfers that were put into boxes last."""
    boxes = carray(boxes_at(columns.boxes), (1,))[0]
    settled = carray(long_at(boxes.settled), (boxes.boxes + 1,))
    group_of = carray(long_at(delivery.group_of), (boxes.boxes,))
    for i in range(boxes.ready):
        if settled[i] == boxes.boxes:  # nobody's are missing in this tick any more
            carray(long_at(delivery.left), (columns.ring,))[slot] -= 1
        else:
            _note_one(delivery, slot, group_of[settled[i]])


@inlined
def _members(delivery: Any, group: Any) -> Any:
    """Return the numbers of the senders that hear a group's bundles, none where they may not be spared any."""
    return carray(long_at(delivery.member), (group.member + group.members,))[group.member :]


@inlined
def _note_written(delivery: Any, columns: Any, group: Any) -> None:
    """Note that a bundle goes out: what its hearers have said stands no more."""
    member = _members(delivery, group)
    for i in range(member.size):
        carray(sender_at(columns.sender), (member[i] + 1,))[member[i]].stands = -1
    group.passed = 0


@inlined
def _put_transfers(delivery: Any, columns: Any, tick: int, box: int, begin: int, size: int) -> int:
    """Put a box's transfers into the plain bundle of `size` bytes at `begin`, and a checksum behind them; return its bytes, or why
    there is none.
    """
    boxes = carray(boxes_at(columns.boxes), (1,))[0]
    slot = _slot_of_boxes(boxes, tick)
    written: int = call_at(delivery.write_box, columns.boxes, delivery.out + begin, slot * boxes.boxes + box, size)
    if written < 0:
        return NO_BOX
    delivery.need = begin + written
    if delivery.need > delivery.room:
        return NO_OUT
    copy_bytes(delivery.out + begin, boxes.out, written)
    return written


@inlined
def _spare(delivery: Any, columns: Any, slot: int, tick: int, group: Any) -> bool:
    """Note a bundle as one that need not be written, if what its hearers said last stands for the answers; return whether it is.

    A batch of a PE that exchanges transfers stands while it hears the clock alone, one of another PE while it hears bubbles.
    """
    member = _members(delivery, group)
    if member.size == 0:
        return False
    for i in range(member.size):
        sender = carray(sender_at(columns.sender), (member[i] + 1,))[member[i]]
        if sender.stands < 0 or tick - sender.stands >= sender.ticks or sender.next != tick + 1:
            return False
        if tick in (sender.asked, sender.last):
            return False
    waits = carray(wait_at(delivery.waits), (group.first + group.count,))[group.first :]
    runs = carray(run_at(delivery.run), ((slot + 1) * columns.populations,))[slot * columns.populations :]
    position = 0
    for i in range(group.count):
        run = runs[waits[i].row]
        if group.box < 0:
            if not run.is_bubble:
                return False
        elif not run.is_plain or not (run.is_silent or not waits[i].is_heard) or _rows_of(columns, tick, group.box):
            return False
        else:
            position = run.position
    spared = carray(spared_at(delivery.spared), (delivery.spares + member.size,))
    for i in range(member.size):
        spared[delivery.spares].sender, spared[delivery.spares].position = member[i], position
        delivery.spares += 1
    group.passed += 1
    return True


@inlined
def _rows_of(columns: Any, tick: int, box: int) -> int:
    """Return how many transfers a box has."""
    boxes = carray(boxes_at(columns.boxes), (1,))[0]
    own = carray(open_box_at(boxes.open), (boxes.ring,))[_slot_of_boxes(boxes, tick)]
    return int(carray(long_at(own.chains), (boxes.boxes, CHAIN))[box, ROWS])


@inlined
def _slot_of_boxes(boxes: Any, tick: int) -> int:
    """Return the boxes' slot of a tick, which is open."""
    opened, slot = carray(open_box_at(boxes.open), (boxes.ring,)), 0
    while opened[slot].tick != tick:
        slot += 1
    return slot


@inlined
def _let_stand(delivery: Any, columns: Any, slot: int, tick: int) -> int:
    """Put batches that stand into the columns of a tick, and note what waited for them last; return 0, or NO_ROOM_IN_TICK
    where nothing was done.
    """
    column = carray(open_at(columns.open), (columns.ring,))[slot]
    standing = carray(spared_at(delivery.standing), (delivery.stand,))
    need = 0
    for i in range(standing.size):
        need += carray(sender_at(columns.sender), (standing[i].sender + 1,))[standing[i].sender].used
    if column.used + need > column.room:
        columns.need = need
        return NO_ROOM_IN_TICK
    parts = carray(part_at(columns.part), (columns.places,))
    cells = carray(long_at(column.cells), (columns.places, codec.COLUMNS))
    missing, full = carray(long_at(column.missing), (columns.populations,)), carray(long_at(columns.full), (columns.populations,))
    box_slot = _slot_of_boxes(carray(boxes_at(columns.boxes), (1,))[0], tick) if columns.boxes else 0
    for i in range(standing.size):
        number = standing[i].sender
        sender = carray(sender_at(columns.sender), (number + 1,))[number]
        part = parts[sender.first]
        section = carray(long_at(columns.standing + 8 * codec.COLUMNS * number), (codec.COLUMNS,))
        for field in range(codec.COLUMNS):
            begins = field >= codec.KEYS and field <= codec.LEDGER
            cells[part.place, field] = section[field] + (column.used if begins else 0)
        cells[part.place, codec.POSITION], cells[part.place, SAID] = standing[i].position, tick
        copy_bytes(column.page + column.used, sender.page, sender.used)
        column.used += sender.used
        sender.next += 1
        missing[part.population] -= 1
        if missing[part.population] == 0:
            full[columns.filled] = part.population
            columns.filled += 1
        if sender.source >= 0:
            call_at(delivery.settle, columns.boxes, box_slot, sender.source, 0)
            _let_transfers_go(delivery, columns, slot)
    delivery.stand = 0
    return 0


@inlined
def _write_bundle(delivery: Any, columns: Any, slot: int, tick: int) -> int:
    """Write the next bundle that may be written, if it need be; return 0, or NO_OUT where nothing was done."""
    bundle = carray(ready_at(delivery.ready), (delivery.groups,))[delivery.written]
    group = carray(group_at(delivery.group), (delivery.groups,))[bundle.group]
    waits = carray(wait_at(delivery.waits), (group.first + group.count,))
    runs = carray(run_at(delivery.run), ((slot + 1) * columns.populations,))
    if _spare(delivery, columns, slot, tick, group):
        bundle.size = 0
        return 0
    page = carray(page_at(delivery.page), (columns.ring,))[slot]
    need = delivery.used + codec.MOST_HEAD_BYTES + 1 + SEAL_BYTES
    for i in range(group.count):
        run = runs[slot * columns.populations + waits[group.first + i].row]
        need += run.head_bytes + run.lanes_bytes + run.ledger_bytes
    delivery.need = need
    if need > delivery.room:
        return NO_OUT
    out, begin = carray(bytes_at(delivery.out), (delivery.room,)), delivery.used
    is_sealed_here = not group.is_plain and group.box < 0
    out[begin], out[begin + 1] = SEALED if is_sealed_here else PLAIN, codec.BUNDLE
    at = codec.put_count(out, codec.put_tick(out, begin + 2, tick, group.passed), group.count)
    for i in range(group.count):
        wait = waits[group.first + i]
        run = runs[slot * columns.populations + wait.row]
        ledger, head_bytes = run.at + run.head_bytes, run.head_bytes if wait.is_heard else run.numbers_bytes
        copy_bytes(delivery.out + at, page.address + run.at, head_bytes)
        at += head_bytes
        if not wait.is_heard:
            at = codec.put_bin_head(out, codec.put_bin_head(out, at, 0), 0)  # keys and values
        if group.is_plain:
            copy_bytes(delivery.out + at, page.address + ledger, run.ledger_bytes)
            at += run.ledger_bytes
        else:
            at = codec.put_bin_head(out, at, 0)
        copy_bytes(delivery.out + at, page.address + ledger + run.ledger_bytes, run.lanes_bytes)
        at += run.lanes_bytes
    at = codec.put_count(out, at, 0)  # transfers
    if group.box >= 0:
        size = _put_transfers(delivery, columns, tick, group.box, begin, at - begin)
        if size < 0:
            return size
        at = begin + size
    if is_sealed_here:
        at = codec.put_bin_head(out, at, CHECKSUM_BYTES)
        crc = crc32(delivery.out + begin, at - begin)
        for i in range(CHECKSUM_BYTES):
            out[at + i] = crc >> 8 * i & 0xFF
        at += CHECKSUM_BYTES
    _note_written(delivery, columns, group)
    bundle.begin, bundle.size = begin, at - begin
    delivery.used = at
    return 0


@call
def deliver(block: int, tick: int, unused: int, unused_too: int) -> int:  # noqa: ARG001 - a call's form
    """Join the columns of a tick that the columns' `full` names, or that batches fill which stand, and write the bundles for which
    they were the last (`ready`, of no bytes where one was spared); return how many. Or, to go on where it is called again: NO_ROOM,
    NO_PAGE, NO_OUT, NO_BOX or NO_ROOM_IN_TICK; DISAGREE, of the column at `done`.
    """
    delivery = carray(delivery_at(block), (1,))[0]
    columns = carray(columns_at(delivery.columns), (1,))[0]
    slot, full = slot_of(columns, tick), carray(long_at(columns.full), (columns.populations,))
    left = carray(long_at(delivery.left), (columns.ring,))
    if delivery.stand:
        code = _let_stand(delivery, columns, slot, tick)
        if code:
            return code
    while delivery.done < columns.filled:
        row = full[delivery.done]
        code = _put_run(delivery, columns, slot, row)
        if code:
            return code
        _let_go(delivery, columns, slot, row)
        left[slot] -= 1
        delivery.done += 1
    if delivery.settles:
        delivery.settles = 0
        _let_transfers_go(delivery, columns, slot)
    while delivery.written < delivery.pending:
        code = _write_bundle(delivery, columns, slot, tick)
        if code:
            return code
        delivery.written += 1
    if left[slot] == 0:
        carray(open_at(columns.open), (columns.ring,))[slot].tick = EMPTY
        delivery.is_closed = 1
    return int(delivery.written)
