"""A PE's tick as one compiled function: a bundle's bytes in, a batch's bytes out.

Hear each section, take the transfers and make others (`pe/exchange.py`), then step each shard whose time has come, then write one
batch, with or without events. Events are copied from the bundle into the event FIFO in chunks: kernels see only the arena, and
working room of the emulator's that is empty between ticks. Python between the parts of a tick would cost several times the tick.

A shard steps `wait` ticks after the header of its trigger's section came, on events or none, and `ticks` times for a position.
What it heard of position q lies in slot q modulo the slots of its port.
"""

from __future__ import annotations

from typing import Any

from models.compute.bound_calls import bytes_at, call, call_at, carray, copy_bytes, words_at
from models.compute.compiling import inlined
from models.network import Array
from models.transfers import MOST_STANDING, STANDS
from noc.packet import FRESH, PHASE, RESET, VALID
from pe import msgpack_codec
from pe.msgpack_codec import FLAGS, KEYS, KEYS_BYTES, LANES, LANES_BYTES, POPULATION, POSITION, VALUES, VALUES_BYTES
from pe.tick_records import listener_at, long_at, probe_at, resident_at, slot_at, state_at

NOT_MINE = -1  # the message is no bundle of this tick: nothing was done
BEYOND = -2  # an event's key lies beyond its population: the network and what sent it do not belong together
CROWDED = -3  # positions came faster than the schedule says
FLOODED = -4  # more transfers came than the inbox has room for
WRONG = msgpack_codec.WRONG  # what the kernel put into its outbox is no transfer
_MOST_KEYS = 1 << 32
_BEGINS, _RESETS, _IDLES = 0, 1, 2  # sets of lanes in a section, in this order
_ROW_MASKED = 1 << 40  # in the flags of a header that waits: sets of lanes come with it


@inlined
def _make(record: Any, lane: int, before: int, phase: int) -> int:
    done: int = call_at(record.address, record.block, lane, before, phase)
    return done


@inlined
def _names(lanes: int, kind: int, mask_bytes: int, lane: int, otherwise: bool) -> bool:
    """Tell whether the set `kind` of those at address `lanes` has a lane; `otherwise` where none came."""
    if lanes == 0:
        return otherwise
    sets = carray(bytes_at(lanes), (3 * mask_bytes,))
    return bool(sets[kind * mask_bytes + (lane >> 3)] >> (lane & 7) & 1)


@inlined
def _is_whole(listeners: Array, residents: Array, section: Array, clock: int) -> bool:
    """Tell whether a port listens to the section's population, or a shard waits for it, and its bytes are what those need."""
    awaited = bool(section[POPULATION] == clock)
    for i in range(listeners.size):
        port = listeners[i]
        if port.population == section[POPULATION]:
            awaited = True
            events = section[VALUES_BYTES] // port.item_bytes if port.dense else section[KEYS_BYTES] // 4
            if port.dense and (section[KEYS_BYTES] or (events and events != port.keys)):
                return False
            if section[VALUES_BYTES] != events * port.item_bytes or section[KEYS_BYTES] & 3:
                return False
            if section[LANES_BYTES] and section[LANES_BYTES] != 3 * port.mask_bytes:
                return False
    for i in range(residents.size):
        if residents[i].trigger == section[POPULATION]:
            awaited = True
            if section[LANES_BYTES] and section[LANES_BYTES] != 3 * residents[i].mask_bytes:
                return False
    return awaited


@inlined
def _open_slots(listeners: Array, section: Array, lanes: int) -> None:
    """Clear what every port that listens has in the slot of the section's position, where that begins."""
    phase, position = section[FLAGS] // PHASE, section[POSITION]
    for i in range(listeners.size):
        port = listeners[i]
        if port.population != section[POPULATION]:
            continue
        slot = carray(slot_at(port.slot), (port.slots,))[position % port.slots]
        if phase:
            _make(slot.more, 0, 0, 0)
            continue
        if section[FLAGS] & RESET:
            for lane in range(port.lanes):
                if _names(lanes, _RESETS, port.mask_bytes, lane, True):
                    _make(port.restart, lane, 0, 0)
        _make(slot.clear, 0, 0, 0)


@inlined
def _close_slots(listeners: Array, section: Array) -> None:
    """Make the products of the ports that keep what they hear as sums."""
    for i in range(listeners.size):
        port = listeners[i]
        if port.closes and port.population == section[POPULATION]:
            slot = carray(slot_at(port.slot), (port.slots,))[section[POSITION] % port.slots]
            for lane in range(port.lanes):
                _make(slot.product, lane, 0, 0)


@inlined
def _hear(state: Any, listeners: Array, residents: Array, message: int, section: Array) -> bool:
    """Let every port that listens to the section's population take its events, FIFO by FIFO; False where a key lies beyond."""
    population = section[POPULATION]
    _open_slots(listeners, section, message + section[LANES] if section[LANES_BYTES] else 0)
    keys_beyond, item_bytes, dense = _MOST_KEYS, 0, 0
    for i in range(listeners.size):
        if listeners[i].population == population:
            keys_beyond = min(keys_beyond, listeners[i].keys)  # every port must have room for them
            item_bytes, dense = listeners[i].item_bytes, listeners[i].dense
    events = section[VALUES_BYTES] // item_bytes if dense else section[KEYS_BYTES] // 4
    own = 0
    for i in range(residents.size):
        if residents[i].population == population:
            own = residents[i].events
    most, fifo_keys = state.fifo_events, carray(words_at(state.fifo_keys), (state.fifo_events,))
    for first in range(0, events, most):
        count = min(most, events - first)
        copy_bytes(state.fifo_values, message + section[VALUES] + item_bytes * first, item_bytes * count)
        keys = first
        if not dense:
            keys = state.fifo_keys
            copy_bytes(keys, message + section[KEYS] + 4 * first, 4 * count)
            is_beyond = False  # and no end of the loop before its end, so that it looks at several keys at once
            for e in range(count):
                is_beyond |= fifo_keys[e] >= keys_beyond
            if is_beyond:
                return False
        for i in range(listeners.size):
            port = listeners[i]
            if port.population == population:
                receive = carray(slot_at(port.slot), (port.slots,))[section[POSITION] % port.slots].receive
                call_at(receive.address, receive.block, keys, state.fifo_values, count)
    _close_slots(listeners, section)
    if events:  # none: its own may be lost with the others, for want of a routing entry
        state.delivered += events - own
    return True


@inlined
def _take_sums(resident: Any, flags: int, position: int, lanes: int, lane: int) -> None:
    """Leave in a lane's sums what its ports hear at a position, and count the work."""
    ports = carray(listener_at(resident.listener), (resident.listeners,))
    ledger = carray(words_at(resident.ledger), (resident.ledger_words,))
    begins = bool(flags & FRESH) and _names(lanes, _BEGINS, resident.mask_bytes, lane, True)
    if resident.marks and begins:
        carray(long_at(resident.marks), (resident.lanes,))[lane] = position
    at = resident.ledger_words - 2 * ports.size
    for i in range(ports.size):
        port = ports[i]
        slot = carray(slot_at(port.slot), (port.slots,))[(position - port.delay) % port.slots]
        if port.delay:
            before = begins
            if resident.marks:
                before = position - port.delay < carray(long_at(resident.marks), (resident.lanes,))[lane]
            if before:
                _make(slot.forget, lane, 0, 0)
        if not port.closes:
            _make(slot.product, lane, 0, 0)
        counts = carray(words_at(slot.counts), (2 * resident.lanes,))
        ledger[at] += counts[2 * lane]
        ledger[at + 1] += counts[2 * lane + 1]
        at += 2
        if port.adds:
            _make(slot.add, lane, 0, 0)


@inlined
def _step(resident: Any, flags: int, position: int, lanes: int, phase: int) -> int:
    """Step the lanes of a shard that are not idle; return the number of its events."""
    ledger = carray(words_at(resident.ledger), (resident.ledger_words,))
    for i in range(ledger.size):
        ledger[i] = 0
    if resident.dense:
        values = carray(bytes_at(resident.send_values), (resident.dense,))
        for i in range(values.size):
            values[i] = 0
    events = 0
    for lane in range(resident.lanes):
        if _names(lanes, _IDLES, resident.mask_bytes, lane, False):
            continue
        if phase == 0:
            if flags & RESET and _names(lanes, _RESETS, resident.mask_bytes, lane, True):
                _make(resident.reset, lane, 0, 0)
            _take_sums(resident, flags, position, lanes, lane)
        events += _make(resident.step, lane, events, phase)
    if resident.dense:  # what travels is a number for each unit, of idle lanes too
        events = resident.dense // resident.item_bytes
    ledger[0] = events
    return events


@inlined
def _put_in_line(resident: Any, section: Array, message: int, tick: int) -> bool:
    """Keep the header of a shard's trigger until the shard steps; False where there is no room."""
    rows = carray(long_at(resident.headers), (resident.header_rows, resident.header_words))
    for i in range(rows.shape[0]):
        if rows[i, 0] == 0:
            rows[i, 0] = tick + resident.wait + 1  # and one, so that no row is 0 but an empty one
            rows[i, 1], rows[i, 2] = section[FLAGS], section[POSITION]
            if section[LANES_BYTES]:
                rows[i, 1] |= _ROW_MASKED
                copy_bytes(resident.headers + 8 * (i * resident.header_words + 3), message + section[LANES], section[LANES_BYTES])
            return True
    return False


@inlined
def _put_step(out: Array, at: int, resident: Any, flags: int, position: int, lanes: int, phase: int) -> int:
    """Step a shard and write its section; return where the next one goes."""
    events = _step(resident, flags, position, lanes, phase)
    resident.events = events
    keys_bytes = 0 if resident.dense else 4 * events
    sent_flags = VALID | phase * PHASE if phase else flags & (VALID | RESET | FRESH)
    at = msgpack_codec.put_section(
        out, at, resident.population, sent_flags, position, resident.send_keys, keys_bytes, resident.send_values,
        events * resident.item_bytes,
    )  # fmt: skip
    at = msgpack_codec.put_bin_head(out, at, 4 * resident.ledger_words + resident.probe_bytes)
    copy_bytes(out.ctypes.data + at, resident.ledger, 4 * resident.ledger_words)
    at += 4 * resident.ledger_words
    probes = carray(probe_at(resident.probe), (resident.probes,))
    for i in range(probes.size):
        copy_bytes(out.ctypes.data + at, probes[i].address, probes[i].bytes)
        at += probes[i].bytes
    return msgpack_codec.put_bin(out, at, lanes, 3 * resident.mask_bytes if lanes else 0)


@inlined
def _may_stand(state: Any, listeners: Array, residents: Array, sections: Array, count: int) -> bool:
    """Tell whether this batch may stand for those of ticks in which nothing comes but the clock, as nothing else came now: its one
    shard steps on that, at once, keeps nothing of it, and sends no dense values.
    """
    if residents.size != 1 or count != 1 or residents[0].trigger != state.clock or residents[0].header_rows or residents[0].dense:
        return False
    for i in range(listeners.size):
        if listeners[i].slots != 1 or listeners[i].delay:
            return False
    clock = sections[0]
    is_silent = clock[KEYS_BYTES] == 0 and clock[VALUES_BYTES] == 0 and clock[LANES_BYTES] == 0
    return bool(is_silent and clock[FLAGS] == VALID and clock[POPULATION] == state.clock)


@inlined
def _rests(residents: Array, sections: Array, count: int) -> bool:
    """Tell whether this batch may stand for those of ticks in which nothing comes but bubbles: its one shard does not step now, and
    has nothing that it waits to step on.
    """
    if residents.size != 1:
        return False
    for i in range(count):
        if sections[i, FLAGS] & VALID and sections[i, FLAGS] < PHASE and sections[i, POPULATION] == residents[0].trigger:
            return False
    rows = carray(long_at(residents[0].headers), (residents[0].header_rows, residents[0].header_words))
    waiting = 0
    for i in range(rows.shape[0]):
        waiting += rows[i, 0] != 0
    return bool(waiting == 0)


@call
def tick_function(block: int, message: int, reply: int, size: int) -> int:
    """Answer the `size` bytes at `message` by bytes at `reply`; return how many, or why none."""
    state = carray(state_at(block), (1,))[0]
    raw = carray(bytes_at(message), (size,))
    sections = carray(long_at(state.section), (state.sections, msgpack_codec.COLUMNS))
    listeners = carray(listener_at(state.listener), (state.listeners,))
    residents = carray(resident_at(state.resident), (state.residents,))
    if state.tick >= state.until:
        return NOT_MINE
    tick, passed, count, transfers = msgpack_codec.read_bundle(raw, sections)
    if tick - passed != state.tick or tick >= state.until:
        return NOT_MINE
    arrived = 0
    if not msgpack_codec.has_no_transfers(raw, transfers):
        arrived = msgpack_codec.UNREADABLE_TRANSFERS
        if state.exchanges:
            arrived = call_at(state.take.address, state.take.block, message, transfers, size)
    if arrived == msgpack_codec.UNREADABLE_TRANSFERS:
        return NOT_MINE
    if arrived == msgpack_codec.FULL:
        return FLOODED
    for i in range(count):
        if sections[i, FLAGS] & VALID and not _is_whole(listeners, residents, sections[i], state.clock):
            return NOT_MINE
    for i in range(count):
        if sections[i, FLAGS] & VALID and not _hear(state, listeners, residents, message, sections[i]):
            return BEYOND
    state.tick = tick + 1
    sent = call_at(state.exchange.address, state.exchange.block, arrived, passed, 0) if state.exchanges else 0
    if sent < 0:
        return WRONG
    stands = min(sent // STANDS, MOST_STANDING)
    if stands and not _may_stand(state, listeners, residents, sections, count):
        stands = 0
    if not state.exchanges and _rests(residents, sections, count):
        stands = MOST_STANDING
    sent %= STANDS
    out = carray(bytes_at(reply), (1 << 30,))  # as long as `Tick` made it, which is enough for every event of every shard
    at = msgpack_codec.put_head(out, state.tick, stands, residents.size)
    for shard in range(residents.size):
        resident = residents[shard]
        trigger = -1
        for i in range(count):
            if sections[i, FLAGS] & VALID and sections[i, FLAGS] < PHASE and sections[i, POPULATION] == resident.trigger:
                trigger = i
        before = at
        if resident.header_rows == 0:  # it steps on its trigger at once, and in one tick
            if trigger >= 0:
                section = sections[trigger]
                lanes = message + section[LANES] if section[LANES_BYTES] else 0
                at = _put_step(out, at, resident, section[FLAGS], section[POSITION], lanes, 0)
        else:
            if trigger >= 0 and not _put_in_line(resident, sections[trigger], message, tick):
                return CROWDED
            rows = carray(long_at(resident.headers), (resident.header_rows, resident.header_words))
            for i in range(rows.shape[0]):
                phase = tick + 1 - rows[i, 0]
                if rows[i, 0] and 0 <= phase < resident.ticks:
                    flags, position = rows[i, 1], rows[i, 2]
                    lanes = resident.headers + 8 * (i * resident.header_words + 3) if flags & _ROW_MASKED else 0
                    at = _put_step(out, at, resident, flags, position, lanes, phase)
                    if phase == resident.ticks - 1:
                        rows[i, 0] = 0
        if at == before:
            resident.events = 0
            at = msgpack_codec.put_section(out, at, resident.population, 0, 0, 0, 0, 0, 0)
            at = msgpack_codec.put_bin_head(out, at, 0)
            at = msgpack_codec.put_bin_head(out, at, 0)
        else:
            state.sent += resident.events * resident.copies
        if stands and resident.events:
            return WRONG
    if state.exchanges:
        size_out: int = call_at(state.put.address, state.put.block, reply, at, sent)
        return size_out
    return msgpack_codec.put_count(out, at, 0)
