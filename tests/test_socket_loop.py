"""A PE's loop over a real socket: whatever stands between the bundles, and wherever the stream is cut, it says exactly what `Pe`
says when it is handed one message after the other.
"""

import contextlib
import fcntl
import functools
import itertools
import os
import signal
import socket
import struct
import termios
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_pe import NEW, ROUTER, SMALL, Chip, bubble, events, feeds_of, load_of
from test_transports import PING, PONG, WAIT_S, after_handshake, framed, peer

from noc import zmtp
from noc.packet import Batch, Bundle, Read, Save, Section, Start, Stop
from noc.serve import serve
from noc.transport import TransportError
from noc.wire import WireError, decode, encode
from noc.zmtp import COMMAND, LONG
from pe.core import Pe
from pe.socket_loop import SocketLoop
from pe.tick_records import STATE
from tests.tools.processes import SLOW, answer

GARBAGE, HUGE = b"\xc1 no msgpack", b"\xc1" * 40_000  # more than the inbox holds at first


class Wire:
    """The router's end of a PE's socket, and the loop of the PE in a thread of its own."""

    def __init__(self, pe, connection, transport):
        self.pe, self.connection, self.failure = pe, connection, None
        self.through_python = []  # kinds of the messages that the loop did not answer by itself
        handle = pe.handle
        pe.handle = lambda sender, message: self.through_python.append(type(message)) or handle(sender, message)
        self.transport, self.thread = transport, threading.Thread(target=self._serve)

    def _serve(self):
        try:
            serve(self.pe, self.transport, fast_path=SocketLoop(self.pe, self.transport))
        except TransportError as error:
            self.failure = error

    def say(self, raw):
        """Send, and wait until it has been taken, so that what follows is another piece to the PE."""
        self.connection.sendall(raw)
        deadline = time.monotonic() + WAIT_S
        while self.untaken() and time.monotonic() < deadline:
            time.sleep(0)
        assert not self.untaken()

    def untaken(self):
        """Bytes that the PE has not taken yet."""
        return struct.unpack("i", fcntl.ioctl(self.connection, termios.TIOCOUTQ, bytes(4)))[0]

    def frame(self):
        """Return flags and body of the next frame."""
        flags, size = self.connection.recv(2, socket.MSG_WAITALL)
        if flags & LONG:
            size = int.from_bytes(bytes([size]) + self.connection.recv(7, socket.MSG_WAITALL), "big")
        return flags & ~LONG, self.connection.recv(size, socket.MSG_WAITALL)

    def heard(self):
        """Return every frame until the PE has left."""
        frames = [self.frame()]
        while frames[-1][1] != STOPPED:
            frames.append(self.frame())
        self.thread.join(WAIT_S)
        return frames


@contextlib.contextmanager
def wired(pe):
    """A Wire to `pe`, whose loop ends with it."""
    made = []
    there, end = threading.Event(), threading.Event()

    def play(connection):
        made.append(connection)
        there.set()
        end.wait(2 * WAIT_S)

    with peer(after_handshake(play, until_closed=False)) as (transport, _):
        assert there.wait(WAIT_S)
        wire = Wire(pe, made[0], transport)
        wire.thread.start()
        try:
            yield wire
        finally:
            with contextlib.suppress(OSError):
                wire.connection.setblocking(False)
                wire.connection.sendall(framed(encode(Stop())))
            pe.state = pe.state.STOPPED  # wherever a test that failed has left it
            wire.thread.join(WAIT_S)
            end.set()


FEEDS = feeds_of(8, 12, segment=4)


@functools.cache
def recorded():
    """What a PE of two hears: its load and start, and a bundle for each tick."""
    chip = Chip(SMALL, pes=2)
    first_messages = [load_of(chip.placement, chip.placement.pes[0]), Start()]
    tick_messages = []
    for feed in FEEDS:
        tick_messages.append(chip.bundles(feed)[0])
        chip.step(feed)
    return [*map(encode, first_messages)], [*map(encode, tick_messages)]


def opening_messages():
    return recorded()[0]


def bundle_messages():
    return recorded()[1]


NAME = "PE(1,1,0)@0"
STOP, STOPPED = encode(Stop()), b"\x91\x10"


def fresh():
    pe = Pe(NAME, ROUTER)
    pe.boot()
    return pe


def said(bodies):
    """What `Pe` says, message by message."""
    pe, out = fresh(), []
    for raw in bodies:
        try:
            outgoing = pe.handle(ROUTER, decode(raw))
        except WireError as error:
            outgoing = pe.malformed(ROUTER, str(error))
        out += [encode(message) for _, message in outgoing]
    return out


def test_a_pe_that_has_left_says_so_as_these_tests_expect():
    assert said([STOP]) == [STOPPED]


def test_bundles_are_answered_without_python_and_nothing_else_is():
    stream = [*opening_messages(), *bundle_messages()[:6], GARBAGE, *bundle_messages()[6:], STOP]
    with wired(fresh()) as wire:
        for raw in stream:
            wire.say(framed(raw))
        assert [body for _, body in wire.heard()] == said(stream)
    assert [kind.__name__ for kind in wire.through_python] == ["Load", "Start", "Stop"]


def test_a_pe_that_has_said_what_went_wrong_says_no_more():
    stream = [*opening_messages(), encode(Batch(1, ())), encode(Save(7)), bundle_messages()[0], STOP]
    assert [type(decode(raw)).__name__ for raw in said(stream)] == ["Loaded", "Batch", "Fault", "Stopped"]


def test_the_loop_finds_the_ticks_that_it_goes_by():
    assert STATE.names[:2] == ("until", "tick")


def test_ticks_that_counters_wait_for_are_answered_without_python_too():
    stream = [*opening_messages(), *bundle_messages()[:4], encode(Read(len(FEEDS))), *bundle_messages()[4:], STOP]
    with wired(fresh()) as wire:
        for raw in stream:
            wire.say(framed(raw))
        assert [body for _, body in wire.heard()] == said(stream)
    assert [kind.__name__ for kind in wire.through_python] == ["Load", "Start", "Read", "Stop"]


BETWEEN = st.sampled_from(
    [
        (GARBAGE,), (HUGE,), (b"",), (encode(Read()), encode(Start())), (encode(Read(7)),), (encode(Save(7)), encode(Read(9))),
        (encode(Read(9)), encode(Save(7))), (encode(Batch(1, ())),), ("ping",),
        ("long",),
    ]
)  # fmt: skip


@st.composite
def streams(draw):
    """The recorded bundles with other messages in between, as (kind of frame, body); at most one that ends in a fault."""
    stream = [(0, raw) for raw in opening_messages()]
    extra = draw(st.dictionaries(st.integers(0, len(FEEDS)), BETWEEN, max_size=4))
    for number, raw in enumerate([*bundle_messages(), STOP]):
        now = extra.get(number, ())
        stream += [(COMMAND, PING) if one == "ping" else (0, one) for one in now if one != "long"]
        stream.append((LONG if now == ("long",) else 0, raw))
    return stream


def on_the_wire(kind, body):
    """A frame; LONG asks for the long head where the short one would do."""
    return bytes([LONG]) + len(body).to_bytes(8, "big") + body if kind == LONG else framed(body, kind)


@settings(deadline=None, max_examples=25)
@given(streams(), st.lists(st.floats(0, 1), max_size=12))
def test_a_stream_cut_anywhere_is_answered_as_message_by_message(stream, cuts):
    raw = b"".join(on_the_wire(*frame) for frame in stream)
    opening = sum(len(framed(body)) for body in opening_messages())  # cut behind the load, most of all
    places = sorted({0, len(raw), *(int(opening - 20 + cut * (len(raw) - opening + 20)) for cut in cuts)})
    with wired(fresh()) as wire:
        for begin, end in itertools.pairwise(places):
            wire.say(raw[begin:end])
        frames = wire.heard()
    assert [body for flags, body in frames if not flags] == said([body for kind, body in stream if kind != COMMAND])
    assert [body for flags, body in frames if flags] == [PONG for kind, _ in stream if kind == COMMAND]


def test_a_stream_may_come_byte_by_byte():
    bundle = framed(bundle_messages()[0]) + framed(bundle_messages()[1])
    with wired(fresh()) as wire:
        wire.say(b"".join(map(framed, opening_messages())))
        for byte in bundle:
            wire.say(bytes([byte]))
        wire.say(framed(STOP))
        assert [body for _, body in wire.heard()] == said([*opening_messages(), *bundle_messages()[:2], STOP])
    assert Bundle not in wire.through_python


def damaged():
    """Bundles that are no bundle that is due, by what is wrong with them."""
    first, second = (decode(raw) for raw in bundle_messages()[:2])
    stranger = Section(77, NEW, 0, b"", b"", b"")
    return {
        "of another tick": encode(second),
        "of a tick that nothing holds": encode(first._replace(tick=(1 << 62) - 1)),
        "with a stranger's section": encode(first._replace(sections=(*first.sections[:1], stranger))),
        "with too many sections": encode(first._replace(sections=first.sections * 9)),
        "with a key beyond": encode(first._replace(sections=(Section(0, NEW, 0, *events([8], [1]), b""), *first.sections[1:]))),
        "cut": bundle_messages()[0][:-1],
        "too long": bundle_messages()[0] + b"\0",
        "with a length beyond its end": bundle_messages()[0][:-1] + b"\xff",
    }


@pytest.mark.parametrize("what", damaged())
def test_a_bundle_that_is_none_is_taken_as_the_pe_takes_it_and_so_is_what_follows(what):
    stream = [*opening_messages(), damaged()[what], *bundle_messages()[:2], STOP]
    with wired(fresh()) as wire:
        wire.say(b"".join(map(framed, stream)))
        assert [body for _, body in wire.heard()] == said(stream)


@pytest.mark.parametrize("state", [(0, ()), (1, ()), (2, (Read(),)), (2, (Read(9),))], ids=str)
def test_a_bundle_in_any_state_is_taken_as_the_pe_takes_it(state):
    heard, more = state
    stream = [*opening_messages()[:heard], *map(encode, more), *bundle_messages()[:2], STOP]
    with wired(fresh()) as wire:
        wire.say(b"".join(map(framed, stream)))
        assert [body for _, body in wire.heard()] == said(stream)


def test_a_bundle_larger_than_the_inbox_makes_room_once(monkeypatch):
    """Python makes room for the first of its size; most of the others do not need it."""
    monkeypatch.setattr(zmtp, "_INBOX_BYTES", 256)
    chip = Chip(SMALL, pes=2, lanes=200)
    stream, bundles = [encode(load_of(chip.placement, chip.placement.pes[0])), encode(Start())], []
    for feed in feeds_of(8, 12, lanes=200, active=1.0):
        bundles.append(encode(chip.bundles(feed)[0]))
        chip.step(feed)
    assert min(map(len, bundles)) > 4 * len(stream[0])
    stream += [*bundles, STOP]
    raw = b"".join(map(framed, stream))
    with wired(fresh()) as wire:
        for begin in range(0, len(raw), 7001):
            wire.say(raw[begin : begin + 7001])
        assert [body for _, body in wire.heard()] == said(stream)
    assert 1 <= wire.through_python.count(Bundle) < len(bundles) / 2


def test_a_router_that_reads_late_loses_nothing():
    """The PE waits in the middle of a batch, with bundles behind it, and goes on where it was."""
    count = 400
    bundles = [encode(Bundle(tick, (Section(0, NEW, tick, *events(range(8), [1.0] * 8), b""), bubble(1)))) for tick in range(count)]
    stream = [*opening_messages(), *bundles, STOP]
    with wired(fresh()) as wire:
        wire.transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the least the system allows
        wire.connection.sendall(b"".join(map(framed, stream)))
        time.sleep(0.05)
        assert wire.untaken() or wire.pe.tick.number < count
        assert [body for _, body in wire.heard()] == said(stream)


def test_a_router_that_never_reads_is_named_in_time(monkeypatch):
    monkeypatch.setattr(zmtp, "_SEND_TIMEOUT_S", 0.1)
    bundles = [encode(Bundle(tick, (Section(0, NEW, tick, *events(range(8), [1.0] * 8), b""), bubble(1)))) for tick in range(400)]
    with wired(fresh()) as wire:
        wire.transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        wire.connection.sendall(b"".join(map(framed, [*opening_messages(), *bundles])))
        wire.thread.join(WAIT_S)
        assert not wire.thread.is_alive()
        assert str(wire.failure).startswith(f"cannot reach {ROUTER}: ")


def test_a_router_that_has_gone_is_waited_for_without_haste_or_harm():
    pe = fresh()
    with wired(pe) as wire:
        wire.say(b"".join(map(framed, [*opening_messages(), bundle_messages()[0]])))
        wire.connection.sendall(framed(bundle_messages()[1])[:9])
        wire.connection.shutdown(socket.SHUT_RDWR)
        clock = time.pthread_getcpuclockid(wire.thread.ident)
        began, used = time.monotonic(), time.clock_gettime(clock)
        time.sleep(0.3)
        assert wire.thread.is_alive()
        assert time.clock_gettime(clock) - used < 0.5 * (time.monotonic() - began)  # it sleeps
        assert pe.tick.number == 1


def test_a_signal_in_the_middle_of_a_wait_changes_nothing():
    """A system call that a signal has interrupted is made again."""
    hits = []
    before = signal.signal(signal.SIGUSR1, lambda *_: hits.append(1))
    stream = [*opening_messages(), *bundle_messages(), STOP]
    try:
        with wired(fresh()) as wire:
            for raw in stream:
                for piece in (framed(raw)[:5], framed(raw)[5:]):
                    wire.say(piece)
                    signal.pthread_kill(wire.thread.ident, signal.SIGUSR1)
            assert [body for _, body in wire.heard()] == said(stream)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert hits


@pytest.mark.wide
@pytest.mark.timeout(60)
def test_processes_that_stood_still_for_a_while_go_on_where_they_were(run, reference):
    pids, stopped = {}, []

    def observe(status):
        if status["phase"] == "running" and status["tick"] > 3 and len(stopped) < 3:
            stopped.append(status["tick"])
            still = [pid for name, pid in pids.items() if name.startswith("PE(")]
            for number, pause_s in ((signal.SIGSTOP, 0.1), (signal.SIGCONT, 0.0)):
                for pid in still:
                    os.kill(pid, number)
                time.sleep(pause_s)

    outcome = run(started=pids.__setitem__, observe=observe, pes=5, faults=SLOW)
    assert stopped
    assert answer(outcome) == reference
