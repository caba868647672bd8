"""What a router promises whose socket is read and written by compiled code: its peers hear what they would hear of one that takes
each message in Python, whoever speaks and whatever is said; it waits as long as it is asked to, and says whom it cannot reach.
"""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc import packet as p
from noc.identities import identity_of
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.serve import post, serve
from noc.transport import TAKEN, TransportError
from noc.transports.zmq import DealerSocket, RouterSocket, new_address
from noc.wire import decode, encode, encode_sealed
from noc.wiring import Wiring
from pe import router_loop
from pe.compiled_columns import CompiledColumns
from tests.test_router import OWNS, ROUTER, A, B, C, batches, configuration, orders

SECRET, QUEUE, WAIT_S = bytes(range(32)), 1000, 30.0
STRANGE = {"stranger": b"\0nobody we know", "other": identity_of("PE(7,6,3)@9", SECRET), "false": bytes(16) + A.encode()}
WIRING = Wiring(up=p.HOST)


class Chip:
    """A router in a thread of its own, and its peers' sockets; `with_loop`: its socket is read by compiled code."""

    def __init__(self, *, with_loop, message=None):
        address = new_address()
        router = ChipRouter(ROUTER, 16, WIRING, make_columns=CompiledColumns)
        self.socket = RouterSocket(ROUTER, address, QUEUE, secret=SECRET)
        self.transport = router_loop.loop_of(router, self.socket, SECRET) if with_loop else self.socket
        links = RouterLinks(router, WIRING)
        self.kinds, self.senders = [], []  # of what it was handed in Python
        handle = links.handle_bytes

        def handle_bytes(sender, raw):
            self.kinds.append(raw is TAKEN)
            out = handle(sender, raw)
            self.senders.append(sender)
            return out

        links.handle_bytes = handle_bytes
        known = {name: identity_of(name, SECRET) for name in OWNS}
        self.peers = {
            name: DealerSocket(name, address, QUEUE, peer=ROUTER, identity=identity) for name, identity in (known | STRANGE).items()
        }
        self.thread = threading.Thread(target=serve, args=(links, self.transport, None, links.undelivered))
        self.tell(message or configuration())
        self.thread.start()
        assert decode(decode(self.hear(p.HOST)).body) == p.Configured()
        for name in (A, B, C):  # whom it has heard it can send to, and it says to the host who that was
            self.peers[name].send(ROUTER, encode(p.Hello(1)))
        assert {decode(self.hear(p.HOST)).peer for _ in "ABC"} == {A, B, C}

    def tell(self, message):
        self.peers[p.HOST].send(ROUTER, encode(p.Letter(ROUTER, encode(message))))

    def hear(self, name, wait_s=WAIT_S):
        received = self.peers[name].receive(wait_s)
        assert received is not None, name
        return received[1]

    def until_read(self, ticks):
        """Everything that the host hears until the counters of so many ticks, which come last."""
        self.tell(p.Read(ticks))
        said = []
        while not said or "packets_in" not in str(said[-1]):
            said.append(decode(self.hear(p.HOST)))
            if isinstance(said[-1], p.Letter):
                said[-1] = decode(said[-1].body)
        return said

    def close(self):
        self.tell(p.Stop())
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
        for transport in (*self.peers.values(), self.transport):
            transport.close()


def said(sent, *, with_loop):
    """What each peer hears of these (sender, frames), and the counters."""
    chip = Chip(with_loop=with_loop)
    try:
        for name, frames in sent:
            chip.peers[name].socket.send_multipart(frames)
        strange, deadline = sum(name in STRANGE for name, _ in sent), time.monotonic() + WAIT_S
        while sum(name not in OWNS for name in chip.senders) < strange and time.monotonic() < deadline:
            time.sleep(0.001)  # they have sockets of their own, and are counted when they come
        last = chip.until_read(2)
        heard = {p.HOST: last}
        for name in (A, B, C):
            heard[name] = [chip.hear(name) for _ in range(2)]
        return heard, chip.kinds
    finally:
        chip.close()


@settings(deadline=None, max_examples=8)
@given(st.data())
def test_peers_hear_the_same_whoever_else_speaks_and_whatever_is_said(data):
    """Among batches that come in any order: strangers, garbage, nothing, several frames at once, a batch without its checksum."""
    sent = data.draw(orders(data.draw(batches())))
    frames = [(name, [encode(batch) if name == p.HOST else encode_sealed(batch)]) for name, batch in sent]
    plain_batch = next(at for at, (name, _) in enumerate(sent) if name == A)
    frames[plain_batch] = A, [encode(sent[plain_batch][1])]
    wrong = [(name, [raw]) for name in STRANGE for raw in (b"", b"\xc1", encode_sealed(sent[0][1]))]
    wrong += [(p.HOST, [b"\xc1 no msgpack"]), (A, [b"several", b"frames"]), (p.HOST, [b"", b""])]
    for one in wrong:
        # What a peer says behind its last batch may come after the counters: they are read when all batches are in.
        own = [at for at, (name, _) in enumerate(frames) if name == one[0]]
        frames.insert(data.draw(st.integers(0, own[-1] if own and one[0] in OWNS else len(frames))), one)
    (plain, _), (compiled, kinds) = (said(frames, with_loop=with_loop) for with_loop in (False, True))
    assert compiled == plain
    assert any(kinds)


def test_batches_that_fill_nothing_are_not_seen_by_python():
    """Of a tick's batches, those of them alone that were the last of a population, and the first, which opens it."""
    chip = Chip(with_loop=True)
    try:
        before = len(chip.kinds)
        sent = [(name, p.Batch(0, ())) for name in OWNS]
        for name in OWNS:
            sections = tuple(p.Section(n, p.VALID, 0, b"", b"", bytes(28)) for n in OWNS[name])
            sent.append((name, p.Batch(0, sections)))
        for name, batch in sent[len(OWNS) :]:
            chip.peers[name].send(ROUTER, encode(batch) if name == p.HOST else encode_sealed(batch))
        for name in (A, B, C):  # the tick is through: what asks for counters comes by a socket of its own, and could be first
            chip.hear(name)
        chip.until_read(1)
        taken = chip.kinds[before:]
        assert taken.count(True) <= len(configuration().senders)
        assert taken.count(False) == 1  # the host's question
    finally:
        chip.close()


@pytest.mark.parametrize("with_loop", [False, True])
def test_nothing_comes_back_after_as_long_as_was_asked(with_loop):
    router = ChipRouter(ROUTER, 16, WIRING, make_columns=CompiledColumns)
    socket = RouterSocket(ROUTER, new_address(), QUEUE, secret=SECRET)
    transport = router_loop.loop_of(router, socket, SECRET) if with_loop else socket
    try:
        RouterLinks(router, WIRING).handle_bytes(p.HOST, encode(p.Letter(ROUTER, encode(configuration()))))
        for wait_s in (0.0, 0.3, 0.0):
            began = time.monotonic()
            assert transport.receive(wait_s) is None
            assert time.monotonic() - began >= 0.9 * wait_s
    finally:
        transport.close()


@pytest.fixture
def sending():
    """A loop in this thread, as nobody reads its socket meanwhile, and two peers that it has heard."""
    address = new_address()
    socket = RouterSocket(ROUTER, address, QUEUE, secret=SECRET)
    transport = router_loop.loop_of(ChipRouter(ROUTER, 16, WIRING, make_columns=CompiledColumns), socket, SECRET)
    peers = {name: DealerSocket(name, address, QUEUE, peer=ROUTER, identity=identity_of(name, SECRET)) for name in (A, B)}
    for name, peer in peers.items():
        peer.send(ROUTER, encode(p.Hello(1)))
        assert transport.receive(WAIT_S) == (name, encode(p.Hello(1)))
    yield transport, peers
    for one in (*peers.values(), transport):
        one.close()


def test_who_cannot_be_reached_is_named_and_those_before_have_theirs(sending):
    transport, peers = sending
    raw, nobody = b"x" * 4000, "PE(3,3,3)@0"
    with pytest.raises(TransportError, match=r"PE\(3,3,3\)@0"):
        transport.send_all((A, nobody, B), raw)
    assert peers[A].receive(WAIT_S) == (ROUTER, raw)
    with pytest.raises(TransportError, match=r"PE\(3,3,3\)@0"):
        post(transport, [((nobody,), b"a")])
    for small in (raw, b"", b"a"):
        transport.send_all((A, B), small)
        transport.send_all((B,), small)
        assert [peers[name].receive(WAIT_S) for name in (A, B, B)] == [(ROUTER, small)] * 3


@pytest.mark.parametrize("name", ["PE(1,1,0)@0" + 100 * "x", "\ud800"])
def test_a_name_that_nobody_can_have_is_as_any_that_never_came(sending, name):
    transport, peers = sending
    with pytest.raises((TransportError, UnicodeError)):
        transport.send_all((A, name), b"a")
    assert peers[A].receive(WAIT_S) == (ROUTER, b"a")
    assert not router_loop._table_of([name], SECRET).any()


def test_a_queue_that_is_full_is_an_error_with_a_name(sending):
    transport, _ = sending
    with pytest.raises(TransportError, match=r"PE\(1,1,0\)@0"):
        for _ in range(100 * QUEUE):
            transport.send_all((A,), bytes(2000))


def test_without_libzmq_s_functions_the_socket_is_read_in_python(monkeypatch):
    monkeypatch.setattr(router_loop, "libzmq", lambda: None)
    socket = RouterSocket(ROUTER, new_address(), QUEUE, secret=SECRET)
    try:
        assert router_loop.loop_of(ChipRouter(ROUTER, 16), socket, SECRET) is socket
    finally:
        socket.close()
