"""Fuzz targets of what takes messages: decoders, routers, PEs, lines, connections.

A target's `run` takes bytes and returns in peace, or raises for what must not be.
"""

from __future__ import annotations

import hashlib
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from models import formats
from models.seeded import seeded_egru
from noc import packet as p
from noc.identities import STRANGER
from noc.resumable_line import Line, LineError
from noc.router import ChipRouter
from noc.transport import TransportError
from noc.wire import WireError, decode, encode
from noc.wiring import Wiring
from noc.zmtp import ZmtpTransport
from pe.core import Pe
from pe.lifecycle import State
from tests.test_msgpack_codec import agrees
from tests.test_pe import Chip, feeds_of, load_of
from tests.test_router import OWNS, ROUTER, SENDERS, bubble, command, configuration

MOST_AT_ONCE = 60_000  # bytes that a socket takes though nobody reads
_LISTENING: list[socket.socket] = []  # as long as this process
_CASES_A_CORE = 300  # after which a router or PE is made anew, so that a case can be drawn again


class Target(NamedTuple):
    """What to run, messages or files to begin with, whether these are msgpack, and whether a case takes tens of milliseconds."""

    seeds: list[bytes]
    run: Callable[[bytes], object]
    tree: bool = True
    slow: bool = False


def _take(core, sender: str, raw: bytes) -> list[p.Message]:
    """Do what `noc/serve.py` does with one message; return what the core sends, decoded."""
    try:
        out = core.handle(sender, decode(raw))
    except WireError as error:
        out = core.malformed(sender, str(error))
    return [decode(encode(message)) for _, message in out if not isinstance(message, bytes)]


@cache
def _chips() -> tuple[Chip, ...]:
    """Return small chips: each weight format, several lanes, a layer on one PE and on three."""
    shapes = [
        (form, pes, lanes) for form in ("packed", "csr", "dense") if form in formats.names() for pes, lanes in ((None, 1), (5, 2))
    ]
    return tuple(Chip(seeded_egru(6, (5, 4), density=0.6, seed=3, threshold=0.1), *shape[:2], lanes=shape[2]) for shape in shapes)


@cache
def _loads() -> list[bytes]:
    return [encode(load_of(chip.placement, placed)) for chip in _chips() for placed in chip.placement.pes[:2]]


@cache
def _messages() -> list[bytes]:
    """Return a message of each kind, as runs send them."""
    chip = _chips()[0]
    for section in feeds_of(6, 3):
        chip.step(section)
    ticks = [encode(message) for message in (*chip.bundles(feeds_of(6, 1)[0]), *chip.batches)]
    transfer = p.Transfer(p.WRITE, "PE(1,1,0)@0", "DRAM@0", 3, 0x400, 4, b"abcd")
    section = p.Section(1, p.VALID, 4, struct.pack("<2I", 1, 5), struct.pack("<2f", 1, -1), bytes(28), b"\1\0\0")
    others = (
        p.Batch(3, (section,), (transfer,)), p.Bundle(3, (section,), (transfer._replace(kind=p.DATA),)),
        p.Relay(2, [[1, 1]], (section,), (transfer,)), p.Linked(), p.Letter("router@0", encode(p.Query())), configuration(),
        p.Configured(), p.Hello(7), p.Loaded([["fifo", 0, 4, "variables"]]), p.Start(), p.Read(3), p.Reading({"packets_sent": 3}),
        p.Query(), p.StallReport(3, ["PE(1,1,0)@0"]), p.Stop(), p.Stopped(), p.Fault("PE(1,1,0)@0: \x1b[2J"),
        p.Hand("PE(1,1,0)@0", "0" * 64), p.Recall(1, 3, p.VALID, struct.pack("<I", 1), struct.pack("<f", 1), b"\0"),
        p.Fill(0x400, b"abcd"),
        p.Filled(0x400), p.Save(9),
        p.Snapshot(3, bytes(64), encode(p.Batch(3, ())), [1, 2]),
    )  # fmt: skip
    return [*ticks, *map(encode, others), *_loads()]


def _loud_bundle(core: Pe, tick: int) -> p.Bundle:
    """Return a bundle in which every unit that a PE hears sends an event."""
    sections = {}
    for resident in core._residents:
        sections[resident.trigger] = p.Section(resident.trigger, p.VALID | p.FRESH | p.RESET, tick, b"", b"", b"")
        for port in resident.listeners:
            count = min(port.keys, 64)
            keys = b"" if port.dense else np.arange(count, dtype="<u4").tobytes()
            values = np.ones((port.keys if port.dense else count) * port.item_bytes // 4, "<f4").tobytes()
            sections[port.population] = p.Section(port.population, p.VALID | p.FRESH | p.RESET, tick, keys, values, b"")
    return p.Bundle(tick, tuple(sections[number] for number in sorted(sections)))


def wire() -> Target:
    """`noc/wire.py`: any bytes are a message, which is written and read as the same, or WireError."""

    def run(raw: bytes) -> None:
        try:
            message = decode(raw)
        except WireError:
            return
        again = encode(message)
        assert encode(decode(again)) == again, raw

    return Target(_messages(), run)


def codec() -> Target:
    """`pe/msgpack_codec.py`: the compiled reader accepts nothing that the wire does not, and reads the same."""

    def run(raw: bytes) -> None:
        try:
            exchanges = bool(getattr(decode(raw), "transfers", ()))
        except WireError:
            exchanges = False
        if not exchanges:  # which another function reads
            agrees(raw)

    return Target(_messages(), run)


def _letters() -> list[bytes]:
    return [encode(p.Letter(peer, body)) for body in _messages() for peer in ("router@0", "PE(1,1,1)@0", "DRAM@0", "router@1")]


def _router_target(make: Callable[[], ChipRouter], senders: tuple[str, ...]) -> Target:
    state: dict[str, ChipRouter] = {}
    count = itertools.count()

    def run(raw: bytes) -> None:
        if next(count) % _CASES_A_CORE == 0 or state["router"].done:
            state["router"] = make()
        sender = senders[hashlib.blake2b(raw, digest_size=1).digest()[0] % len(senders)]
        _take(state["router"], sender, raw)

    batches = [encode(bubble(name, tick)) for name in OWNS for tick in range(3)]
    return Target([*_messages(), *_letters(), *batches], run)


def router() -> Target:
    """A configured router of one chip."""

    def make() -> ChipRouter:
        core = ChipRouter(ROUTER, 16)
        command(core, configuration())
        return core

    return _router_target(make, (*SENDERS[1], *SENDERS[2], p.HOST, p.HOST, STRANGER, "DRAM@0"))


def linked_router() -> Target:
    """A router with a neighbour, in the middle of its life, and before it is configured."""

    def make() -> ChipRouter:
        core = ChipRouter(ROUTER, 16, Wiring(calls=(), called_by=("router@1",), up=p.HOST, down={1: "router@1"}))
        command(core, configuration())
        return core

    return _router_target(make, ("router@1", "router@1", p.HOST, *SENDERS[1], STRANGER))


def pe_load() -> Target:
    """A PE that boots: any message gives a fault, or shards with which it makes a tick."""

    def run(raw: bytes) -> None:
        core = Pe("PE(1,1,0)@0", ROUTER)
        core.boot()
        _take(core, ROUTER, raw)
        if core.state is State.LOADED:
            out = _take(core, ROUTER, encode(p.Start()))
            assert out
            assert isinstance(out[0], p.Batch | p.Fault)
            for tick in range(2):
                _take(core, ROUTER, encode(_loud_bundle(core, tick)))

    return Target([*_loads(), *_loads(), *_messages()], run)


def pe_recall() -> Target:
    """A PE that is loaded."""
    return _pe_target(running=False)


def pe_tick() -> Target:
    """A PE that makes ticks."""
    return _pe_target(running=True)


def _pe_target(*, running: bool) -> Target:
    loads = itertools.cycle(_loads())
    state: dict[str, Pe] = {}
    count = itertools.count()

    def new() -> Pe:
        core = Pe("PE(1,1,0)@0", ROUTER)
        core.boot()
        _take(core, ROUTER, next(loads))
        if running:
            _take(core, ROUTER, encode(p.Start()))
        return core

    def run(raw: bytes) -> None:
        expected = State.RUNNING if running else State.LOADED
        if next(count) % _CASES_A_CORE == 0 or state["pe"].state is not expected:
            state["pe"] = new()
        _take(state["pe"], ROUTER, raw)

    chip = _chips()[0]
    sections = [s for section in feeds_of(6, 2) for bundle in chip.bundles(section) for s in bundle.sections]
    recalls = [encode(p.Recall(n, 3, p.VALID, s.keys, s.values, b"\0")) for s in sections for n in (0, 1, 2)]
    bundles = [encode(p.Bundle(tick, tuple(sections[:count]))) for tick in range(3) for count in range(4)]
    saved = [
        encode(message) for message in (p.Snapshot(3, bytes(64), encode(p.Batch(3, ())), [1, 2]), p.Save(1), p.Save(9), p.Read(2))
    ]
    return Target([*(recalls if not running else bundles), *bundles, *saved, *_messages()], run)


def line() -> Target:
    """One side of a link between machines (`noc/resumable_line.py`)."""
    state = {"line": Line(10)}

    def run(raw: bytes) -> None:
        if state["line"].kept > 5:
            state["line"] = Line(10)
        state["line"].outgoing(b"x")
        try:
            state["line"].incoming(raw[:17], raw[17:])
        except LineError:
            return

    head = struct.Struct("<BQQ")
    return Target(
        [head.pack(kind, number, taken) + b"message" for kind in range(4) for number in (1, 2) for taken in (0, 1)], run, False
    )


def zmtp() -> Target:
    """A PE's end of a connection (`noc/zmtp.py`), after a handshake: frames, or TransportError."""
    name = f"\0gennaker-fuzz-{np.random.default_rng().integers(1 << 62):x}"
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48) + b"\4\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER"
    listener = socket.socket(socket.AF_UNIX)
    _LISTENING.append(listener)
    listener.bind(name)
    listener.listen(4)

    def run(raw: bytes) -> None:
        done = threading.Event()

        def play() -> None:
            with listener.accept()[0] as connection:
                connection.sendall(greeting + raw[:MOST_AT_ONCE])
                done.wait(10)

        thread = threading.Thread(target=play)
        thread.start()
        endpoint = ZmtpTransport("host", "ipc://@" + name[1:], peer=ROUTER, identity=b"host")
        try:
            while endpoint.receive(1e-6) is not None:
                pass
        except TransportError:
            pass
        finally:
            done.set()
            endpoint.close()
            thread.join()

    frames = [
        bytes((0, 5)) + b"short",
        bytes((2,)) + (300).to_bytes(8, "big") + bytes(300),
        bytes((4, 7)) + b"\4PING\0\1",
        bytes(2),
    ]
    return Target([*frames, b"".join(frames)], run, False)


TARGETS: dict[str, Callable[[], Target]] = {
    make.__name__: make for make in (wire, codec, router, linked_router, pe_load, pe_recall, pe_tick, line, zmtp)
}
