"""What the compiled reader of bundles and writer of batches promise: the bytes and the meaning of `noc/wire.py`, and no step
outside the buffer, whatever stands in it.

Each message ends where a page begins that cannot be touched, so a byte too far ends the process.
"""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compute.bound_calls import bytes_at, carray
from models.compute.compiling import compiled
from models.network import Field
from noc.packet import FLAGS, KINDS, PROBE, READ, VALID, Batch, Bundle, Section, Transfer
from noc.wire import WireError, decode, encode
from pe import msgpack_codec
from pe.bound_tick import encode_name
from pe.sram import Arena, Region, SramSize

LEDGER_BYTES = 28  # of seven counts
LIMIT = 1 << 62
MOST_SECTIONS = 20  # that these tests' reader has room for
WRITTEN = 11  # columns of a section that is written: three numbers, then address and bytes of keys, values, ledger and lanes
NAMES = ["PE(1,1,0)@0", "DRAM@0", "host", "PE(7,6,3)@123456789"]
OWN = "PE(1,1,1)@0"
ROWS, ROOM = 4, 64  # of the inbox that transfers are read into
patient = settings(deadline=None, max_examples=60)


@compiled
def read_at(address, size, sections):
    return msgpack_codec.read_bundle(carray(bytes_at(address), (size,)), sections)


@compiled
def write_at(address, size, tick, stands, sections):
    out = carray(bytes_at(address), (size,))
    at = msgpack_codec.put_head(out, tick, stands, sections.shape[0])
    for i in range(sections.shape[0]):
        s = sections[i]
        at = msgpack_codec.put_section(out, at, s[0], s[1], s[2], s[3], s[4], s[5], s[6])
        at = msgpack_codec.put_bin(out, at, s[7], s[8])
        at = msgpack_codec.put_bin(out, at, s[9], s[10])
    return at


@compiled
def write_transfers_at(address, size, at, rows, names, own, data):
    out = carray(bytes_at(address), (size,))
    at = msgpack_codec.put_count(out, at, rows.shape[0])
    for i in range(rows.shape[0]):
        at = msgpack_codec.put_transfer(out, at, rows[i], own, names[rows[i, 1]], data + rows[i, 5])
    return at


@compiled
def read_transfers_at(address, size, rows, names, own, sections, inbox, room):
    raw = carray(bytes_at(address), (size,))
    tick, _, _, at = msgpack_codec.read_bundle(raw, sections)
    if tick < 0:
        return -3
    if msgpack_codec.has_no_transfers(raw, at):
        return 0
    return msgpack_codec.read_transfers(raw, at, rows, names, names.shape[0], own, room, inbox, 0)


@cache
def at_the_edge(size):
    """Return `size` bytes (uint8) that end at a page that cannot be touched."""
    region = Region("bytes", 0, size, "variables", Field("bytes", (size,), "|u1", "variables"))
    return Arena([region], SramSize(size, size, 0, 0)).views["bytes"]


def read(raw, most=MOST_SECTIONS):
    """Return what the compiled reader makes of `raw`, as a Bundle without ledgers; None where it leaves it to the wire. Those
    with transfers are none of this reader's.
    """
    here = at_the_edge(max(len(raw), 1))[: len(raw)] if raw else at_the_edge(1)[1:]
    here[:] = np.frombuffer(raw, np.uint8) if raw else 0
    table = np.full((most + 1, msgpack_codec.COLUMNS), -7, np.int64)
    tick, passed, count, at = read_at(here.ctypes.data, len(raw), table[:most])
    assert (table[most] == -7).all()
    if tick < 0:
        assert count == 0
        return None
    if raw[at:] != b"\x90":
        return None
    return Bundle(tick, tuple(_section(raw, row) for row in table[:count].tolist()), passed=passed)


def _section(raw, row):
    c = msgpack_codec
    keys, values, lanes = (
        raw[row[begin] : row[begin] + row[size]]
        for begin, size in ((c.KEYS, c.KEYS_BYTES), (c.VALUES, c.VALUES_BYTES), (c.LANES, c.LANES_BYTES))
    )
    return Section(row[c.POPULATION], row[c.FLAGS], row[c.POSITION], keys, values, b"", lanes)


def without_ledgers(bundle):
    return bundle._replace(sections=tuple(section._replace(ledger=b"") for section in bundle.sections))


def agrees(raw):
    """What the compiled reader accepts is a bundle with this content; what our own encoder would write is accepted."""
    have = read(raw)
    try:
        need = decode(raw)
    except WireError:
        need = None
    if have is not None and need is None:  # bytes of keys and values that do not match, which a PE sees by the population
        assert any(_is_odd(section) for section in have.sections)
    elif have is not None:
        assert type(need) is Bundle
        assert have == without_ledgers(need)
    elif type(need) is Bundle and len(need.sections) <= MOST_SECTIONS:
        assert encode(need) != raw
    return have is not None


def _is_odd(section):
    keys, values = len(section.keys), len(section.values)
    return bool(keys & 3 or (keys and 4 * values not in (0, keys, 2 * keys, 4 * keys)))


# every length of a msgpack number and of a bin's head
numbers = st.sampled_from([n + d for n in (0, 1 << 7, 1 << 8, 1 << 16, 1 << 32, LIMIT) for d in (-1, 0)]).filter(
    lambda n: 0 <= n < LIMIT
) | st.integers(0, LIMIT - 1)
events = st.integers(0, 5) | st.sampled_from([63, 64, 65, 16_383, 16_384])


@st.composite
def sections(draw):
    size = 4 * draw(events)
    seed = draw(st.binary(min_size=1, max_size=8))
    keys = (seed * (size // len(seed) + 1))[:size]
    ledger, lanes = draw(st.sampled_from([0, 1, 2, 9])) * LEDGER_BYTES, draw(st.sampled_from([b"", b"abc", bytes(range(48))]))
    item = draw(st.sampled_from([0, 1, 2, 4]))
    keys, values = (keys, keys[::-1][: item * size // 4]) if draw(st.booleans()) else (b"", keys)  # by key, or dense
    return Section(draw(numbers), draw(st.integers(0, FLAGS)), draw(numbers), keys, values, bytes(range(ledger)), lanes)


def messages(kind, most=3):
    return st.builds(kind, numbers, st.lists(sections(), max_size=most).map(tuple), st.just(()), st.just(0) | numbers)


# --- reading ----------------------------------------------------------------------------------------------------------


@patient
@given(messages(Bundle))
def test_every_bundle_is_read_as_it_was_written(bundle):
    assert read(encode(bundle)) == without_ledgers(bundle)


@pytest.mark.parametrize("count", [0, 1, 15, 16, MOST_SECTIONS])
def test_as_many_sections_are_read_as_there_is_room_for(count):
    """A PE that holds a whole deep network hears more than 15 populations, which are written with a longer head."""
    bundle = Bundle(5, tuple(Section(n, VALID, 7, bytes(4), bytes(4), b"") for n in range(count)))
    assert read(encode(bundle), count) == bundle
    if count:
        assert read(encode(bundle), count - 1) is None


def test_bytes_with_spared_ticks_may_be_wrong_anywhere():
    raw = encode(Bundle(200, (Section(1, 7, 70_000, b"", b"", b""),), passed=300))
    accepted = [agrees(raw[:at] + bytes([byte]) + raw[at + 1 :]) for at in range(len(raw)) for byte in HEADS]
    assert 0 < sum(accepted) < len(accepted)
    assert not any(agrees(raw[:end]) for end in range(len(raw)))


def test_a_batch_is_no_bundle():
    assert read(encode(Batch(5, ()))) is None


HEADS = (*range(10), 0x7F, 0x80, *range(0x90, 0x98), 0x9F, 0xA1, *range(0xC0, 0xD4), 0xDC, 0xDD, 0xFF)
ODD = encode(Bundle(200, (Section(1, 7, 70_000, bytes(8), bytes(range(8)), bytes(LEDGER_BYTES)), Section(2, 0, 0, b"", b"", b""))))


def test_any_one_byte_may_be_wrong():
    """Every place, every head of msgpack: more lenient than the wire nowhere, and never a step outside."""
    accepted = [agrees(ODD[:at] + bytes([byte]) + ODD[at + 1 :]) for at in range(len(ODD)) for byte in HEADS]
    assert 0 < sum(accepted) < len(accepted)


def test_a_message_may_end_anywhere_and_go_on():
    for end in range(len(ODD)):
        assert read(ODD[:end]) is None
        assert agrees(ODD[:end] + ODD) is (end == 0)
    assert read(ODD + b"\0") is None


EIGHT = b"\xff" * 8
HOSTILE = st.sampled_from(
    [
        *(b"\xc6\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\xc5\xff\xff", b"\xc4\xff"),  # bins longer than all there is
        *(b"\xcf" + EIGHT, b"\xcf\x80" + bytes(7), b"\xcf\x40" + bytes(7), b"\xd3" + EIGHT),  # numbers from 2**62, or below 0
        *(b"\xdc\xff\xff", b"\xdc\0\1", b"\xdd\xff\xff\xff\xff", b"\xcc\0", b"\xcd\0\1", b"\xc0"),  # other forms and types
    ]
)


@st.composite
def damaged(draw):
    """A bundle's bytes, cut, lengthened, overwritten or with lengths and numbers of other forms in between."""
    raw = encode(draw(messages(Bundle, 2)))[:400]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(raw)))
        new = draw(st.binary(max_size=4) | HOSTILE)
        raw = raw[:place] + new + raw[place + draw(st.integers(0, 6)) :]
    return raw


@settings(patient, max_examples=200)
@given(damaged() | st.binary(max_size=40).map(lambda tail: b"\x94\1" + tail))
def test_what_is_read_is_what_the_wire_reads(raw):
    agrees(raw)


# --- writing ----------------------------------------------------------------------------------------------------------


@patient
@given(messages(Batch) | st.integers(14, 18).map(lambda n: Batch(n, (Section(n, 0, 0, b"", b"", b""),) * n)))
def test_every_batch_is_written_as_the_wire_writes_it_within_the_stated_room(batch):
    batch = batch._replace(transfers=())
    loads = [np.frombuffer(s.keys + s.values + s.ledger + s.lanes, np.uint8) for s in batch.sections]
    table = np.zeros((len(loads), WRITTEN), np.int64)
    for row, s, load in zip(table, batch.sections, loads, strict=True):
        row[:3], at = (s.population, s.flags, s.position), load.ctypes.data
        for column, part in zip((3, 5, 7, 9), (s.keys, s.values, s.ledger, s.lanes), strict=True):
            row[column], row[column + 1], at = at, len(part), at + len(part)
    room = msgpack_codec.MOST_HEAD_BYTES + sum(msgpack_codec.MOST_SECTION_BYTES + load.size for load in loads)
    out = at_the_edge(room)
    size = write_at(out.ctypes.data, room, batch.tick, batch.stands, table)
    assert out[:size].tobytes() + b"\x90" == encode(batch)


# --- transfers --------------------------------------------------------------------------------------------------------


def name_rows(names):
    rows = np.zeros((len(names), msgpack_codec.NAME_BYTES), np.uint8)
    for row, name in zip(rows, names, strict=True):
        raw = encode_name(name)
        row[: len(raw)] = np.frombuffer(raw, np.uint8)
    return rows


words = st.sampled_from([0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1]) | st.integers(0, (1 << 32) - 1)


@st.composite
def transfers(draw, sources=NAMES, targets=(OWN,), most=ROWS):
    out = []
    for _ in range(draw(st.integers(0, most))):
        kind, data = draw(st.sampled_from(KINDS)), draw(st.binary(max_size=16))
        size = draw(st.integers(0, 1000)) if kind == READ else len(data)
        source, target = draw(st.sampled_from(sources)), draw(st.sampled_from(targets))
        out.append(Transfer(kind, source, target, draw(words), draw(words), size, b"" if kind == READ else data))
    return tuple(out)


def read_transfers(raw, rows=ROWS, room=ROOM):
    """Return the transfers of a bundle as the compiled reader finds them, or why not."""
    here, names, own = at_the_edge(len(raw)), name_rows(NAMES), name_rows([OWN])[0]
    here[:] = np.frombuffer(raw, np.uint8)
    table, inbox = np.zeros((rows, 6), np.uint32), np.full(room + 8, 7, np.uint8)
    sections = np.zeros((MOST_SECTIONS, msgpack_codec.COLUMNS), np.int64)
    count = read_transfers_at(here.ctypes.data, len(raw), table, names, own, sections, inbox.ctypes.data, room)
    assert (inbox[room:] == 7).all()
    if count < 0:
        return count
    return tuple(
        Transfer(kind, NAMES[peer], OWN, number, address, size, inbox[at : at + size].tobytes())
        for kind, peer, number, address, size, at in table[:count].tolist()
    )


@patient
@given(messages(Bundle, 2), transfers())
def test_every_transfer_from_a_peer_is_read_as_it_was_written(bundle, sent):
    sent = tuple(one for one in sent if one.kind not in (READ, PROBE))  # those go to DRAMs, never to a PE
    assert read_transfers(encode(bundle._replace(transfers=sent))) == sent


@patient
@given(transfers(sources=[OWN], targets=NAMES))
def test_every_transfer_is_written_as_the_wire_writes_it_within_the_stated_room(sent):
    data, rows = np.zeros(len(sent) * 16 + 1, np.uint8), np.zeros((len(sent), 6), np.int64)
    for i, one in enumerate(sent):
        rows[i] = one.kind, NAMES.index(one.target), one.number, one.address, one.size_bytes, 16 * i
        data[16 * i : 16 * i + len(one.data)] = np.frombuffer(one.data, np.uint8)
    room = 3 + sum(msgpack_codec.MOST_TRANSFER_HEAD_BYTES + len(one.data) for one in sent)
    out = at_the_edge(room)
    size = write_transfers_at(out.ctypes.data, room, 0, rows, name_rows(NAMES), name_rows([OWN])[0], data.ctypes.data)
    head = encode(Batch(0, ()))[:-1]
    assert head + out[:size].tobytes() == encode(Batch(0, (), sent))


def a_transfer(**changes):
    return Transfer(2, NAMES[0], OWN, 1, 2, 3, b"abc")._replace(**changes)


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        ((a_transfer(source="PE(1,1,2)@0"),), msgpack_codec.UNREADABLE_TRANSFERS),
        ((a_transfer(target=NAMES[0]),), msgpack_codec.UNREADABLE_TRANSFERS),
        ((a_transfer(number=1 << 32),), msgpack_codec.UNREADABLE_TRANSFERS),
        ((a_transfer(address=1 << 32),), msgpack_codec.UNREADABLE_TRANSFERS),
        ((a_transfer(kind=READ, data=b""),), msgpack_codec.UNREADABLE_TRANSFERS),
        ((a_transfer(),) * (ROWS + 1), msgpack_codec.FULL),
        ((a_transfer(size_bytes=ROOM + 1, data=bytes(ROOM + 1)),), msgpack_codec.FULL),
        ((a_transfer(size_bytes=ROOM, data=bytes(ROOM)),), None),
        ((a_transfer(size_bytes=ROOM - 3, data=bytes(ROOM - 3)), a_transfer(size_bytes=1, data=b"a")), msgpack_codec.FULL),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_for_others_or_too_much_is_not_taken(sent, why):
    assert read_transfers(encode(Bundle(5, (), sent))) == (sent if why is None else why)


def test_transfers_may_end_anywhere_and_have_any_one_byte_wrong():
    raw = encode(Bundle(5, (), (a_transfer(), a_transfer(source=NAMES[3], number=70_000))))
    for end in range(len(raw)):
        assert not isinstance(read_transfers(raw[:end]), tuple)
    taken = 0
    for at in range(len(raw)):
        for byte in HEADS:
            damaged_raw = raw[:at] + bytes([byte]) + raw[at + 1 :]
            got = read_transfers(damaged_raw)
            if isinstance(got, tuple):
                taken += 1
                assert got == decode(damaged_raw).transfers
    assert 0 < taken < len(raw) * len(HEADS)
