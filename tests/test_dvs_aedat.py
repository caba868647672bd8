"""AEDAT 3.1: what the format's description says is read; what a damaged file holds before the damage is kept."""

from __future__ import annotations

import os
import struct
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dvs.aedat import MOST_EVENTS, read_aedat, write_aedat
from models.dvs.samples import DvsError, Events
from tests.tools.dvs_bytes import FRAME, HEADER, IMU6, SPECIAL, aedat, equal_events, event, no_events, packet

START = len(HEADER)
PACKET = 28
TWO = packet(event(10, 1, 2, 1) + event(25, 127, 0, 0))
LATER = packet(event(30, 1, 2, 1) + event(45, 127, 0, 0))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("aedat") / "user01_led.aedat"


def read(path, raw):
    path.write_bytes(raw)
    return read_aedat(path)


def rows(recording):
    """Events as tuples of time, x, y, polarity."""
    return [tuple(int(v) for v in row) for row in zip(*recording.events, strict=True)]


def only_damage(recording):
    (damage,) = recording.damages
    assert "\n" not in str(damage)
    assert damage.file in str(damage)
    assert f"byte {damage.offset}" in str(damage)
    return damage


# --- whole files ------------------------------------------------------------------------------------------------------


def test_polarity_events_of_all_packets_are_read_in_order(path):
    recording = read(path, aedat(TWO, packet(event(25, 3, 4, 0))))
    assert rows(recording) == [(10, 1, 2, 1), (25, 127, 0, 0), (25, 3, 4, 0)]
    assert [part.dtype.name for part in recording.events] == ["int64", "uint8", "uint8", "bool"]
    assert recording.whole
    assert not recording.damages


def test_a_file_without_packets_holds_no_events(path):
    recording = read(path, HEADER)
    assert rows(recording) == []
    assert recording.whole


def test_lines_of_the_header_may_end_without_a_carriage_return(path):
    assert rows(read(path, aedat(TWO, header=HEADER.replace(b"\r\n", b"\n")))) == rows(read(path, aedat(TWO)))


def test_packets_of_other_types_are_skipped(path):
    others = [packet(b"#" * 16, SPECIAL), packet(b"x" * 500, FRAME, event_bytes=500), packet(b"", IMU6, event_bytes=36)]
    assert rows(read(path, aedat(others[0], TWO, others[1], others[2], TWO))) == [
        (10, 1, 2, 1), (10, 1, 2, 1), (25, 127, 0, 0), (25, 127, 0, 0),
    ]  # fmt: skip


def test_events_marked_invalid_are_left_out_without_a_word(path):
    recording = read(path, aedat(packet(event(1, 5, 5, valid=0) + event(2, 6, 6), valid=1)))
    assert rows(recording) == [(2, 6, 6, 1)]
    assert not recording.damages


def test_the_overflow_count_of_a_packet_extends_its_times_to_62_bits(path):
    top = 2**31 - 1
    recording = read(
        path, aedat(packet(event(top, 0, 0)), packet(event(0, 0, 0), overflow=1), packet(event(top, 0, 0), overflow=top))
    )
    assert recording.events.t_us.tolist() == [top, top + 1, 2**62 - 1]


# --- events that cannot be ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [event(5, 128, 0), event(5, 0, 128), event(5, 32767, 32767), event(-1, 0, 0)])
def test_events_outside_the_sensor_or_before_time_zero_are_left_out_counted_and_the_first_is_named(path, bad):
    recording = read(path, aedat(TWO, packet(event(30, 1, 1) + bad + bad + event(40, 2, 2))))
    assert rows(recording)[2:] == [(30, 1, 1, 1), (40, 2, 2, 1)]
    assert recording.whole
    damage = only_damage(recording)
    assert damage.offset == START + len(TWO) + PACKET + 8
    assert "2 left out" in damage.why


def test_events_earlier_than_the_one_before_move_to_their_place_and_equal_times_keep_their_order(path):
    recording = read(path, aedat(packet(event(9, 1, 0) + event(7, 2, 0)), packet(event(7, 3, 0) + event(8, 4, 0))))
    assert rows(recording) == [(7, 2, 0, 1), (7, 3, 0, 1), (8, 4, 0, 1), (9, 1, 0, 1)]
    damage = only_damage(recording)
    assert damage.offset == START + PACKET + 8
    assert "1 steps back" in damage.why


# --- files that break off -------------------------------------------------------------------------------------------------


@pytest.mark.few(12)
@pytest.mark.parametrize("missing", range(1, 2 * 8 + PACKET))
def test_a_file_cut_in_its_last_packet_keeps_every_whole_event(path, missing):
    raw = aedat(TWO, LATER)[:-missing]
    recording = read(path, raw)
    assert len(rows(recording)) == 2 + max((16 - missing) // 8, 0)
    assert not recording.whole
    damage = only_damage(recording)
    assert damage.offset == (len(raw) if missing <= 16 else START + len(TWO))


@pytest.mark.parametrize(
    "bad",
    [
        packet(b"", kind=-1),
        packet(b"", event_bytes=8, number=-1),
        packet(b"", event_bytes=8, number=2, capacity=1),
        packet(event(0, 0, 0), overflow=-1),
        packet(b"x" * 16, event_bytes=16),
        packet(event(0, 0, 0), time_at=0),
        packet(event(0, 0, 0), number=MOST_EVENTS + 1),
        struct.pack("<hhiiiiii", SPECIAL, 1, 0, 4, 0, 1, 1, 1),
    ],
)
def test_a_packet_header_that_makes_no_sense_ends_the_reading_and_what_came_before_stays(path, bad):
    recording = read(path, aedat(TWO, bad, LATER))
    assert len(rows(recording)) == 2
    assert not recording.whole
    assert only_damage(recording).offset == START + len(TWO)


@pytest.mark.parametrize(
    ("header", "offset"),
    [
        (b"", 0),
        (b"\x89PNG\r\n", 0),
        (b"#!AER-DAT4.0\r\n", 0),
        (b"#!AER-DAT2.0\r\n", 0),
        (b"#!AER-DAT3.1", 0),
        (b"#!AER-DAT3.1\r\nFormat", 14),
        (b"#!AER-DAT3.1\r\n#Format: SERIAL\r\n#!END-HEADER\r\n", 14),
        (b"#!AER-DAT3.1\r\n#Format: RAW\r\n", 28),
        (b"#!AER-DAT3.1\r\n#" + b"x" * 100_000, 14),
    ],
)
def test_a_file_of_another_kind_has_no_events_and_one_damage(path, header, offset):
    recording = read(path, header)
    assert rows(recording) == []
    assert only_damage(recording).offset == offset


def test_a_packet_that_claims_gigabytes_reserves_none(path):
    claims = [packet(b"", number=MOST_EVENTS), packet(b"", SPECIAL, event_bytes=2**31 - 1, number=2**31 - 1)]
    tracemalloc.start()
    for claim in claims:
        assert not read(path, aedat(claim)).whole
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_path_that_is_no_file_is_refused_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # would wait for a writer for ever
    for what in (tmp_path, tmp_path / "missing", tmp_path / "pipe", "a\0b"):
        with pytest.raises(DvsError, match="read_aedat") as error:
            read_aedat(what)
        assert "\n" not in str(error.value)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, START + 2 * len(TWO) - 1), byte=st.integers(0, 255))
def test_any_byte_may_be_wrong_and_reading_never_raises(path, at, byte):
    raw = bytearray(aedat(TWO, TWO))
    raw[at] = byte
    recording = read(path, bytes(raw))
    assert all(0 <= damage.offset <= len(raw) for damage in recording.damages)
    assert all(a <= b for a, b in pairwise(recording.events.t_us))
    assert all(part.size == recording.events.t_us.size <= 4 for part in recording.events)


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=300), whole_header=st.booleans())
def test_any_bytes_are_read_or_reported(path, raw, whole_header):
    recording = read(path, HEADER + raw if whole_header else raw)
    assert recording.whole or recording.damages
    if not whole_header and not raw.startswith(b"#!AER-DAT3.1"):
        assert only_damage(recording).offset == 0


# --- the writer ---------------------------------------------------------------------------------------------------------

TIMES = st.lists(st.integers(0, 2**33), max_size=60).map(sorted)


@settings(max_examples=60, deadline=None)
@given(times=TIMES, data=st.data())
def test_what_is_written_is_read_back_bit_for_bit(path, times, data):
    places = data.draw(st.lists(st.integers(0, 127), min_size=2 * len(times), max_size=2 * len(times)))
    colours = data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
    x, y = np.array(places, np.uint8).reshape(2, -1)
    events = Events(np.array(times, np.int64), x, y, np.array(colours, np.bool_))
    write_aedat(path, events)
    recording = read_aedat(path)
    assert equal_events(recording.events, events)
    assert recording.whole
    assert not recording.damages


def test_the_bytes_written_are_those_of_the_format(path):
    write_aedat(path, Events(np.array([10, 25]), np.array([1, 127], np.uint8), np.array([2, 0], np.uint8), np.array([True, False])))
    raw = path.read_bytes()
    head, _, body = raw.partition(b"#!END-HEADER\r\n")
    assert head.startswith(b"#!AER-DAT3.1\r\n#Format: RAW\r\n")
    assert body == TWO


@pytest.mark.parametrize(
    "events",
    [
        no_events()._replace(t_us=np.array([1])),
        Events(np.array([2, 1]), *np.zeros((2, 2), np.uint8), np.zeros(2, np.bool_)),
        Events(np.array([-1]), *np.zeros((2, 1), np.uint8), np.zeros(1, np.bool_)),
        Events(np.array([1]), *np.full((2, 1), 128, np.uint8), np.zeros(1, np.bool_)),
    ],
)
def test_what_the_format_cannot_hold_is_refused_before_a_file_is_there(tmp_path, events):
    with pytest.raises(DvsError, match="write_aedat: need"):
        write_aedat(tmp_path / "new.aedat", events)
    assert not (tmp_path / "new.aedat").exists()


def test_a_place_that_cannot_be_written_is_refused_in_one_line(tmp_path):
    with pytest.raises(DvsError, match="cannot be written"):
        write_aedat(tmp_path / "no" / "new.aedat", no_events())
