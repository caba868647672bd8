"""Fuzz targets of listening sockets: whatever a connection says, from its first byte on, is borne, by libzmq too."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import socket
from collections.abc import Callable
from functools import cache

from noc.identities import STRANGER, identity_of, new_secret
from noc.packet import Hello
from noc.transport_tcp import Listening, MachineLinks, new_keys
from noc.transports.zmq import RouterSocket, new_address
from noc.wire import WireError, decode, encode
from noc.zmtp import COMMAND, frame_head
from tests.fuzz.wire_targets import MOST_AT_ONCE, Target

PE = "PE(1,1,0)@0"
_GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0%s" + bytes(44)
_LOOK_EVERY = 20  # cases


def _opening(mechanism: bytes, identity: bytes) -> bytes:
    ready = b"\5READY\x0bSocket-Type\0\0\0\6DEALER\x08Identity" + len(identity).to_bytes(4, "big") + identity
    return (_GREETING % mechanism.ljust(20, b"\0"))[:64] + frame_head(len(ready), COMMAND) + ready


def _framed(raw: bytes) -> bytes:
    return frame_head(len(raw)) + raw


@cache
def _router() -> tuple[RouterSocket, str, bytes]:
    """Return a router's socket, its address and secret; it is open as long as this process."""
    address, secret = new_address(), new_secret()
    return RouterSocket("router@0", address, 100, secret=secret, most_bytes=1 << 20), address, secret


def router_socket() -> Target:
    """A router's socket on its own machine: openings as a stranger, and as a PE, with mutated frames behind them."""
    router, address, secret = _router()
    count = itertools.count()

    def run(raw: bytes) -> None:
        known = hashlib.blake2b(raw, digest_size=1).digest()[0] < 64  # a quarter show a PE's identity, whole
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5.0)
            client.connect("\0" + address.removeprefix("ipc://@"))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall((_opening(b"NULL", identity_of(PE, secret)) if known else b"") + raw[:MOST_AT_ONCE])
        if next(count) % _LOOK_EVERY:
            return
        while (received := router.receive(0.001)) is not None:
            sender, body = received
            assert sender in (PE, STRANGER)
            assert sender == PE or body == b""
            with contextlib.suppress(WireError):
                decode(body)

    openings = [
        _opening(mechanism, identity) for mechanism in (b"NULL", b"CURVE", b"PLAIN") for identity in (b"", b"host", PE.encode())
    ]
    frames = [
        _framed(encode(Hello(1))),
        _framed(b""),
        b"\1\1a\0\1b",
        b"\2" + (1 << 40).to_bytes(8, "big") + b"x",
        b"\4\7\4PING\0\1",
    ]
    return Target([*openings, *(opening + frame for opening in openings for frame in frames), *frames], run, False)


@cache
def _links() -> MachineLinks:
    return MachineLinks("router@0", new_keys(), 100, Listening("127.0.0.1"), lambda _: None, 1 << 20)


def curve_port() -> Target:
    """A router's port for other machines: nothing that lacks the key is ever heard."""
    links = _links()
    count = itertools.count()

    def run(raw: bytes) -> None:
        with socket.create_connection(("127.0.0.1", links.port), 5.0) as client:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(raw[:MOST_AT_ONCE])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # no port is kept waiting
        if next(count) % _LOOK_EVERY == 0:
            assert links.take() is None

    hello = b"\5HELLO\1\0" + bytes(72) + bytes(32) + bytes(8) + bytes(80)
    opening = (_GREETING % b"CURVE".ljust(20, b"\0"))[:64]
    return Target(
        [opening, opening + frame_head(len(hello), COMMAND) + hello, _opening(b"NULL", b"host"), b"GET / HTTP/1.1\r\n\r\n"],
        run,
        False,
    )


TARGETS: dict[str, Callable[[], Target]] = {make.__name__: make for make in (router_socket, curve_port)}
