"""Links between machines over real TCP: who is let in, what survives a broken connection, and what is told when it stays broken."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

import pytest
import zmq

from noc.identities import identity_of
from noc.transport import TransportError
from noc.transport_tcp import FIRST_S, PATIENCE_S, SILENCE_S, Bridge, Listening, MachineLinks, new_keys
from noc.transports.zmq import DealerSocket, RouterSocket, new_address

pytestmark = pytest.mark.timeout(60)
HERE = Listening("127.0.0.1")


@contextlib.contextmanager
def links(keys, name, listening=None):
    """Yield links and what they tell."""
    told: list[dict] = []
    made = MachineLinks(name, keys, 1000, listening, told.append)
    try:
        yield made, told
    finally:
        made.close()


def until(what, *others, within_s=20.0):
    """Wait until `what()` holds, while `others` are looked after."""
    deadline = time.monotonic() + within_s
    while not (result := what()):
        assert time.monotonic() < deadline
        for other in others:
            other.take()
        time.sleep(0.005)
    return result


class Proxy:
    """Stands between a caller and a port; its connections can be cut, and new ones refused."""

    def __init__(self, to: int) -> None:
        self._to, self._open = to, True
        self._pairs: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._pairs.append(near)  # at once: it is closed in the end, whatever becomes of it
                if not self._open:
                    near.shutdown(socket.SHUT_RDWR)
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs.append(far)
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := one.recv(1 << 16):
                other.sendall(piece)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self, stay_open: bool = False) -> None:
        """Break every connection, losing what is under way; refuse new ones unless told otherwise."""
        self._open = stay_open
        for end in self._pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let new connections through again."""
        self._open = True

    def close(self) -> None:
        """Close everything."""
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # who accepts is woken by that
        self._accepting.join(5.0)
        for end in (*self._pairs, self._listener):
            end.close()


@pytest.fixture
def proxied():
    """Yield (a router that listens, one that called it through a proxy, what that one tells, the proxy)."""
    keys = new_keys()
    with links(keys, "router@0", HERE) as (here, _), links(keys, "router@1") as (there, told):
        proxy = Proxy(here.port)
        there.call({"router@0": f"tcp://127.0.0.1:{proxy.port}"})
        try:
            yield here, there, told, proxy
        finally:
            proxy.close()


def test_messages_go_both_ways_also_before_anybody_has_answered(proxied):
    here, there, _, _ = proxied
    here.send("router@1", b"waits until it calls")
    there.send("router@0", b"hello")
    assert until(here.take, there) == ("router@1", b"hello")
    assert until(there.take, here) == ("router@0", b"waits until it calls")


def test_nothing_is_lost_twice_or_out_of_order_where_connections_break(proxied):
    here, there, told, proxy = proxied
    heard: tuple[list[bytes], list[bytes]] = [], []
    for number in range(600):
        if number % 150 == 75:
            proxy.cut(stay_open=True)  # with whatever is under way
        for one, other, name, to in ((here, there, "router@1", 0), (there, here, "router@0", 1)):
            one.send(name, b"%d" % number * 50)
            while (got := other.take()) is not None:
                heard[to].append(got[1])
        if number % 10 == 0:
            time.sleep(0.005)

    def all_is_there():
        for end, to in ((there, 0), (here, 1)):
            while (got := end.take()) is not None:
                heard[to].append(got[1])
        return min(map(len, heard)) == 600

    until(all_is_there)
    assert heard[0] == heard[1] == [b"%d" % number * 50 for number in range(600)]
    assert not [record for record in told if record["kind"] == "cut"]


def test_a_link_that_stays_broken_is_told_once_and_in_time(proxied):
    here, there, told, proxy = proxied
    there.send("router@0", b"hello")
    until(here.take, there)
    proxy.cut()
    began = time.monotonic()
    record = until(lambda: next((r for r in told if r["kind"] == "cut"), None), here, there)
    assert (record["name"], record["peer"]) == ("router@1", "router@0")
    assert PATIENCE_S - 0.5 < time.monotonic() - began < PATIENCE_S + SILENCE_S
    proxy.mend()
    there.send("router@0", b"again")
    assert until(here.take, there) == ("router@1", b"again")
    assert len([r for r in told if r["kind"] == "cut"]) == 1


@pytest.mark.wide
def test_a_peer_that_never_answers_has_the_time_in_which_hundreds_of_processes_start():
    told, keys = [], new_keys()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        here = MachineLinks("router@1", keys, 1000, None, told.append)
        try:
            began = time.monotonic()
            here.call({"router@0": f"tcp://127.0.0.1:{silent.getsockname()[1]}"})
            record = until(lambda: next((r for r in told if r["kind"] == "cut"), None), here, within_s=3 * FIRST_S)
            assert (record["name"], record["peer"]) == ("router@1", "router@0")
            assert FIRST_S - 0.5 < time.monotonic() - began < FIRST_S + SILENCE_S
        finally:
            here.close()


def test_strangers_stale_keys_and_plain_text_are_refused_and_counted():
    keys, others = new_keys(), new_keys()
    with links(keys, "router@0", HERE) as (here, told), zmq.Context() as context:
        peers = []
        for ours, server in ((None, None), (others, others), (others, keys)):
            peer = context.socket(zmq.DEALER)
            peer.setsockopt(zmq.LINGER, 0)
            peer.setsockopt(zmq.ROUTING_ID, b"router@1")
            if ours and server:
                peer.curve_publickey, peer.curve_secretkey = ours.public.encode(), ours.secret.encode()
                peer.curve_serverkey = server.public.encode()
            peer.connect(f"tcp://127.0.0.1:{here.port}")
            peer.send(b"let me in")
            peers.append(peer)
        with socket.create_connection(("127.0.0.1", here.port)) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n" + bytes(100))
            try:
                until(lambda: told and told[-1]["refused"]["stale_key"] and told[-1]["refused"]["stranger"], here)
            finally:
                for peer in peers:
                    peer.close()
            # Who speaks plain text may be the first to hang up, before this side has understood why: then it is one of those who
            # broke off, whom only the end of the others' attempts tells from these.
            until(lambda: told[-1]["refused"]["plain_text"] or told[-1]["refused"]["broken_off"], here)
        assert here.take() is None  # nobody heard them


def test_each_connection_that_comes_to_nothing_is_counted_once_whatever_it_says():
    """Random bytes, HTTP, half a greeting, silence: most of it libzmq drops without a word."""
    keys, kinds = (
        new_keys(),
        (b"", b"\x01\x02random", b"GET / HTTP/1.1\r\n\r\n", b"\xff\0\0", b"\xff" + bytes(8) + b"\x7f\3\0CURVE" + bytes(300)),
    )
    with links(keys, "router@0", HERE) as (here, told), links(keys, "router@1") as (peer, _):
        peer.call({"router@0": f"tcp://127.0.0.1:{here.port}"})
        peer.send("router@0", b"hello")
        until(here.take, peer)
        crowd = [socket.create_connection(("127.0.0.1", here.port)) for _ in range(10 * len(kinds))]
        for number, stranger in enumerate(crowd):
            stranger.sendall(kinds[number % len(kinds)])
        for stranger in crowd[::2]:
            stranger.close()
        peer.send("router@0", b"still here")
        assert until(here.take, peer) == ("router@1", b"still here")
        time.sleep(0.2)
    assert sum(told[-1]["refused"].values()) == len(crowd)
    for stranger in crowd:
        stranger.close()


def test_a_port_is_taken_from_the_range_and_one_that_is_taken_is_said():
    keys, low = new_keys(), two_free_ports()
    two = Listening("127.0.0.1", low, low + 1)
    with links(keys, "router@0", two) as (first, _), links(keys, "router@1", two) as (second, _):
        assert (first.port, second.port) == (low, low + 1)
        with pytest.raises(TransportError, match=rf"router@2 cannot listen on 127.0.0.1, port {low} to {low + 1}: Address already"):
            MachineLinks("router@2", keys, 10, two, lambda _: None)


def two_free_ports():
    """Return the first of two free ports in a row: others may use any, another run of this test included."""
    for low in random.sample(range(20_000, 32_000, 2), 100):  # below those that systems give to callers
        with contextlib.suppress(OSError), socket.socket() as first, socket.socket() as second:
            for number, taken in enumerate((first, second)):
                taken.bind(("127.0.0.1", low + number))
            return low
    pytest.fail("no two free ports in a row")


def test_a_router_hears_each_peer_only_where_it_belongs():
    """`Bridge`: PEs within the machine, neighbours over the links; a PE's name over the network is a stranger's."""
    keys, address = new_keys(), new_address()
    local = RouterSocket("router@0", address, 10, secret=bytes(32))
    pe = DealerSocket("PE(1,1,0)@0", address, 10, peer="router@0", identity=identity_of("PE(1,1,0)@0", bytes(32)))
    listening = MachineLinks("router@0", keys, 10, HERE, lambda _: None)
    bridge = Bridge(local, listening, frozenset({"router@1"}))
    with links(keys, "router@1") as (neighbour, _), links(keys, "PE(1,1,0)@0") as (liar, _):
        for end in (neighbour, liar):
            end.call({"router@0": f"tcp://127.0.0.1:{listening.port}"})
            end.send("router@0", b"from afar")
        pe.send("router@0", b"from here")
        heard = set()
        deadline = time.monotonic() + 20
        while len(heard) < 3 and time.monotonic() < deadline:
            for end in (neighbour, liar):
                end.take()
            got = bridge.receive(0.01)
            heard |= {got} if got else set()
        assert heard == {("router@1", b"from afar"), ("stranger", b""), ("PE(1,1,0)@0", b"from here")}
        bridge.send("router@1", b"back")
        assert until(neighbour.take) == ("router@0", b"back")
        bridge.send("PE(1,1,0)@0", b"back")
        assert pe.receive(5) == ("router@0", b"back")
    pe.close()
    bridge.close()
