"""Our own: the project's router process, wire and transport, and PEs without a neuron (`bench/peers/stub_shard.py`).

Router and PEs are those of a run, in processes of their own. The parent plays the host until all have said hello, and has no
part in the ticks.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
from pathlib import Path

import numpy as np

from bench.peers.engines import installed
from bench.peers.exchange import EVENT, UNITS, Part, Report, Size
from bench.peers.forked import Forked
from bench.peers.stub_shard import Parrot
from host.processes.parent_death import die_with
from host.processes.scheduling import let_others_finish
from noc import packet
from noc.checksum import SEAL_BYTES
from noc.identities import identity_of, new_secret
from noc.packet import HOST, VALID, Batch, Bundle, Message, Outgoing, Section, router_name
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.serve import post, serve
from noc.transports.zmq import DealerSocket, RouterSocket, new_address
from noc.wire import decode, encode
from noc.wiring import Wiring
from noc.zmtp import ZmtpTransport
from pe.compiled_columns import CompiledColumns
from pe.lifecycle import State
from pe.link import KeptBatches, PeLink
from pe.router_loop import loop_of
from pe.socket_loop import SocketLoop

NAME = "gennaker"
_CHIP, _POPULATION, _WINDOW = 0, 0, 2
_ROUTER = router_name(_CHIP)
_PATIENCE_S = 600.0  # a trial has a shorter limit of its own


def version() -> str:
    """Return the versions of what carries the packets."""
    return installed("pyzmq", "msgpack")


class _Emitter:
    """A PE that is born loaded: a core for `serve`, beside the exchange that makes its ticks."""

    def __init__(self, part: Part) -> None:
        self._part, self._parrot = part, Parrot(part, _POPULATION, UNITS * part.size.processes)
        self.tick = self._parrot.tick
        self.done, self.state = False, State.RUNNING

    @property
    def due(self) -> int:
        """The tick of the bundle that comes next."""
        return self.tick.number

    def boot(self) -> Outgoing:
        """Say hello."""
        return [((_ROUTER,), packet.Hello(os.getpid()))]

    def handle(self, sender: str, message: Message) -> Outgoing:  # noqa: ARG002 - there is one router
        match message:
            case packet.Start():
                self.tick.run(True)
                events = np.frombuffer(self._part.batch(0), EVENT)
                keys, values = events["key"].tobytes(), events["value"].tobytes()
                return [((_ROUTER,), Batch(0, (Section(_POPULATION, VALID, 0, keys, values, bytes(4)),)))]
            case Bundle():  # the first that the tick does not answer: all have been heard, or one was wrong
                self._parrot.tell()
                self.done = True
                return []
        raise AssertionError(f"a PE got {type(message).__name__}")

    def run_to_reading(self) -> None:
        """Do nothing: no counters are asked for."""

    def take_reading(self) -> Outgoing:
        """Return nothing: no counters are asked for."""
        return []

    def malformed(self, sender: str, why: str) -> Outgoing:
        raise AssertionError(f"{sender}: {why}")


def _pe(part: Part, name: str, address: str, identity: bytes, open_gate: int, gate: int) -> None:
    os.close(open_gate)
    gc.disable()
    let_others_finish()  # as a run's do
    core = _Emitter(part)
    os.read(gate, 1)  # until the router has been configured
    transport = ZmtpTransport(name, address, peer=_ROUTER, identity=identity)
    link = PeLink(core, _ROUTER)
    link.kept = KeptBatches(_WINDOW + 3, core.tick.reply.size + SEAL_BYTES)
    post(transport, link.boot())
    serve(link, transport, fast_path=SocketLoop(core, transport, link))
    transport.close()


def _router(parent_pid: int, address: str, queue: int, secret: bytes, open_gate: int) -> None:
    die_with(parent_pid)
    os.close(open_gate)
    gc.disable()
    let_others_finish()
    socket, wiring = RouterSocket(_ROUTER, address, queue, secret=secret), Wiring()
    router = ChipRouter(_ROUTER, 1, wiring, make_columns=CompiledColumns)
    core, transport = RouterLinks(router, wiring), loop_of(router, socket, secret)
    serve(core, transport, undelivered=core.undelivered)
    transport.close()


def _letter(transport: DealerSocket) -> tuple[str, Message]:
    received = transport.receive(_PATIENCE_S)
    assert received is not None, f"{_ROUTER} is silent"
    letter = decode(received[1])
    assert isinstance(letter, packet.Letter), letter
    return letter.peer, decode(letter.body)


def play(size: Size, scratch: Path) -> list[Report]:  # noqa: ARG001 - the address is no file
    """Run one trial."""
    pes = [f"PE({rank},1,0)@{_CHIP}" for rank in range(size.processes)]
    address, queue, secret = new_address(), 4 * size.processes + 100, new_secret()
    gate, open_gate = os.pipe()
    router = multiprocessing.get_context("fork").Process(
        target=_router, args=(os.getpid(), address, queue, secret, open_gate), daemon=True
    )
    router.start()
    forked = Forked(size, _pe, [(name, address, identity_of(name, secret), open_gate, gate) for name in pes])
    transport = DealerSocket(HOST, address, queue, peer=_ROUTER, identity=identity_of(HOST, secret))

    def say(peer: str, message: Message) -> None:
        transport.send(_ROUTER, encode(packet.Letter(peer, encode(message))))

    stream = [_POPULATION, _CHIP, 0, 0, "", size.processes, {}]
    say(_ROUTER, packet.Configure(
        window=_WINDOW, senders={_POPULATION: pes}, waits={pe: [_POPULATION] for pe in pes}, streams=[stream],
        routes=[(0, 0, pes)], payloads={_POPULATION: [4, 1, UNITS * size.processes, {}]}, depth=1,
    ))  # fmt: skip
    assert _letter(transport) == (_ROUTER, packet.Configured())
    os.close(open_gate)
    greeted = {_letter(transport)[0] for _ in pes}
    assert greeted == set(pes), greeted
    for pe in pes:
        say(pe, packet.Start())
    reports = forked.reports()
    say(_ROUTER, packet.Stop())
    _letter(transport)
    transport.close()
    router.join()
    return reports
