"""ZeroMQ between machines: `tcp://` with CURVE always on, between routers, and between the host and its router.

One ROUTER socket an endpoint, which listens, calls, or does both. All endpoints of a run hold one key pair that was made for
it: whoever lacks the public half cannot speak to us, whoever lacks the secret half is refused, and so is who speaks in
plain text or holds the key of another run; each is counted. A connection that breaks is called again for `PATIENCE_S`, and
nothing is lost by it (`noc/resumable_line.py`). `Bridge` joins such links to the sockets within a machine.
"""

import struct
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import zmq
from zmq.utils import z85

from noc.resumable_line import Line, LineError
from noc.transport import Transport, TransportError
from noc.wire import MAX_MESSAGE_BYTES

HEARTBEAT_S = 1.0
SILENCE_S = 2.5  # without a heartbeat a connection counts as broken
PATIENCE_S = 2.5  # for a connection to be made again
FIRST_S = 10.0  # for it to be made, while hundreds of processes are being started
_TELL_EVERY_S = 1.0
_CALL_AGAIN_MS, _CALL_AGAIN_MOST_MS = 50, 500
_LINGER_MS = 500
_ZAP, _MONITOR = "inproc://zeromq.zap.01", "inproc://events"
_EVENT = struct.Struct("=hi")
_REFUSED: dict[int, str] = {
    zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH: "plain_text",
    zmq.PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC: "stale_key",
}
REFUSALS = ("plain_text", "stale_key", "stranger", "broken_off")
_FAILED = zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _FAILED
_DECIDED_S = SILENCE_S + 1.0  # after it was accepted, a connection has shaken hands or was broken off


class Keys(NamedTuple):
    """A run's CURVE key pair, Z85 text."""

    public: str
    secret: str


class Listening(NamedTuple):
    """Where to listen: an address of this machine, and the first and last port to try; 0, 0: any free one."""

    interface: str
    first_port: int = 0
    last_port: int = 0


class LocalTransport(Transport, Protocol):
    """A transport within this machine that can be waited for beside links between machines."""

    socket: Any  # a socket of ZeroMQ's, or what has a descriptor


Tell = Callable[[dict[str, Any]], None]


def address_of(interface: str, port: int) -> str:
    """Return the address that others call where a router listens on a port of an interface."""
    return f"tcp://{f'[{interface}]' if ':' in interface else interface}:{port}"


def new_keys() -> Keys:
    """Return a fresh key pair."""
    public, secret = zmq.curve_keypair()
    return Keys(public.decode(), secret.decode())


class MachineLinks:
    """The encrypted links of one endpoint; TransportError where no port is free.

    `queue`: messages that may wait for one peer. `listening`: None for an endpoint that only calls. `tell` is called with
    records of what a person should know: `bytes` sent and received by peer, `refused` by kind, and `cut`, a peer that cannot
    be reached, with its address; about once a second, and only with news. `most_bytes`: of a message that is let in.
    """

    def __init__(
        self, name: str, keys: Keys, queue: int, listening: Listening | None, tell: Tell, most_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._name, self._keys, self._tell = name, keys, tell
        self._context = zmq.Context(io_threads=1)
        self._lines: defaultdict[str, Line] = defaultdict(lambda: Line(queue))  # by peer
        self._calls: dict[str, str] = {}  # peer by the address called
        self._down_since: dict[str, float] = {}
        self._met: set[str] = set()  # peers with whom a connection has been made
        self._cut: set[str] = set()
        self._bytes: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])  # sent, received by peer
        self._refused = dict.fromkeys(REFUSALS, 0)
        self._shaken = self._decided = 0  # connections to this side that have shaken hands, and those that had their time
        self._accepted_at: deque[float] = deque()  # of the others
        self._told: dict[str, Any] = {}
        self._next_look = self._next_tell = 0.0
        self._zap = self._context.socket(zmq.REP)
        self._zap.bind(_ZAP)
        self.socket = self._context.socket(zmq.ROUTER)
        for option, value in (
            (zmq.ROUTING_ID, name.encode()), (zmq.ROUTER_MANDATORY, 1), (zmq.ROUTER_HANDOVER, 1), (zmq.LINGER, _LINGER_MS),
            (zmq.SNDHWM, 4 * queue + 256), (zmq.RCVHWM, queue), (zmq.MAXMSGSIZE, most_bytes),
            (zmq.HEARTBEAT_IVL, int(1e3 * HEARTBEAT_S)), (zmq.HEARTBEAT_TIMEOUT, int(1e3 * SILENCE_S)),
            (zmq.HEARTBEAT_TTL, int(1e3 * SILENCE_S)), (zmq.HANDSHAKE_IVL, int(1e3 * SILENCE_S)),
            (zmq.CONNECT_TIMEOUT, int(1e3 * SILENCE_S)), (zmq.RECONNECT_IVL, _CALL_AGAIN_MS),
            (zmq.RECONNECT_IVL_MAX, _CALL_AGAIN_MOST_MS),
            (zmq.CURVE_PUBLICKEY, keys.public.encode()), (zmq.CURVE_SECRETKEY, keys.secret.encode()), (zmq.CURVE_SERVER, 1),
            (zmq.ZAP_DOMAIN, b"gennaker"),
        ):  # fmt: skip
            self.socket.setsockopt(option, value)
        self.socket.monitor(_MONITOR, _EVENTS)
        self._monitor = self._context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.RCVHWM, 0)  # a full queue of events would hold up the socket itself
        self._monitor.connect(_MONITOR)
        self.port = self._listen(listening) if listening else 0

    def _listen(self, where: Listening) -> int:
        host = f"[{where.interface}]" if ":" in where.interface else where.interface
        if ":" in where.interface:
            self.socket.setsockopt(zmq.IPV6, 1)
        problem = ""
        for port in range(where.first_port, where.last_port + 1):
            try:
                self.socket.bind(f"tcp://{host}:{port or '*'}")
                address: bytes = self.socket.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
                return int(address.rstrip(b"\0").rpartition(b":")[2])
            except zmq.ZMQError as error:
                problem = str(error.strerror)
        self._context.destroy(linger=0)
        ports = f"port {where.first_port} to {where.last_port}" if where.first_port else "any port"
        raise TransportError(f"{self._name} cannot listen on {where.interface}, {ports}: {problem}")

    def call(self, peers: Mapping[str, str]) -> None:
        """Connect to peers, name -> address; from now on each has `FIRST_S` to answer."""
        self.socket.setsockopt(zmq.CURVE_SERVER, 0)
        self.socket.setsockopt(zmq.CURVE_SERVERKEY, self._keys.public.encode())
        for peer, address in peers.items():
            if "[" in address:
                self.socket.setsockopt(zmq.IPV6, 1)
            self._calls[address] = peer
            self._down_since[peer] = time.monotonic()
            self.socket.setsockopt(zmq.CONNECT_ROUTING_ID, peer.encode())
            self.socket.connect(address)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while True:
            letter = self.take()
            left = deadline - time.monotonic()
            if letter is not None or left <= 0:
                return letter
            self.socket.poll(int(1e3 * min(left, 0.1)) + 1)

    def take(self) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes) that is here already; and look after the links, ten times a second."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + 0.1
            self._look_after(now)
        while True:
            try:
                parts = self.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            sender = parts[0].decode(errors="replace")
            if len(parts) != 3:
                return sender, b""  # nothing decodes as no message, and is counted as such
            _, head, payload = parts
            self._bytes[sender][1] += len(head) + len(payload)
            try:
                message, replies = self._lines[sender].incoming(head, payload)
            except LineError:
                return sender, b""
            for frame in replies:
                self._put(sender, *frame)
            if message is not None:
                return sender, message

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message, at once or when the peer can be reached again; TransportError where too many wait."""
        try:
            head = self._lines[destination].outgoing(raw)
        except LineError as error:
            raise TransportError(f"cannot reach {destination}: {error}") from error
        self._put(destination, head, raw)

    def close(self) -> None:
        """Tell the last figures; close the sockets and their I/O thread."""
        self._look_after(time.monotonic(), last=True)
        self.socket.disable_monitor()
        self._monitor.close(0)
        self._zap.close(0)
        self._context.destroy(linger=_LINGER_MS)

    def _put(self, peer: str, head: bytes, payload: bytes) -> None:
        try:
            self.socket.send_multipart((peer.encode(), head, payload), zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:  # who cannot be reached now gets it when the line is resumed
                raise TransportError(f"cannot reach {peer}: {error.strerror}") from error
        else:
            self._bytes[peer][0] += len(head) + len(payload)

    def _look_after(self, now: float, last: bool = False) -> None:
        """Answer who asks to be let in, note what became of connections, and tell what is new."""
        while self._zap.poll(0):
            version, request, _, _, _, mechanism, *credentials = self._zap.recv_multipart()
            ours = mechanism == b"CURVE" and [z85.encode(key) for key in credentials] == [self._keys.public.encode()]
            self._refused["stranger"] += not ours
            status = (b"200", b"OK") if ours else (b"400", b"not of this run")
            self._zap.send_multipart((version, request, *status, b"", b""))
        while self._monitor.poll(0):
            event, endpoint = self._monitor.recv_multipart()
            number, value = _EVENT.unpack(event)
            self._on_event(number, value, self._calls.get(endpoint.decode()), now)
        self._count_broken_off(now, last=last)
        for address, peer in self._calls.items():
            since = self._down_since.get(peer, now)
            if now - since > (PATIENCE_S if peer in self._met else FIRST_S) and peer not in self._cut:
                self._cut.add(peer)
                self._tell({"kind": "cut", "name": self._name, "peer": peer, "address": address, "for_s": now - since})
        if now >= self._next_tell or last:
            self._next_tell = now + _TELL_EVERY_S
            news = {"bytes": {peer: list(counts) for peer, counts in self._bytes.items()}, "refused": dict(self._refused)}
            if news != self._told:
                self._told = news
                self._tell({"kind": "traffic", "name": self._name, **news})

    def _on_event(self, event: int, value: int, peer: str | None, now: float) -> None:
        """Note one event of the socket; `peer`: whom this side had called, None where it was called."""
        if event == zmq.EVENT_ACCEPTED:
            self._accepted_at.append(now)
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and peer is None:
            self._shaken += 1
        elif event == zmq.EVENT_HANDSHAKE_SUCCEEDED and peer is not None:
            self._down_since.pop(peer, None)
            self._met.add(peer)
            self._cut.discard(peer)
            self._put(peer, self._lines[peer].resume(), b"")
        elif event == zmq.EVENT_DISCONNECTED and peer is not None:
            self._down_since.setdefault(peer, now)
        elif event & _FAILED and peer is None and value in _REFUSED:  # without detail the value is an errno, no protocol error
            self._refused[_REFUSED[value]] += 1

    def _count_broken_off(self, now: float, *, last: bool) -> None:
        """Count who was let in by the system and has neither shaken hands in time nor said what ZeroMQ has a word for; most that is
        no ZeroMQ at all it drops without an event. At the end nobody has more time.
        """
        while self._accepted_at and (last or now - self._accepted_at[0] > _DECIDED_S):
            self._accepted_at.popleft()
            self._decided += 1
        others = sum(count for kind, count in self._refused.items() if kind != "broken_off")
        self._refused["broken_off"] = max(self._refused["broken_off"], self._decided - self._shaken - others)


class Bridge:
    """A router's transport where some peers are on other machines: `links` reach those in `beyond` and `local` all others, and
    nobody is heard on the wrong side.
    """

    def __init__(self, local: LocalTransport, links: MachineLinks, beyond: frozenset[str]) -> None:
        self._local, self._links, self._beyond = local, links, beyond
        self._poller = zmq.Poller()
        self._poller.register(local.socket, zmq.POLLIN)
        self._poller.register(links.socket, zmq.POLLIN)

    def receive(self, timeout_s: float) -> tuple[str, bytes] | None:
        """Return the next (sender, bytes), or None after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        while True:
            letter = self._links.take()  # first: there are fewer of them, and others wait for what they bring
            if letter is not None:
                return letter if letter[0] in self._beyond else ("stranger", b"")
            letter = self._local.receive(0)
            if letter is not None:
                return letter if letter[0] not in self._beyond else ("stranger", b"")
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self._poller.poll(int(1e3 * min(left, 0.1)) + 1)

    def send(self, destination: str, raw: bytes) -> None:
        """Hand over one message; TransportError where the destination is unknown or its queue is full."""
        (self._links if destination in self._beyond else self._local).send(destination, raw)

    def close(self) -> None:
        """Close both."""
        self._links.close()
        self._local.close()
