"""Links that lose, double, reorder and damage messages: each is found and mended, and nobody could tell by the answer."""

from __future__ import annotations

import random
import threading
import zlib

import numpy as np
import pytest

from host.errors import Exit, HostError
from host.faults import Faults, parse_fault
from host.run.run import Run
from host.workloads.lm.options import Options as LmOptions
from host.workloads.registry import prepare
from models.compute.compiling import compiled
from noc import packet as p
from noc.bad_links import LinkFaults
from noc.checksum import SEAL_BYTES, is_whole, seal
from noc.identities import identity_of, new_secret
from noc.link_counts import LinkCounts
from noc.link_end import LinkEnd
from noc.memory_chip import MemoryChip
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.serve import serve
from noc.transports.mem import MemNetwork
from noc.wire import WireError, decode, encode, encode_sealed
from noc.wiring import Wiring
from pe.core import Pe
from pe.crc32 import _by_table, crc32
from pe.link import PeLink
from tests.tools.processes import answer, children, gone, sockets

ALL = "drop=0.01,dup=0.01,reorder=0.01,corrupt=0.01,seed=7"


@compiled
def crcs_at(address, size):
    return crc32(address, size), _by_table(address, size)


def test_compiled_code_has_the_same_checksum_as_zlib():
    """By products without carries, where the processor has them, and by a table, where it has not."""
    chance = random.Random(1)
    for size in [*range(400), 1000, 1024, 4099]:
        raw = np.frombuffer(b"." + chance.randbytes(size), np.uint8)[1:]  # at an odd address
        assert crcs_at(raw.ctypes.data, size) == (zlib.crc32(raw.tobytes()),) * 2, size


BATCH = p.Batch(7, (p.Section(1, p.VALID, 3, bytes(4), bytes(4), b""),))


def test_a_message_with_its_checksum_is_the_same_message_and_any_flipped_bit_is_noticed():
    raw = seal(encode(BATCH))
    assert raw == encode_sealed(BATCH)
    assert decode(raw) == decode(encode(BATCH)) == BATCH
    assert len(raw) == len(encode(BATCH)) + SEAL_BYTES
    assert is_whole(raw)
    for bit in range(8 * len(raw)):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WireError):
            decode(bytes(damaged))


def test_flags_of_links_are_read_and_wrong_ones_refused():
    faults = parse_fault([ALL, "slow=PE(1,1,0)@0:0.1"])
    assert faults.links == LinkFaults(0.01, 0.01, 0.01, 0.01, 7)
    assert Faults.from_record({"slow": {}, "late": [], "shuffle": None, "links": [0.1, 0.0, 0.0, 0.0, 3]}).links.drop == 0.1
    assert parse_fault([]).links is None
    for text, words in (
        ("drop=0.9", "need a share of messages"), ("drop=x", "needs numbers"), ("drop=0.1,slow=3", "unknown kind 'slow'"),
        ("lose=0.1", "unknown kind 'lose'"),
    ):  # fmt: skip
        with pytest.raises(HostError, match=words):
            parse_fault([text])


def run_over(faults, folder, shuffle=None, **options):
    """Run in one process; return what must be the same everywhere, and what routers found on their links."""
    chosen = {
        "checkpoint": str(folder / "tiny.safetensors"), "text": str(folder / "text.txt"), "tokens": 30, "pes": 5,
        "transport": "mem",
    }  # fmt: skip
    job = prepare(LmOptions(**(chosen | options)))
    run = Run(job.placement, job.source, job.readout, repeatable=True, snapshot_positions=job.options.snapshot)
    chip = MemoryChip(
        host=run, machine=job.placement.machine, table_entries=job.placement.chip.router_entries, make_pe=Pe, link_pe=PeLink,
        pes=[placed.name for placed in job.placement.pes], network=MemNetwork(shuffle, faults),
    )  # fmt: skip
    chip.boot_routers(run.begin(), run.settle)
    chip.boot_pes(run.settle)
    assert run.phase == "read", run.fault
    assert run.conservation()["wrong"] == []
    chip.network.post(p.HOST, run.stop())
    chip.network.run(run.settle)
    assert run.done
    return (run.events.report(), job.readout.result(), run.recorder.ledger().port_counts.tobytes()), run.accounts.links()


@pytest.mark.few(1)
@pytest.mark.parametrize("options", [{}, {"chips": 4, "pes": 8}, {"batch": 3, "tokens": 20}], ids=str)
def test_the_answer_is_the_same_over_bad_links(folder, options):
    whole, nothing = run_over(None, folder, **options)
    assert nothing == {}
    kinds = set[str]()
    for seed in range(4):
        over, counts = run_over(LinkFaults(0.05, 0.05, 0.05, 0.05, seed), folder, seed, **options)
        assert over == whole
        kinds |= counts.keys()
    assert {"damaged", "repeated", "asked"} <= kinds <= {"damaged", "repeated", "asked", "lost"}


@pytest.mark.few(1)
@pytest.mark.parametrize("kind", ["drop", "dup", "reorder", "corrupt"])
def test_each_kind_is_mended_by_itself_even_where_it_is_often(folder, kind):
    whole, _ = run_over(None, folder)
    over, counts = run_over(LinkFaults(**{kind: 0.3}), folder)
    assert over == whole
    assert ("damaged" in counts) == (kind == "corrupt")


def test_snapshots_come_over_bad_links(folder):
    faults = LinkFaults(0.02, 0.02, 0.02, 0.02, 3)
    assert run_over(faults, folder, snapshot=4)[0] == run_over(None, folder)[0]


# --- a stock peer ---


def configured(window=4):
    """A chip's router behind its links, which waits for two PEs of population 1, each heard by both."""
    names = ["PE(1,1,0)@0", "PE(1,1,1)@0"]
    router = ChipRouter("router@0", 10, Wiring(up=p.HOST))
    told = p.Configure(
        window=window, senders={1: names}, waits={name: [1] for name in names}, streams=[[1, 0, 0, 0, "", 2, {}]],
        routes=[[0, 0, names]], payloads={1: [4, 1, 8, {}]}, depth=1,
    )  # fmt: skip
    links = RouterLinks(router, Wiring(up=p.HOST))
    links.handle_bytes(p.HOST, encode(p.Letter("router@0", encode(told))))
    return links, router, names


def batch_of(key, tick=0):
    return p.Batch(tick, (p.Section(1, p.VALID, tick, key.to_bytes(4, "little"), bytes(4), b""),))


def test_a_peer_that_leaves_the_checksum_out_is_believed_and_counted():
    links, router, names = configured()
    links.handle_bytes(names[0], encode(batch_of(1)))
    ((to, bundle),) = links.handle_bytes(names[1], encode(batch_of(2)))
    assert set(to) == set(names)
    assert isinstance(bundle, p.Bundle)  # plainly, as it speaks
    assert router.link_counts.record() == {"unchecked": dict.fromkeys(names, 1)}
    assert links.take_chatter() == []


def test_who_speaks_with_checksums_is_answered_with_them_and_asked_again():
    links, router, names = configured()
    ends = {name: LinkEnd(["router@0"], LinkCounts()) for name in names}
    for name, end in ends.items():
        ((_, hello),) = end.outgoing([(("router@0",), p.Hello(1))])
        ((_, letter),) = links.handle_bytes(name, hello)
        assert decode(letter.body if isinstance(letter, p.Letter) else decode(letter).body) == p.Hello(1)
    assert links.handle_bytes(names[0], seal(encode(batch_of(1)))) == []
    assert links.handle_bytes(names[0], seal(encode(batch_of(1)))) == []  # once more
    damaged = bytearray(seal(encode(batch_of(2))))
    damaged[-9] ^= 1
    assert links.handle_bytes(names[1], bytes(damaged)) == []
    assert decode(links.take_chatter()[-1][1]) == p.Again(0)
    ((to, raw),) = links.handle_bytes(names[1], seal(encode(batch_of(2))))
    assert set(to) == set(names)
    assert is_whole(raw)
    links.handle_bytes(names[0], seal(encode(p.Again(0))))
    assert links.take_chatter() == [((names[0],), raw)]
    counts = router.link_counts.record()
    assert counts == {"damaged": {names[1]: 1}, "repeated": {names[0]: 1}, "asked": {names[0]: 1}}


def test_what_is_large_is_kept_no_longer_than_it_must_be():
    """A bundle with a tile's bytes for each of many PEs: whoever has said the tick after it has heard it."""
    end, large = LinkEnd(["PE(1,1,0)@0", "PE(1,1,1)@0", "router@1"], LinkCounts()), bytes(1 << 15)
    for tick in range(8):
        transfers = (p.Transfer(p.DATA, "DRAM@0", "PE(1,1,0)@0", 0, 0, len(large), large),)
        said = [((name,), p.Bundle(tick, (), transfers)) for name in ("PE(1,1,0)@0", "PE(1,1,1)@0")]
        end.outgoing([*said, (("router@1",), p.Relay(tick, [], ()))], 5, {"PE(1,1,0)@0": tick + 1, "PE(1,1,1)@0": 3})
    for name, ticks in (("PE(1,1,0)@0", [7]), ("PE(1,1,1)@0", [2, 3, 4, 5, 6, 7]), ("router@1", [1, 2, 3, 4, 5, 6, 7])):
        end.again(name, 0)
        assert [decode(raw).tick for _, raw in end.take_chatter()] == ticks


def test_whoever_is_silent_is_asked_less_and_less_often():
    links, _, names = configured()
    ((_, hello),) = LinkEnd(["router@0"], LinkCounts()).outgoing([(("router@0",), p.Hello(1))])
    links.handle_bytes(names[0], hello)
    asked = [number for number in range(64) if any(decode(raw) == p.Again(0) for _, raw in links.idle())]
    assert asked == [0, 2, 5, 10, 19, 36, 53]


def test_a_stock_zeromq_peer_joins_without_checksums():
    """A bare DEALER with an identity of the run, msgpack and nothing else; router and host as in a run."""
    import msgpack
    import zmq

    from noc.transports.zmq import DealerSocket, RouterSocket, new_address

    name, secret, address = "PE(1,1,0)@0", new_secret(), new_address()
    router = ChipRouter("router@0", 10, Wiring(up=p.HOST))
    links = RouterLinks(router, Wiring(up=p.HOST))
    transport = RouterSocket("router@0", address, 10, secret=secret)
    serving = threading.Thread(target=serve, args=(links, transport), kwargs={"idle_s": 0.1}, daemon=True)
    serving.start()
    host = DealerSocket(p.HOST, address, 10, peer="router@0", identity=identity_of(p.HOST, secret))

    def ask(message):
        host.send("router@0", encode(p.Letter("router@0", encode(message))))

    def heard():
        received = host.receive(20.0)
        assert received is not None
        letter = decode(received[1])
        return letter.peer, decode(letter.body)

    told = p.Configure(
        window=4, senders={1: [name]}, waits={name: [1]}, streams=[[1, 0, 0, 0, "", 1, {}]], routes=[[0, 0, [name]]],
        payloads={1: [4, 1, 8, {}]}, depth=1,
    )  # fmt: skip
    ask(told)
    assert heard() == ("router@0", p.Configured())
    with zmq.Context() as context, context.socket(zmq.DEALER) as stock:
        stock.setsockopt(zmq.ROUTING_ID, identity_of(name, secret))
        stock.setsockopt(zmq.RCVTIMEO, 20_000)
        stock.connect(address)
        stock.send(msgpack.packb([7, 4711]))
        assert heard() == (name, p.Hello(4711))
        stock.send(msgpack.packb([0, 0, [[1, 1, 0, bytes(4), bytes(4), b"", b""]], []]))
        assert msgpack.unpackb(stock.recv()) == [1, 0, [[1, 1, 0, bytes(4), bytes(4), b"", b""]], []]
        ask(p.Read(1))
        assert heard()[1].counters["links"] == {"unchecked": {name: 1}}
        ask(p.Stop())
        assert heard() == ("router@0", p.Stopped())
        serving.join(20.0)
        assert not serving.is_alive()
    host.close()
    transport.close()


# --- real processes ---


@pytest.mark.wide
@pytest.mark.timeout(120)
def test_a_run_of_processes_over_bad_links_has_the_same_hash(run):
    options = {"pes": 8, "chips": 4, "tokens": 40}
    whole, over = run(**options), run(**options, faults=parse_fault([ALL]))
    assert over.code is Exit.OK, over.problem
    assert answer(over) == answer(whole)
    assert whole.report["counters"]["links"].keys() <= {"asked", "repeated"}  # on a busy machine, where a router waits long
    assert {"damaged", "repeated", "asked"} <= over.report["counters"]["links"].keys()
    assert gone(children)
    assert gone(sockets)
