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
from noc.packet import FLAGS, LEDGER, VALID, Batch, Bundle, Section
from noc.wire import WireError, decode, encode
from pe import msgpack_codec
from pe.sram import Arena, Region, SramSize

LEDGER_BYTES = 4 * len(LEDGER)
LIMIT = 1 << 62
MOST_SECTIONS = 20  # that these tests' reader has room for
WRITTEN = 8  # columns of a section that is written: population, flags, position, keys, values, events, ledger, its bytes
patient = settings(deadline=None, max_examples=60)


@compiled
def read_at(address, size, sections):
    return msgpack_codec.read_bundle(carray(bytes_at(address), (size,)), sections)


@compiled
def write_at(address, size, tick, sections):
    out = carray(bytes_at(address), (size,))
    at = msgpack_codec.put_head(out, tick, sections.shape[0])
    for i in range(sections.shape[0]):
        s = sections[i]
        at = msgpack_codec.put_section(out, at, s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])
    return at


@cache
def at_the_edge(size):
    """Return `size` bytes (uint8) that end at a page that cannot be touched."""
    region = Region("bytes", 0, size, "variables", Field("bytes", (size,), "|u1", "variables"))
    return Arena([region], SramSize(size, size, 0, 0)).views["bytes"]


def read(raw, most=MOST_SECTIONS):
    """Return what the compiled reader makes of `raw`, as a Bundle without ledgers; None where it leaves it to the wire."""
    here = at_the_edge(max(len(raw), 1))[: len(raw)] if raw else at_the_edge(1)[1:]
    here[:] = np.frombuffer(raw, np.uint8) if raw else 0
    table = np.full((most + 1, msgpack_codec.COLUMNS), -7, np.int64)
    tick, count = read_at(here.ctypes.data, len(raw), table[:most])
    assert (table[most] == -7).all()
    if tick < 0:
        assert count == 0
        return None
    return Bundle(tick, tuple(_section(raw, row) for row in table[:count].tolist()))


def _section(raw, row):
    size = 4 * row[msgpack_codec.EVENTS]
    keys, values = (raw[begin : begin + size] for begin in (row[msgpack_codec.KEYS], row[msgpack_codec.VALUES]))
    assert len(keys) == len(values) == size
    return Section(row[msgpack_codec.POPULATION], row[msgpack_codec.FLAGS], row[msgpack_codec.POSITION], keys, values, b"")


def without_ledgers(bundle):
    return bundle._replace(sections=tuple(section._replace(ledger=b"") for section in bundle.sections))


def agrees(raw):
    """What the compiled reader accepts is a bundle with this content; what our own encoder would write is accepted."""
    have = read(raw)
    try:
        need = decode(raw)
    except WireError:
        need = None
    if have is not None:
        assert type(need) is Bundle
        assert have == without_ledgers(need)
    elif type(need) is Bundle and len(need.sections) <= MOST_SECTIONS:
        assert encode(need) != raw
    return have is not None


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
    ledger = draw(st.sampled_from([0, 1, 2, 9])) * LEDGER_BYTES
    return Section(draw(numbers), draw(st.integers(0, FLAGS)), draw(numbers), keys, keys[::-1], bytes(range(ledger)))


def messages(kind, most=3):
    return st.builds(kind, numbers, st.lists(sections(), max_size=most).map(tuple))


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
@given(damaged() | st.binary(max_size=40).map(lambda tail: b"\x93\1" + tail))
def test_what_is_read_is_what_the_wire_reads(raw):
    agrees(raw)


# --- writing ----------------------------------------------------------------------------------------------------------


@patient
@given(messages(Batch) | st.integers(14, 18).map(lambda n: Batch(n, (Section(n, 0, 0, b"", b"", b""),) * n)))
def test_every_batch_is_written_as_the_wire_writes_it_within_the_stated_room(batch):
    loads = [np.frombuffer(s.keys + s.values + s.ledger, np.uint8) for s in batch.sections]
    table = np.zeros((len(loads), WRITTEN), np.int64)
    for row, s, load in zip(table, batch.sections, loads, strict=True):
        keys, size = load.ctypes.data, len(s.keys)
        row[:] = s.population, s.flags, s.position, keys, keys + size, size // 4, keys + 2 * size, len(s.ledger)
    room = msgpack_codec.MOST_HEAD_BYTES + sum(msgpack_codec.MOST_SECTION_BYTES + load.size for load in loads)
    out = at_the_edge(room)
    size = write_at(out.ctypes.data, room, batch.tick, table)
    assert out[:size].tobytes() == encode(batch)
