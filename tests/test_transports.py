"""What a transport promises: order and bytes between two endpoints, a name for whatever cannot be handed over, bounded
waits, nothing left behind, and no harm from whoever else connects.

The first part holds for every member of the family; what has no meaning without sockets is asked of ZeroMQ, and of our own
end of a ZMTP connection, alone.
"""

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import zmq

from host.options import transport_named, transport_names
from noc import zmtp
from noc.identities import STRANGER, identity_of, new_secret
from noc.packet import Fault, Hello, Letter
from noc.serve import serve
from noc.transport import TransportError
from noc.transports import mem as transport_mem
from noc.transports import zmq as transport_zmq
from noc.transports.zmq import DealerSocket, RouterSocket, new_address
from noc.wire import WireError, decode, encode
from noc.zmtp import COMMAND, LONG, ZmtpTransport, frame_head

ROUTER, ENDPOINTS = "router@0", ("PE(1,1,0)@0", "PE(1,1,1)@0", "host")
SECRET = new_secret()
MEGABYTE = 1 << 20
WAIT_S = 10.0  # for what must come: only a failing test waits that long
SOON_S = 0.1  # for what must not come


class Recorder:
    """A core that takes note of everything and answers nothing."""

    def __init__(self, name, log):
        self.name, self.log, self.done = name, log, False

    def handle(self, sender, message):
        self.log.append((sender, self.name, message))
        return []

    def malformed(self, sender, why):
        self.log.append((sender, self.name, None))
        return []


class OneProcess:
    """The endpoints of a transport within one process behind the same three calls as those between processes."""

    def __init__(self, scheme, shuffle_seed):
        self.network, self.log = scheme.network(shuffle_seed), []
        for name in (ROUTER, *ENDPOINTS):
            self.network.attach(name, Recorder(name, self.log))

    def send(self, sender, destination, raw):
        self.network.post(sender, [((destination,), raw)])

    def delivered(self, count):
        """Return (sender, receiver, message) of everything sent; None for what is no message."""
        self.network.run(list)
        assert len(self.log) == count
        return self.log

    def close(self):
        pass


class Star:
    """A router and its endpoints over one address, all in this thread; `connect` makes the endpoints."""

    def __init__(self, scheme, connect, queue=1000):
        self.connect, address = connect, scheme.new_address()
        self.all = {ROUTER: scheme.listen(ROUTER, address, queue, calls={}, secret=SECRET, most_bytes=4 * MEGABYTE)}
        for name in ENDPOINTS:
            self.all[name] = self.endpoint(name, address, queue)
            self.all[name].send(ROUTER, encode(Hello(0)))  # a router knows whom it has heard
        assert {self.all[ROUTER].receive(WAIT_S)[0] for _ in ENDPOINTS} == set(ENDPOINTS)

    def endpoint(self, name, address, queue):
        return self.connect(name, address, queue, peer=ROUTER, identity=identity_of(name, SECRET))

    def send(self, sender, destination, raw):
        self.all[sender].send(destination, raw)

    def delivered(self, count):
        log, deadline = [], time.monotonic() + WAIT_S
        while len(log) < count and time.monotonic() < deadline:
            for name, transport in self.all.items():
                while (received := transport.receive(0)) is not None:
                    sender, raw = received
                    try:
                        log.append((sender, name, decode(raw)))
                    except WireError:
                        log.append((sender, name, None))
        assert len(log) == count
        assert all(transport.receive(0) is None for transport in self.all.values())
        return log

    def close(self):
        for transport in self.all.values():
            transport.close()


def Zmq(queue=1000):  # noqa: N802 - a kind of star
    return Star(transport_zmq, transport_zmq.connect, queue)


def Zmtp():  # noqa: N802 - the endpoints speak ZMTP themselves; the router is ZeroMQ's
    return Star(transport_zmq, transport_zmq.connect_pe)


def Mem(shuffle_seed):  # noqa: N802 - the smallest member
    return OneProcess(transport_mem, shuffle_seed)


def address_of(star):
    return star.all[ROUTER].socket.last_endpoint.decode()


def stars():
    """Return what makes the endpoints of each transport there is, in each way that it has, by a name for the test."""
    makers = {}
    for name in transport_names():
        scheme = transport_named(name)
        if not scheme.PROCESSES:
            makers |= {name: partial(OneProcess, scheme, None), f"{name}, shuffled": partial(OneProcess, scheme, 3)}
            continue
        makers[name] = partial(Star, scheme, scheme.connect)
        if hasattr(scheme, "connect_pe"):
            makers[f"{name}, a PE's"] = partial(Star, scheme, scheme.connect_pe)
    return makers


FAMILY = stars()


@pytest.fixture(params=FAMILY)
def network(request):
    member = FAMILY[request.param]()
    yield member
    member.close()


@pytest.fixture
def star():
    member = Zmq()
    yield member
    member.close()


# --- every member -----------------------------------------------------------------------------------------------------


def test_order_is_kept_between_two_endpoints(network):
    for number in range(60):
        for name in ENDPOINTS:
            network.send(name, ROUTER, encode(Hello(number)))
            network.send(ROUTER, name, encode(Hello(number)))
    log = network.delivered(2 * 60 * len(ENDPOINTS))
    for pair in [(name, ROUTER) for name in ENDPOINTS] + [(ROUTER, name) for name in ENDPOINTS]:
        assert [message.pid for sender, receiver, message in log if (sender, receiver) == pair] == list(range(60))


def test_a_megabyte_arrives_as_it_was_sent(network):
    body = random.Random(1).randbytes(MEGABYTE)
    for name in ENDPOINTS:
        network.send(name, ROUTER, encode(Letter(name, body)))
        network.send(ROUTER, name, encode(Letter(name, body)))
    log = network.delivered(2 * len(ENDPOINTS))
    assert all(message.body == body for _, _, message in log)
    assert {(sender, receiver) for sender, receiver, _ in log} == {p for n in ENDPOINTS for p in ((n, ROUTER), (ROUTER, n))}


@pytest.mark.parametrize("nobody", ["PE(7,6,3)@0", "", "router@1", "PE(7,6,3)@0 with a very long name " * 7])
def test_an_unknown_destination_is_named(network, nobody):
    with pytest.raises(TransportError) as caught:
        network.send(ROUTER, nobody, encode(Hello(1)))
    assert f"cannot reach {nobody}" in str(caught.value)
    network.send(ROUTER, ENDPOINTS[0], encode(Hello(2)))  # and the others can still be reached
    assert network.delivered(1) == [(ROUTER, ENDPOINTS[0], Hello(2))]


@pytest.mark.parametrize("raw", [b"", b"\0", b"\xc1", b"no message", bytes(1000)], ids=lambda raw: raw[:4].hex())
def test_bytes_that_are_no_message_arrive_as_such(network, raw):
    network.send(ENDPOINTS[0], ROUTER, raw)
    network.send(ENDPOINTS[0], ROUTER, encode(Hello(1)))
    network.send(ROUTER, ENDPOINTS[1], raw)
    assert sorted(network.delivered(3), key=str) == sorted(
        [(ENDPOINTS[0], ROUTER, None), (ENDPOINTS[0], ROUTER, Hello(1)), (ROUTER, ENDPOINTS[1], None)], key=str
    )


@pytest.mark.parametrize("name", [name for name in transport_names() if transport_named(name).PROCESSES])
def test_no_address_is_given_out_twice(name):
    scheme = transport_named(name)
    assert len({scheme.new_address() for _ in range(100)}) == 100


# --- mem --------------------------------------------------------------------------------------------------------------


def test_a_seed_shuffles_pairs_and_repeats():
    def arrival(seed):
        mem = Mem(seed)
        for number in range(10):
            for name in ENDPOINTS:
                mem.send(name, ROUTER, encode(Hello(number)))
        return [sender for sender, _, _ in mem.delivered(30)]

    assert arrival(1) == arrival(1)
    assert len({tuple(arrival(seed)) for seed in (None, 1, 2, 3)}) == 4


# --- zmq: waits, queues, endings --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [ROUTER, ENDPOINTS[0]])
@pytest.mark.parametrize("timeout_s", [0, 0.05, 0.2])
def test_receive_gives_up_in_time(star, name, timeout_s):
    began = time.monotonic()
    assert star.all[name].receive(timeout_s) is None
    assert timeout_s - 0.01 <= time.monotonic() - began < timeout_s + 2.0


def test_receive_returns_as_soon_as_something_is_there(star):
    began = time.monotonic()
    threading.Timer(SOON_S, star.send, (ENDPOINTS[0], ROUTER, encode(Hello(1)))).start()
    assert star.all[ROUTER].receive(WAIT_S) == (ENDPOINTS[0], encode(Hello(1)))
    assert time.monotonic() - began < WAIT_S / 2


def test_a_full_queue_is_an_error_with_a_name_and_nothing_is_dropped():
    star = Zmq(queue=4)
    try:
        sent = 0
        with pytest.raises(TransportError, match="cannot reach") as caught:
            while sent < 200:
                star.send(ROUTER, ENDPOINTS[0], encode(Letter(str(sent), bytes(1 << 16))))
                sent += 1
        assert ENDPOINTS[0] in str(caught.value)
        assert sent >= 4
        star.send(ROUTER, ENDPOINTS[1], encode(Hello(1)))  # the queues of the others are their own
        log = star.delivered(sent + 1)
        assert [message.peer for _, name, message in log if name == ENDPOINTS[0]] == [str(number) for number in range(sent)]
    finally:
        star.close()


def test_an_endpoint_whose_router_takes_nothing_gives_up_with_its_name(monkeypatch):
    monkeypatch.setattr(transport_zmq, "_SEND_TIMEOUT_S", SOON_S)
    alone = DealerSocket("host", new_address(), 2, peer=ROUTER, identity=b"host")
    try:
        with pytest.raises(TransportError, match=f"cannot reach {ROUTER}"):
            for _ in range(10):
                alone.send(ROUTER, b"nobody listens")
    finally:
        alone.close()


def test_who_has_left_cannot_be_reached(star):
    star.all[ENDPOINTS[0]].close()
    deadline = time.monotonic() + WAIT_S
    with pytest.raises(TransportError, match="cannot reach") as caught:
        while time.monotonic() < deadline:
            star.send(ROUTER, ENDPOINTS[0], b"")
    assert ENDPOINTS[0] in str(caught.value)


def resources():
    """Return how many threads, sockets, pipes and event counters this process has."""
    found = Counter(thread=len(list(Path("/proc/self/task").iterdir())))
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[str(entry.readlink()).split(":")[0]] += 1
    return found


def descriptors():
    """Return `resources` without threads: one that a test has joined may be seen a moment longer."""
    return {kind: count for kind, count in resources().items() if kind != "thread"}


def test_close_gives_everything_back():
    before = resources()
    for _ in range(3):
        Zmq().close()
    assert not resources() - before


def test_close_does_not_wait_for_what_nobody_takes():
    before = resources()
    alone = DealerSocket("host", new_address(), 100, peer=ROUTER, identity=b"host")
    alone.send(ROUTER, bytes(MEGABYTE))
    began = time.monotonic()
    alone.close()
    assert time.monotonic() - began < 2.0
    assert not resources() - before


def test_an_address_is_nobody_elses_and_no_file():
    addresses = {new_address() for _ in range(100)}
    assert len(addresses) == 100
    assert all(address.startswith("ipc://@") for address in addresses)  # the abstract namespace


@pytest.fixture
def contexts(monkeypatch):
    """Every context made during the test, closed after it."""
    made, new = [], zmq.Context
    monkeypatch.setattr(zmq, "Context", lambda *args, **named: made.append(new(*args, **named)) or made[-1])
    yield made
    for context in made:
        context.destroy(linger=0)


def test_an_address_that_is_taken_is_refused(contexts, star):
    """With the family's own error, and without leaving anything open."""
    with pytest.raises(TransportError):
        RouterSocket(ROUTER, address_of(star), 10, secret=SECRET)
    assert contexts[-1].closed


# --- zmq: strangers ---------------------------------------------------------------------------------------------------


class Stranger:
    """A peer that speaks ZeroMQ but not our language."""

    def __init__(self, star, kind=zmq.DEALER, identity=None):
        self.context = zmq.Context()
        self.socket = self.context.socket(kind)
        self.socket.linger = 100
        if identity is not None:
            self.socket.setsockopt(zmq.ROUTING_ID, identity)
        self.socket.connect(address_of(star))

    def __enter__(self):
        return self.socket

    def __exit__(self, *_):
        self.context.destroy(linger=100)


def others_are_served(star):
    """Every endpoint's messages still pass, both ways."""
    for number, name in enumerate(ENDPOINTS):
        star.send(name, ROUTER, encode(Hello(number)))
        star.send(ROUTER, name, encode(Fault(name)))
    log = star.delivered(2 * len(ENDPOINTS))
    for number, name in enumerate(ENDPOINTS):
        assert (name, ROUTER, Hello(number)) in log
        assert (ROUTER, name, Fault(name)) in log


@pytest.mark.few(11)
@pytest.mark.parametrize(
    "frames",
    [
        [b""],
        [b"garbage"],
        [b"", b"", b""],
        [b"a", b"b", b"c"],
        [b"\xff" * 1000],
        [encode(Hello(1)), b"more"],
        [b"", encode(Hello(1))],
    ],
    ids=["empty", "1 frame", "3 empty", "3 frames", "no msgpack", "message and more", "like a REQ"],
)
@pytest.mark.parametrize("identity", [None, b"\xff\xfe", b"stranger", b"s" * 255])
def test_garbage_of_a_stranger_arrives_as_no_message(star, frames, identity):
    with Stranger(star, identity=identity) as stranger:
        stranger.send_multipart(frames)
        sender, raw = star.all[ROUTER].receive(WAIT_S)
        assert sender == STRANGER
        with pytest.raises(WireError):
            decode(raw)
        others_are_served(star)


@pytest.mark.parametrize("kind", [zmq.REQ, zmq.ROUTER, zmq.PUB, zmq.PUSH, zmq.PAIR], ids=["REQ", "ROUTER", "PUB", "PUSH", "PAIR"])
def test_a_stranger_with_another_kind_of_socket_does_no_harm(star, kind):
    with Stranger(star, kind) as stranger:
        with contextlib.suppress(zmq.ZMQError):  # a socket that has nobody to send to
            stranger.send(b"hello?", zmq.NOBLOCK)
        others_are_served_but_for(star)


def others_are_served_but_for(star):
    """As `others_are_served`, after whatever the stranger said."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        received = star.all[ROUTER].receive(SOON_S)
        assert received is None or received[0] not in ENDPOINTS
    others_are_served(star)


@pytest.mark.parametrize("name", [ENDPOINTS[0], "host", "router@1"])
def test_nobody_takes_a_name_without_its_secret_however_early_he_comes(name):
    """The name itself, a proof by another secret, and the proof of another name; before its owner has come."""
    address = new_address()
    lies = (
        name.encode(),
        bytes(16) + name.encode(),
        identity_of(name, new_secret()),
        identity_of("x", SECRET)[:16] + name.encode(),
    )
    router = RouterSocket(ROUTER, address, 100, secret=SECRET)
    with zmq.Context() as context, contextlib.ExitStack() as stack:
        for lie in lies:
            stranger = stack.enter_context(context.socket(zmq.DEALER))
            stranger.setsockopt(zmq.ROUTING_ID, lie)
            stranger.connect(address)
            stranger.send(encode(Hello(666)))
            assert router.receive(WAIT_S) == (STRANGER, b"")  # and nothing of it is unpacked
        owner = stack.enter_context(context.socket(zmq.DEALER))  # any libzmq peer that knows the run's secret
        owner.setsockopt(zmq.ROUTING_ID, identity_of(name, SECRET))
        owner.connect(address)
        owner.send(encode(Hello(1)))
        assert router.receive(WAIT_S) == (name, encode(Hello(1)))
        router.send(name, b"for the owner")
        assert owner.poll(int(WAIT_S * 1000))
        assert owner.recv() == b"for the owner"
    router.close()


def test_a_router_shows_its_own_identity_to_whom_it_calls_and_to_nobody_who_calls():
    """Else a stranger would read it off the first message of a handshake, and show it to the neighbour."""
    address, neighbour = new_address(), new_address()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.bind("\0" + neighbour.removeprefix("ipc://@"))
        listener.listen()
        listener.settimeout(WAIT_S)
        router = RouterSocket(ROUTER, address, 100, calls={"router@1": neighbour}, secret=SECRET)
        client.settimeout(WAIT_S)
        client.connect("\0" + address.removeprefix("ipc://@"))
        shown = {}
        with listener.accept()[0] as called:
            for who, connection in (("called", called), ("caller", client)):
                connection.settimeout(WAIT_S)
                connection.sendall(GREETING + READY)
                with connection.makefile("rb") as stream:
                    _, _, size = stream.read(64), *stream.read(2)
                    shown[who] = stream.read(size)
        assert identity_of(ROUTER, SECRET) in shown["called"]
        assert shown["caller"].startswith(b"\5READY")
        assert ROUTER.encode() not in shown["caller"]
        router.close()


def test_a_message_that_is_too_large_costs_its_sender_the_connection_alone():
    star = Zmq()
    try:
        with Stranger(star) as stranger:
            stranger.send(bytes(5 * MEGABYTE))
            assert star.all[ROUTER].receive(SOON_S) is None
            others_are_served(star)
    finally:
        star.close()


GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(48)  # a client that knows how ZMTP 3.0 begins
READY = b"\4\x1c\5READY\x0bSocket-Type\0\0\0\6DEALER"


@pytest.mark.parametrize("opening", [b"", GREETING[:10], GREETING, GREETING + READY], ids=["nothing", "half", "greeting", "ready"])
def test_random_bytes_on_the_bare_socket_do_no_harm(star, opening):
    path = address_of(star).removeprefix("ipc://@")
    noise = random.Random(len(opening))
    for size in (0, 1, 9, 100, 5000, 100_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1.0)
            client.connect(f"\0{path}")
            with contextlib.suppress(OSError):  # it may hang up on us
                client.sendall(opening + noise.randbytes(size))
    others_are_served_but_for(star)


# --- zmtp: a peer that the test plays, byte by byte -------------------------------------------------------------------


def framed(body, flags=0):
    return frame_head(len(body), flags) + body


SHORT, LENGTHY = b"short", bytes(range(256)) * 40
PING, PONG = b"\4PING\0\x10context", b"\4PONGcontext"


@contextlib.contextmanager
def peer(play, connect=True):
    """Listen where an endpoint connects; `play(connection)` runs in a thread of its own. Yields (endpoint or address, thread)."""
    with socket.socket(socket.AF_UNIX) as listener:
        address = new_address()
        listener.bind("\0" + address.removeprefix("ipc://@"))
        listener.listen()
        listener.settimeout(WAIT_S)

        def accept():
            with listener.accept()[0] as connection:
                connection.settimeout(WAIT_S)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    play(connection)

        thread = threading.Thread(target=accept)
        thread.start()
        endpoint = ZmtpTransport("host", address, peer=ROUTER, identity=b"host") if connect else None
        try:
            yield endpoint or address, thread
        finally:
            if endpoint:
                endpoint.close()
            thread.join()


def after_handshake(play=lambda connection: None, until_closed=True):
    """Play a router that knows ZMTP, and then `play`."""

    def opened(connection):
        connection.sendall(GREETING + READY)
        ours = connection.recv(64, socket.MSG_WAITALL)
        assert (ours[:1], ours[9:12]) == (b"\xff", b"\x7f\3\1")
        flags, size = connection.recv(2, socket.MSG_WAITALL)
        ready = connection.recv(size, socket.MSG_WAITALL)
        assert (flags, ready[:6]) == (COMMAND, b"\5READY")
        assert b"\x0bSocket-Type\0\0\0\6DEALER" in ready
        assert b"\x08Identity\0\0\0\4host" in ready
        play(connection)
        while until_closed and connection.recv(1 << 16):
            pass

    return opened


def drip(raw, every_s=0.0):
    def play(connection):
        for byte in raw:
            connection.sendall(bytes([byte]))
            time.sleep(every_s)

    return play


def test_a_peer_that_speaks_byte_by_byte_is_understood():
    stream = framed(SHORT) + framed(PING, COMMAND) + framed(b"") + bytes([LONG]) + bytes(7) + b"\5" + SHORT + framed(LENGTHY[:300])
    handshake = threading.Event()

    def play(connection):
        drip(GREETING + READY)(connection)
        handshake.set()
        drip(stream)(connection)
        connection.recv(1 << 16)

    with peer(play) as (endpoint, _):
        assert handshake.wait(WAIT_S)
        assert [endpoint.receive(WAIT_S) for _ in range(4)] == [(ROUTER, body) for body in (SHORT, b"", SHORT, LENGTHY[:300])]
        assert endpoint.receive(0) is None


def test_many_frames_in_one_piece_and_one_in_many_are_told_apart():
    bodies = [SHORT, LENGTHY, bytes(MEGABYTE), b"", *[b"x" * n for n in range(250, 260)]] * 2
    with peer(after_handshake(lambda connection: connection.sendall(b"".join(map(framed, bodies))))) as (endpoint, _):
        assert [endpoint.receive(WAIT_S) for _ in bodies] == [(ROUTER, body) for body in bodies]


def test_a_ping_is_answered():
    heard = []

    def play(connection):
        connection.sendall(framed(PING, COMMAND) + framed(SHORT))
        heard.append(connection.recv(len(framed(PONG, COMMAND)), socket.MSG_WAITALL))

    with peer(after_handshake(play)) as (endpoint, _):
        assert endpoint.receive(WAIT_S) == (ROUTER, SHORT)
    assert heard == [framed(PONG, COMMAND)]


def test_a_ping_of_one_who_has_gone_does_no_harm():
    with peer(after_handshake(lambda c: c.sendall(framed(PING, COMMAND) + framed(SHORT)), until_closed=False)) as (
        endpoint,
        thread,
    ):
        thread.join()
        assert endpoint.receive(WAIT_S) == (ROUTER, SHORT)


@pytest.mark.parametrize(
    "address", ["ipc://@gennaker-nobody", "ipc:///tmp/gennaker-nobody", "tcp://127.0.0.1:1", f"ipc://{'x' * 200}"]
)
def test_where_nobody_listens_that_is_said_in_time_in_one_line(monkeypatch, address):
    monkeypatch.setattr(zmtp, "_CONNECT_WITHIN_S", SOON_S)
    before, began = descriptors(), time.monotonic()
    with pytest.raises(TransportError) as caught:
        ZmtpTransport("host", address, peer=ROUTER, identity=b"host")
    assert time.monotonic() - began < 2.0
    assert address in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert descriptors() == before


@pytest.mark.parametrize(
    "play",
    [
        lambda connection: None,
        lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n" + bytes(64)),
        lambda connection: connection.sendall(GREETING[:10] + b"\1" + GREETING[11:]),
        lambda connection: connection.sendall(GREETING[:30]),
        lambda connection: connection.recv(1 << 16, socket.MSG_WAITALL),
        lambda connection: connection.sendall(GREETING + framed(b"\5ERROR\7refused", COMMAND)),
        lambda connection: connection.sendall(GREETING + framed(b"a message", 0)),
        drip(GREETING + READY, 0.03),
    ],
    ids=["hangs up", "HTTP", "ZMTP 2", "half a greeting", "silence", "ERROR", "a message", "drips"],
)
def test_a_peer_that_is_no_zmtp_is_refused_in_time_in_one_line(monkeypatch, play):
    monkeypatch.setattr(zmtp, "_CONNECT_WITHIN_S", 4 * SOON_S)
    before = descriptors()
    with peer(play, connect=False) as (address, _):
        began = time.monotonic()
        with pytest.raises(TransportError, match=f"host cannot reach {ROUTER} on ipc://@.*: ") as caught:
            ZmtpTransport("host", address, peer=ROUTER, identity=b"host")
        assert time.monotonic() - began < 2.0
        assert len(str(caught.value).splitlines()) == 1
    assert descriptors() == before


@pytest.mark.parametrize("timeout_s", [0, 1e-9, 0.05, 0.2])
def test_a_zmtp_endpoint_gives_up_in_time(timeout_s):
    with peer(after_handshake()) as (endpoint, _):
        for _ in range(2):
            began = time.monotonic()
            assert endpoint.receive(timeout_s) is None
            assert timeout_s - 0.01 <= time.monotonic() - began < timeout_s + 2.0


def test_a_peer_that_keeps_dripping_does_not_hold_a_receiver():
    with peer(after_handshake(drip(framed(bytes(200)), 0.005))) as (endpoint, _):
        began = time.monotonic()
        assert endpoint.receive(SOON_S) is None
        assert time.monotonic() - began < 0.8  # the message takes a second
        assert endpoint.receive(WAIT_S) == (ROUTER, bytes(200))  # nothing of it is lost


def test_what_a_router_said_before_it_went_arrives_and_then_nothing_in_time():
    play = after_handshake(
        lambda connection: connection.sendall(framed(SHORT) + framed(LENGTHY) + framed(SHORT)[:4]), until_closed=False
    )
    with peer(play) as (endpoint, thread):
        thread.join()
        endpoint.send(ROUTER, SHORT)  # says nothing: the launcher knows why nobody is there
        assert [endpoint.receive(WAIT_S) for _ in range(2)] == [(ROUTER, SHORT), (ROUTER, LENGTHY)]
        for _ in range(2):
            began = time.monotonic()
            assert endpoint.receive(SOON_S) is None
            assert SOON_S - 0.01 <= time.monotonic() - began < 2.0
        endpoint.send(ROUTER, SHORT)


def test_a_router_that_takes_nothing_is_named_in_time(monkeypatch):
    monkeypatch.setattr(zmtp, "_SEND_TIMEOUT_S", SOON_S)
    full = threading.Event()
    with peer(after_handshake(lambda connection: full.wait(WAIT_S), until_closed=False)) as (endpoint, _):
        try:
            with pytest.raises(TransportError, match=f"cannot reach {ROUTER}: ") as caught:
                for _ in range(100):
                    began = time.monotonic()
                    endpoint.send(ROUTER, bytes(1 << 16))
            assert time.monotonic() - began < 2.0
            assert len(str(caught.value).splitlines()) == 1
            endpoint._limit(socket.SO_SNDTIMEO, WAIT_S)
            began = time.monotonic()
            endpoint.send(ROUTER, SHORT)  # behind half a frame it would be taken for the other half
            assert time.monotonic() - began < WAIT_S / 2
        finally:
            full.set()


@pytest.mark.parametrize("size", [1001, 1 << 40, (1 << 64) - 1])
def test_a_frame_that_is_too_large_is_refused_before_it_is_taken(monkeypatch, size):
    monkeypatch.setattr(zmtp, "MAX_MESSAGE_BYTES", 1000)
    start = framed(bytes(1000)) + bytes([LONG]) + size.to_bytes(8, "big")
    with peer(after_handshake(lambda connection: connection.sendall(start))) as (endpoint, _):
        assert endpoint.receive(WAIT_S) == (ROUTER, bytes(1000))
        with pytest.raises(TransportError, match=f"{ROUTER} sends a message of {size} B; the most is 1000 B"):
            endpoint.receive(WAIT_S)
        assert endpoint.inbox.size < 1 << 16


def test_closing_a_zmtp_endpoint_gives_everything_back_and_what_was_sent_arrives():
    before = resources()
    star = Zmtp()
    for name in ENDPOINTS:
        star.send(ROUTER, name, encode(Hello(1)))  # never read
        star.send(name, ROUTER, encode(Letter(name, bytes(MEGABYTE))))
        star.all.pop(name).close()
    log = star.delivered(len(ENDPOINTS))
    assert {(sender, message.peer) for sender, _, message in log} == {(name, name) for name in ENDPOINTS}
    star.close()
    assert not resources() - before


# --- serve: the loop between a core and a transport -------------------------------------------------------------------


class Echo(Recorder):
    """A core that sends every message back, and leaves at the first fault."""

    def handle(self, sender, message):
        super().handle(sender, message)
        self.done = isinstance(message, Fault)
        return [] if self.done else [((sender,), message)]


def test_serve_hands_over_until_the_core_is_done(star):
    core = Echo(ROUTER, [])
    for raw in (encode(Hello(1)), b"garbage", encode(Fault("enough"))):
        star.send("host", ROUTER, raw)
    serve(core, star.all[ROUTER])
    assert core.log == [("host", ROUTER, Hello(1)), ("host", ROUTER, None), ("host", ROUTER, Fault("enough"))]
    assert star.all["host"].receive(WAIT_S) == (ROUTER, encode(Hello(1)))


def test_serve_tells_what_could_not_be_delivered(star):
    class Misled(Echo):
        def handle(self, sender, message):
            return [(("PE(7,6,3)@0",), m) for _, m in super().handle(sender, message)]

    for raw in (encode(Hello(1)), encode(Fault("enough"))):
        star.send("host", ROUTER, raw)
    serve(Misled(ROUTER, []), star.all[ROUTER], undelivered=lambda why: [(("host",), Fault(why))])
    _, raw = star.all["host"].receive(WAIT_S)
    assert "cannot reach PE(7,6,3)@0" in decode(raw).text
    star.send("host", ROUTER, encode(Hello(1)))
    with pytest.raises(TransportError, match="PE\\(7,6,3\\)@0"):
        serve(Misled(ROUTER, []), star.all[ROUTER])
