"""What the wire promises: every message survives it, and any other bytes are refused with WireError and nothing else."""

import struct
import tracemalloc
from typing import get_args

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc import packet as p
from noc.wire import WireError, decode, encode, pack_status, unpack_status

LEDGER_BYTES = 28  # of a record of seven counts
TICK_LIMIT = 1 << 62
LOADED = b"\x92" + encode(p.Loaded([]))[1:2]  # how a message begins that takes a list of whatever shape
patient = settings(deadline=None, max_examples=40)

ticks = st.integers(0, TICK_LIMIT - 1)
numbers = st.integers(-(1 << 63), (1 << 64) - 1)  # what a msgpack integer can hold
names = st.text(max_size=20)
keys = names | st.integers(-(1 << 63), (1 << 63) - 1)
plain = st.none() | st.booleans() | numbers | st.floats(allow_nan=False) | names | st.binary(max_size=40)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12)
lists, dicts = st.lists(values, max_size=4), st.dictionaries(keys, values, max_size=4)


masks = st.sampled_from([0, 3, 6]).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def packed(size):
    return st.binary(min_size=size, max_size=size)


def section(events, records):
    flags = st.integers(0, p.FLAGS)
    values = st.sampled_from([0, 1, 2, 4]).flatmap(lambda size: packed(size * events))  # a spike, int8, a count, float32 or int32
    dense = st.builds(p.Section, ticks, flags, ticks, st.just(b""), st.binary(max_size=40), packed(LEDGER_BYTES * records), masks)
    return st.builds(p.Section, ticks, flags, ticks, packed(4 * events), values, packed(LEDGER_BYTES * records), masks) | dense


@st.composite
def transfers(draw):
    kind, data = draw(st.sampled_from(p.KINDS)), draw(st.binary(max_size=40))
    size = draw(st.integers(0, p.MOST_TRANSFER_BYTES)) if kind == p.READ else len(data)
    number, address = draw(ticks), draw(ticks)
    return p.Transfer(kind, draw(names), draw(names), number, address, size, b"" if kind == p.READ else data)


def relay(tick, streams, sent):
    return p.Relay(tick, [[chip, routed] for chip, routed, _ in streams], tuple(part for _, _, part in streams), sent)


sections = st.builds(section, st.integers(0, 5), st.integers(0, 2)).flatmap(lambda one: one)
sent = st.lists(transfers(), max_size=2).map(tuple)
spared = st.just(0) | ticks
ANY = {
    p.Batch: st.builds(p.Batch, ticks, st.lists(sections, max_size=3).map(tuple), sent, spared),
    p.Bundle: st.builds(p.Bundle, ticks, st.lists(sections, max_size=3).map(tuple), sent, spared),
    p.Relay: st.builds(relay, ticks, st.lists(st.tuples(ticks, st.integers(0, 1), sections), max_size=3), sent),
    p.Linked: st.builds(p.Linked),
    p.Letter: st.builds(p.Letter, names, st.binary(max_size=100)),
    p.Configure: st.builds(p.Configure, numbers, dicts, dicts, lists, lists, dicts, numbers, lists, numbers),
    p.Configured: st.builds(p.Configured),
    p.Hello: st.builds(p.Hello, numbers),
    p.Load: st.builds(p.Load, lists, dicts, dicts, dicts, lists, numbers),
    p.Carry: st.builds(p.Carry, st.binary(max_size=20), st.binary(max_size=100)),
    p.Again: st.builds(p.Again, numbers),
    p.Loaded: st.builds(p.Loaded, lists),
    p.Start: st.builds(p.Start),
    p.Read: st.builds(p.Read, numbers),
    p.Reading: st.builds(p.Reading, dicts),
    p.Query: st.builds(p.Query),
    p.StallReport: st.builds(p.StallReport, numbers, lists),
    p.Stop: st.builds(p.Stop),
    p.Stopped: st.builds(p.Stopped),
    p.Fault: st.builds(p.Fault, names),
    p.Hand: st.builds(p.Hand, names, names),
    p.Recall: st.builds(p.Recall, numbers, numbers, numbers, st.binary(max_size=40), st.binary(max_size=40)),
    p.Fill: st.builds(p.Fill, numbers, st.binary(max_size=40)),
    p.Filled: st.builds(p.Filled, numbers),
    p.Save: st.builds(p.Save, numbers),
    p.Peek: st.builds(p.Peek, numbers, numbers),
    p.Peeked: st.builds(p.Peeked, numbers, st.binary(max_size=40)),
    p.Snapshot: st.builds(p.Snapshot, numbers, st.binary(max_size=40), st.binary(max_size=40), lists),
}
messages = st.one_of(*ANY.values())


def is_harmless(raw):
    """The bytes decode to a message, which can be sent on, or are refused with one line: nothing else happens."""
    try:
        message = decode(raw)
    except WireError as error:
        assert len(str(error).splitlines()) == 1
        return
    assert type(message) in ANY
    assert encode(decode(encode(message))) == encode(message)  # bytes, because a NaN is not equal to itself


def refused(parts, *words):
    """These msgpack parts are no message, and the refusal holds all the words."""
    with pytest.raises(WireError) as caught:
        decode(msgpack.packb(parts))
    for word in words:
        assert word in str(caught.value)


# --- messages ---------------------------------------------------------------------------------------------------------


def test_every_kind_of_message_is_tested_here():
    assert set(get_args(p.Message)) == set(ANY)


@pytest.mark.few(12)
@pytest.mark.parametrize("kind", ANY, ids=lambda kind: kind.__name__)
@settings(patient, max_examples=25)
@given(st.data())
def test_a_message_survives_the_wire(kind, data):
    message = data.draw(ANY[kind])
    again = decode(encode(message))
    assert type(again) is kind
    assert again == message


def test_events_travel_as_raw_bytes():
    """Not as lists of numbers: the arrays stand in the message as they are."""
    keys_bytes, value_bytes, ledger = bytes(range(8)), bytes(range(100, 108)), bytes(range(LEDGER_BYTES))
    raw = encode(p.Batch(3, (p.Section(1, 1, 2, keys_bytes, value_bytes, ledger),)))
    for part in (keys_bytes, value_bytes, ledger):
        assert part in raw
    assert len(raw) < 20 + LEDGER_BYTES + 8 + 8


def test_the_bits_of_a_nan_survive():
    nan = struct.pack("<I", 0x7FC12345)
    message = decode(encode(p.Bundle(0, (p.Section(1, 1, 0, b"\0\0\0\0", nan, b""),))))
    assert message.sections[0].values == nan


def test_a_message_that_could_not_be_packed_leaves_nothing_behind_for_the_next():
    with pytest.raises(TypeError):
        encode(p.Reading({"half packed": [1, 2, {3}]}))
    assert decode(encode(p.Fault("whole"))) == p.Fault("whole")


@patient
@given(st.dictionaries(names, values, max_size=5))
def test_a_status_record_survives_its_pipe(status):
    assert unpack_status(pack_status(status)) == status


# --- anything else ----------------------------------------------------------------------------------------------------


@settings(patient, max_examples=150)
@given(st.binary(max_size=200))
def test_random_bytes_are_harmless(raw):
    is_harmless(raw)


@settings(patient, max_examples=100)
@given(values)
def test_any_msgpack_is_harmless(value):
    is_harmless(msgpack.packb(value))


@settings(patient, max_examples=150)
@given(st.integers(-1, len(ANY)), lists)
def test_any_fields_behind_any_code_are_harmless(code, fields):
    is_harmless(msgpack.packb([code, *fields]))


@patient
@given(messages, st.data())
def test_a_truncated_message_is_refused(message, data):
    raw = encode(message)
    with pytest.raises(WireError):
        decode(raw[: data.draw(st.integers(0, len(raw) - 1))])


@patient
@given(messages, st.binary(min_size=1, max_size=4))
def test_bytes_behind_a_message_are_refused(message, tail):
    with pytest.raises(WireError):
        decode(encode(message) + tail)


@settings(patient, max_examples=200)
@given(messages, st.data())
def test_flipped_bits_are_harmless(message, data):
    raw = bytearray(encode(message))
    for bit in data.draw(st.lists(st.integers(0, 8 * len(raw) - 1), min_size=1, max_size=4)):
        raw[bit // 8] ^= 1 << bit % 8
    is_harmless(bytes(raw))


@pytest.mark.few(6)
@pytest.mark.parametrize("opener", [b"\x91", b"\x81\x00", b"\x92\x00", b"\xdc\x00\x01", b"\xc7\x00\x05"])
@pytest.mark.parametrize("depth", [10, 500, 1022, 100_000])
def test_nesting_is_harmless(opener, depth):
    is_harmless(opener * depth)
    is_harmless(opener * depth + b"\xc0")
    is_harmless(LOADED + opener * depth + b"\xc0")


@pytest.mark.parametrize("opener", [b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"], ids=["array", "map", "str", "bin", "ext"])
@pytest.mark.parametrize("declared", [1 << 16, 1 << 28, (1 << 32) - 1])
def test_a_huge_declared_length_is_refused_without_allocating_it(opener, declared):
    raw = LOADED + opener + struct.pack(">I", declared) + b"\xc0" * 100
    decode_twice = [raw, raw[2:]]
    tracemalloc.start()
    try:
        for bomb in decode_twice:
            with pytest.raises(WireError):
                decode(bomb)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "bad", [b"\x81\x90\x01", b"\x81\x80\x01", b"\xa1\xff", b"\xc7\x0c\xff" + b"\xff" * 12, b"\xc1"], ids=bytes.hex
)
def test_what_msgpack_trips_over_is_refused(bad):
    """Keys that cannot be keys, text that is no UTF-8, a time that never was, a byte that is never used."""
    for raw in (bad, b"\x91" + bad, LOADED + b"\x91" + bad, encode(p.Reading({}))[:-1] + bad):
        with pytest.raises(WireError):
            decode(raw)


def test_nested_lengths_are_refused():
    """Each level declares as much as the message is long."""
    size = 20_000
    for opener in (b"\xdd", b"\xdf"):
        with pytest.raises(WireError):
            decode((opener + struct.pack(">I", size)) * 500 + b"\xc0" * size)


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", b"bytes", {}, []], ids=repr)
def test_what_is_no_list_with_a_code_is_no_message(value):
    refused(value, "no message")


@pytest.mark.parametrize("code", [-1, len(ANY), 1 << 40, True, 0.0])
def test_an_unknown_code_is_refused(code):
    refused([code, "", b""], "no message")


@pytest.mark.parametrize(
    ("message", "bad"),
    [
        (p.Hello(1), [True]),
        (p.Hello(1), ["1"]),
        (p.Hello(1), []),
        (p.Hello(1), [1, 1]),
        (p.Read(1), []),
        (p.Read(1), [1.0]),
        (p.Read(1), [True]),
        (p.Linked(), [1]),
        (p.Linked(), [[]]),
        (p.Letter("a", b"b"), ["a", "b"]),
        (p.Letter("a", b"b"), [b"a", b"b"]),
        (p.Fault("why"), [b"why"]),
        (p.Stop(), [None]),
        (p.StallReport(1, []), [1.0, []]),
        (p.Reading({}), [[]]),
    ],
)
def test_a_field_of_another_type_is_refused_by_kind(message, bad):
    code = msgpack.unpackb(encode(message))[0]
    refused([code, *bad], type(message).__name__, "needs fields")


# --- sections ---------------------------------------------------------------------------------------------------------

GOOD = p.Section(1, p.VALID, 0, keys=b"\0" * 8, values=b"\0" * 8, ledger=b"\0" * LEDGER_BYTES)._asdict()


@pytest.mark.few(12)
@pytest.mark.parametrize("kind", [p.Batch, p.Bundle, p.Relay])
@pytest.mark.parametrize(
    "bad",
    [
        {"keys": b"\0" * 7, "values": b"\0" * 7},
        {"values": b"\0" * 6},
        {"values": b"\0" * 16},
        {"lanes": None},
        {"lanes": 0},
        {"keys": "\0" * 8},
        {"values": [0, 0]},
        {"ledger": None},
        {"population": -1},
        {"population": 1 << 62},
        {"population": True},
        {"position": -1},
        {"position": 1 << 62},
        {"position": 0.0},
        {"flags": -1},
        {"flags": p.FLAGS + 1},
    ],
    ids=str,
)
def test_a_section_that_does_not_match_is_refused(kind, bad):
    heads = [[[3, 1]]] if kind is p.Relay else []
    good = kind(0, *heads, (p.Section(**GOOD),))
    code = msgpack.unpackb(encode(good))[0]
    assert decode(msgpack.packb([code, 0, *heads, [list(GOOD.values())], []])) == good
    refused([code, 0, *heads, [list((GOOD | bad).values())], []], kind.__name__)


@pytest.mark.parametrize("kind", [p.Batch, p.Bundle])
@pytest.mark.parametrize(
    "bad",
    [
        *([0, []], [-1, [], []], [1 << 62, [], []], [True, [], []], ["0", [], []]),
        *([0, {}, []], [0, None, []], [0, [], 0], [0, [], {}]),
        *([spared, [], []] for spared in ([], [1], [0, 0], [-1, 0], [1 << 62, 0], [True, 0], [1, -1], [1, [1, 0]], [1, 0, 0])),
    ],
    ids=str,
)
def test_a_batch_needs_a_tick_and_sections(kind, bad):
    code = msgpack.unpackb(encode(kind(0, ())))[0]
    refused([code, *bad], kind.__name__)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [0],
        [0, [[3, 1]]],
        [0, [], []],
        [-1, [[3, 1]], [list(GOOD.values())], []],
        [1 << 62, [[3, 1]], [list(GOOD.values())], []],
        [True, [[3, 1]], [list(GOOD.values())], []],
        [0, [[3, 1]], [], []],
        [0, [], [list(GOOD.values())], []],
        [0, [[3, 1], [4, 1]], [list(GOOD.values())], []],
        [0, {}, [], []],
        [0, [], [], 0],
    ],
    ids=lambda bad: str(bad)[:30],
)
def test_a_relay_needs_a_tick_and_a_head_for_each_section(bad):
    code = msgpack.unpackb(encode(p.Relay(0, [], ())))[0]
    refused([code, *bad], "Relay")


@pytest.mark.parametrize(
    "bad", [[], [3], [3, 1, 0], [-1, 1], [1 << 62, 1], [3, 2], [3, -1], [3, True], ["3", 1], [3.0, 1], 3, {}], ids=str
)
def test_a_head_is_a_chip_and_whether_packets_travel(bad):
    code = msgpack.unpackb(encode(p.Relay(0, [], ())))[0]
    refused([code, 0, [bad], [list(GOOD.values())], []], "Relay", "head")


@pytest.mark.parametrize("bad", [[], [[]], [1, 2, 3], list(GOOD.values())[:6], [*GOOD.values(), 0], {}], ids=str)
def test_a_section_needs_its_seven_fields(bad):
    refused([0, 0, [bad], []], "Batch", "section")


@patient
@given(st.integers(0, 40), st.integers(0, 160), st.integers(0, 80))
def test_lengths_of_keys_and_values_agree(keys_size, values_size, ledger_size):
    """A value has 0, 1, 2 or 4 bytes; values without keys are those of a dense population."""
    parts = [1, 0, 0, bytes(keys_size), bytes(values_size), bytes(ledger_size), b""]
    raw = msgpack.packb([1, 0, [parts], []])
    if keys_size % 4 == 0 and (not keys_size or values_size in [size * keys_size // 4 for size in (0, 1, 2, 4)]):
        assert decode(raw) == p.Bundle(0, (p.Section(*parts),))
    else:
        with pytest.raises(WireError):
            decode(raw)


# --- transfers --------------------------------------------------------------------------------------------------------

A_WRITE = p.Transfer(p.WRITE, "PE(1,1,0)@0", "DRAM@0", number=3, address=1024, size_bytes=2, data=b"ab")._asdict()


@pytest.mark.few(12)
@pytest.mark.parametrize("kind", [p.Batch, p.Bundle, p.Relay])
@pytest.mark.parametrize(
    "bad",
    [
        {"kind": -1}, {"kind": len(p.KINDS)}, {"kind": True}, {"source": 0}, {"target": b"DRAM@0"}, {"number": -1},
        {"number": 1 << 62}, {"address": -1}, {"address": 1 << 62}, {"size_bytes": 1}, {"size_bytes": -1}, {"data": ""},
        {"data": b"abc"}, {"kind": p.READ},
        {"kind": p.READ, "data": b"", "size_bytes": p.MOST_TRANSFER_BYTES + 1},
        {"data": bytes(p.MOST_TRANSFER_BYTES + 1), "size_bytes": p.MOST_TRANSFER_BYTES + 1},
    ],
    ids=lambda bad: str(bad)[:40],
)  # fmt: skip
def test_a_transfer_that_does_not_match_is_refused(kind, bad):
    heads = [[]] if kind is p.Relay else []
    good = kind(0, *heads, (), (p.Transfer(**A_WRITE),))
    code = msgpack.unpackb(encode(good))[0]
    assert decode(msgpack.packb([code, 0, *heads, [], [list(A_WRITE.values())]])) == good
    refused([code, 0, *heads, [], [list((A_WRITE | bad).values())]], kind.__name__, "transfer")


@pytest.mark.parametrize("bad", [[], [[]], {}, 1, list(A_WRITE.values())[:6], [*A_WRITE.values(), 0]], ids=str)
def test_a_transfer_needs_its_seven_fields(bad):
    refused([0, 0, [], [bad]], "Batch", "transfer")


def test_a_tick_without_transfers_says_so_in_one_byte():
    bare = encode(p.Bundle(7, ()))
    assert bare == msgpack.packb([1, 7, [], []])
