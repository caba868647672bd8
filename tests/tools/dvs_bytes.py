"""AEDAT 3.1 files built by hand from the format's description, independently of the project's own writer; events compared."""

from __future__ import annotations

import struct

import numpy as np

from models.dvs.samples import Events

HEADER = b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n#Start-Time: 2016-05-20 11:07:00 (TZ+0200)\r\n#!END-HEADER\r\n"
SPECIAL, POLARITY, FRAME, IMU6 = range(4)


def event(t, x, y, p=1, valid=1):
    """One polarity event: 15 bits of x, 15 of y, polarity, validity; then the time."""
    return struct.pack("<Ii", x << 17 | y << 2 | p << 1 | valid, t)


def packet(payload, kind=POLARITY, event_bytes=8, time_at=4, overflow=0, number=None, capacity=None, valid=None):
    """A packet header of 28 bytes and its events."""
    number = len(payload) // event_bytes if number is None else number
    capacity = number if capacity is None else capacity
    valid = number if valid is None else valid
    return struct.pack("<hhiiiiii", kind, 1, event_bytes, time_at, overflow, capacity, number, valid) + payload


def aedat(*packets, header=HEADER):
    """A whole file."""
    return header + b"".join(packets)


def no_events():
    """`Events` of length 0."""
    return Events(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.uint8), np.empty(0, np.bool_))


def equal_events(one, other):
    """Whether two recordings hold the same events, bit for bit."""
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))
