"""Recordings in the AEDAT 3.1 format: bytes to polarity events and back.

Written from the format's description (iniVation, "AEDAT 3.1"): text lines that begin with `#` up to `#!END-HEADER`, then
packets, each a header of 28 bytes and its events; all numbers signed and little-endian. Polarity packets are read, all
other types skipped.

What is wrong with a file never raises, it is reported with its byte offset:

* A header or packet that makes no sense, or an end inside one, ends the reading; the events before it are kept, the whole
  ones of a cut packet too. Packets carry no mark to find the next one by, so nothing after that point can be trusted.
* Events outside the sensor or before time 0 are left out and counted.
* Events that are earlier than the one before them are moved to their place in time; events of one time keep their order.

Events whose validity bit is 0 are left out and counted in `AedatFile.invalid`: that is what the bit is for.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.dvs.samples import SENSOR, Damage, DvsError, Events
from models.input_file import HEAD_BYTES, foreign_kind

VERSION = b"#!AER-DAT3.1"
END_HEADER = b"#!END-HEADER"
POLARITY = 1  # the event type of polarity packets
MOST_HEADER_BYTES = 1 << 16
MOST_EVENTS = 1 << 22  # events of one packet; recorders write some thousands

_PACKET = struct.Struct("<hhiiiiii")
_EVENT = np.dtype([("data", "<u4"), ("time", "<i4")])
_WRITTEN_EVENTS = 4096
_COORDINATE = 0x7FFF


@dataclass(frozen=True, eq=False)
class AedatFile:
    """What a file holds, and what is wrong with it."""

    events: Events
    damages: tuple[Damage, ...]
    whole: bool  # false where the reading ended before the file did
    invalid: int = 0  # events that the file itself marks as not valid


class _Packet(NamedTuple):
    offset: int
    overflow: int
    payload: bytes


class _Stop(Exception):
    """The rest of the file makes no sense: (offset, why)."""


def read_aedat(path: str | Path) -> AedatFile:
    """Return the polarity events of an AEDAT 3.1 file.

    Raises `DvsError` (one line) only where there is no file that can be read; anything wrong inside is in `damages`.
    """
    packets: list[_Packet] = []
    damages: list[Damage] = []
    try:
        with open(path, "rb", opener=_open_now) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DvsError(f"read_aedat: {str(path)!r}: need a file, have something else")
            try:
                for packet in _packets(file, status.st_size):
                    packets.append(packet)
            except _Stop as stop:
                damages.append(Damage(str(path), *stop.args))
    except OSError as error:
        raise DvsError(f"read_aedat: {str(path)!r}: cannot be read ({error.strerror or error})") from None
    except DvsError:
        raise
    except ValueError as error:  # a NUL in the path
        raise DvsError(f"read_aedat: {str(path)!r}: need the path of a file, have {error}") from None
    whole = not damages
    events, invalid = _decoded(packets, str(path), damages)
    return AedatFile(events, tuple(damages), whole, invalid)


def _open_now(path: str, flags: int) -> int:
    """Open without waiting for somebody to write into a pipe of that name."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _packets(file: BinaryIO, size: int) -> Iterator[_Packet]:
    """Yield the polarity packets; raise `_Stop` where the bytes make no sense."""
    offset = _after_header(file)
    while True:
        head = file.read(_PACKET.size)
        if not head:
            return
        if len(head) < _PACKET.size:
            raise _Stop(offset, f"need a packet header of {_PACKET.size} bytes, have {len(head)}")
        kind, _, event_bytes, time_at, overflow, capacity, number, _ = _PACKET.unpack(head)
        if kind < 0 or event_bytes < 1 or number < 0 or capacity < number or overflow < 0:
            fields = f"type {kind}, event size {event_bytes}, time overflow {overflow}, capacity {capacity}, events {number}"
            raise _Stop(offset, f"need a packet header, have {fields}")
        offset += _PACKET.size
        need, rest = number * event_bytes, size - offset
        if kind == POLARITY:
            if (event_bytes, time_at) != (_EVENT.itemsize, 4):
                where = offset - _PACKET.size
                raise _Stop(where, f"need polarity events of 8 bytes with the time at 4, have {event_bytes} and {time_at}")
            if number > MOST_EVENTS:
                raise _Stop(offset - _PACKET.size, f"need at most {MOST_EVENTS} events in a packet, have {number}")
            payload = file.read(min(need, max(rest, 0)))
            yield _Packet(offset, overflow, payload[: len(payload) // _EVENT.itemsize * _EVENT.itemsize])
            rest = len(payload)
        elif need <= rest:
            file.seek(need, os.SEEK_CUR)
        if need > rest:
            raise _Stop(offset + max(rest, 0), f"need {need} bytes of events, have {max(rest, 0)}")
        offset += need


def _after_header(file: BinaryIO) -> int:
    """Return the offset of the first packet; `file` stands there."""
    offset = 0
    while True:
        line = file.readline(MOST_HEADER_BYTES - offset)
        text = line.rstrip(b"\r\n")
        if offset == 0 and text != VERSION:
            what = foreign_kind(line + file.read(HEAD_BYTES)) if line else "empty"
            raise _Stop(0, f"is {what}" if what else f"need {VERSION.decode()}, have {line[: len(VERSION) + 4]!r}")
        if not line.startswith(b"#") or not line.endswith(b"\n"):
            raise _Stop(offset, f"need a line that begins with '#', up to {END_HEADER.decode()}, have {line[:16]!r}")
        if text.startswith(b"#Format:") and text.split(b":", 1)[1].strip() != b"RAW":
            raise _Stop(offset, f"need #Format: RAW, have {text[:40]!r}")
        offset += len(line)
        if text == END_HEADER:
            return offset


def _decoded(packets: list[_Packet], path: str, damages: list[Damage]) -> tuple[Events, int]:
    """Return the valid events of all packets in order of time, and the number of the others.

    What is wrong with some is appended to `damages`.
    """
    raw = np.frombuffer(b"".join(packet.payload for packet in packets), _EVENT)
    counts = np.array([len(packet.payload) // _EVENT.itemsize for packet in packets], np.int64)
    overflow = np.repeat(np.array([packet.overflow for packet in packets], np.int64), counts)
    t_us = (overflow << 31) + raw["time"]
    x, y = raw["data"] >> 17 & _COORDINATE, raw["data"] >> 2 & _COORDINATE
    valid = (raw["data"] & 1).astype(np.bool_)
    placed = (x < SENSOR) & (y < SENSOR) & (raw["time"] >= 0)
    order = np.flatnonzero(valid & placed)

    def report(event: int, why: str) -> None:
        ends = np.cumsum(counts)
        number = int(np.searchsorted(ends, event, side="right"))
        within = event - int(ends[number] - counts[number])
        damages.append(Damage(path, packets[number].offset + within * _EVENT.itemsize, why))

    if (lost := np.flatnonzero(valid & ~placed)).size:
        have = f"x {x[lost[0]]}, y {y[lost[0]]}, time {raw['time'][lost[0]]}"
        report(int(lost[0]), f"need events within {SENSOR} x {SENSOR} and a time from 0, have {have}; {lost.size} left out")
    if (back := np.flatnonzero(np.diff(t_us[order]) < 0)).size:
        report(int(order[back[0] + 1]), f"need times that ascend, have {back.size} steps back; sorted by time")
        order = order[np.argsort(t_us[order], kind="stable")]
    p: NDArray[np.bool_] = (raw["data"][order] >> 1 & 1).astype(np.bool_)
    events = Events(t_us[order], x[order].astype(np.uint8), y[order].astype(np.uint8), p)
    return events, int(np.count_nonzero(~valid))


def write_aedat(path: str | Path, events: Events) -> None:
    """Write events as an AEDAT 3.1 file; the same events give the same bytes.

    Raises `DvsError` for events out of order, outside the sensor or beyond what the format holds, and where the file
    cannot be written.
    """
    t_us, x, y, p = events
    if not t_us.shape == x.shape == y.shape == p.shape or t_us.ndim != 1:
        raise DvsError(f"write_aedat: need four arrays of one length, have {t_us.shape}, {x.shape}, {y.shape}, {p.shape}")
    if t_us.size and (t_us[0] < 0 or np.any(np.diff(t_us) < 0) or t_us[-1] >> 31 > np.iinfo(np.int32).max):
        raise DvsError("write_aedat: need times that ascend from 0 and fit 62 bits, have others")
    if t_us.size and not (min(x.min(), y.min()) >= 0 and max(x.max(), y.max()) < SENSOR):
        raise DvsError(f"write_aedat: need x and y below {SENSOR}, have {x.max()} and {y.max()}")
    raw = np.empty(t_us.size, _EVENT)
    raw["data"] = 1 | p.astype(np.uint32) << 1 | y.astype(np.uint32) << 2 | x.astype(np.uint32) << 17
    raw["time"] = t_us & 0x7FFFFFFF
    overflow = (t_us >> 31).astype(np.int64)
    # A packet has one overflow count for all its events.
    bounds = np.concatenate([[0], np.flatnonzero(np.diff(overflow)) + 1, [t_us.size]])
    sensor, date = b"#Source 1: DVS128", b"#Start-Time: 1970-01-01 00:00:00 (TZ+0000)"
    parts = [b"\r\n".join((VERSION, b"#Format: RAW", sensor, date, END_HEADER, b""))]
    for first, last in pairwise(bounds.tolist()):
        for start in range(first, last, _WRITTEN_EVENTS):
            count = min(_WRITTEN_EVENTS, last - start)
            parts.append(_PACKET.pack(POLARITY, 1, _EVENT.itemsize, 4, int(overflow[start]), count, count, count))
            parts.append(raw[start : start + count].tobytes())
    try:
        Path(path).write_bytes(b"".join(parts))
    except OSError as error:
        raise DvsError(f"write_aedat: {str(path)!r}: cannot be written ({error.strerror or error})") from None
