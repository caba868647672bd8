"""What transfers promise in routers: each arrives once, in the tick in which it was sent, whole and in order, whatever chips it
crosses and whatever order things come in; a DRAM answers in the next tick; all of it is counted by kind at every endpoint and on
every link; and whoever may not send, or reads where there is nothing, is named.
"""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping.multicast import Connectivity, Sent
from host.mapping.transfer_routes import Transfers
from models import transfers as as_models_see_them
from noc import packet as p
from noc.chip import PeId
from noc.dram import RESERVED_BYTES
from noc.machine import Machine
from noc.wire import decode
from tests.tools.linked import Chips, World

patient = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 1 << 30)
TICKS = 3
DRAM_BYTES = 1 << 13
FIRST, ROOM = RESERVED_BYTES, DRAM_BYTES // 2 - RESERVED_BYTES  # of the first interface


def world_of(machine, pes, allowed, said):
    """A world in which PEs step on the input's headers, and send each other these batches of transfers: by name, a list a tick."""
    drams = Transfers(allowed, DRAM_BYTES, 16).drams
    connectivity = Connectivity(
        senders={0: [p.HOST], 1: pes}, listeners={0: [], 1: [p.HOST]},
        waits={**{name: [0] for name in (*pes, *drams)}, p.HOST: [1]},
        payloads={0: Sent(4, 1, 8), 1: Sent(4, 1, 8)}, transfers=Transfers(allowed, DRAM_BYTES, 16),
    )  # fmt: skip
    bubble = (p.Section(1, 0, 0, b"", b"", b""),)
    batches = {name: [p.Batch(t, bubble, tuple(sent)) for t, sent in enumerate(said[name])] for name in pes}
    batches[p.HOST] = [p.Batch(t, (p.Section(0, 0, 0, b"", b"", b""),)) for t in range(TICKS)]
    return World(machine, connectivity, batches)


@st.composite
def worlds(draw):
    machine = Machine(draw(st.integers(1, 4)))
    chips = sorted(draw(st.lists(st.sampled_from(machine.live), min_size=1, max_size=5)))
    pes = [str(PeId(chip, 1 + n // 4, 1, n % 4)) for n, chip in enumerate(chips)]
    drams = [p.dram_name(chip) for chip in machine.live]
    targets = {name: [to for to in (*pes, *drams, p.HOST) if to != name and draw(st.booleans())] for name in pes}
    allowed = {name: to for name, to in targets.items() if to}
    said = {name: [draw(sendings(name, targets[name])) for _ in range(TICKS)] for name in pes}
    return world_of(machine, pes, allowed, said)


@st.composite
def sendings(draw, name, targets):
    out = []
    for number in sorted(draw(st.sets(st.integers(0, 1000), max_size=4))) if targets else ():
        target = draw(st.sampled_from(targets))
        kind = draw(st.sampled_from([p.READ, p.WRITE] if target.startswith("DRAM") else [p.WRITE, p.SIGNAL]))
        size = draw(st.integers(0, 40))
        address = FIRST + 16 * draw(st.integers(0, 8))
        data = b"" if kind == p.READ else draw(st.binary(min_size=size, max_size=size))
        out.append(p.Transfer(kind, name, target, number, address, size, data))
    return out


def expected_of(world):
    """What each endpoint hears at each tick, DRAMs included."""
    return played(world)[0]


def played(world):
    """What each endpoint hears at each tick, DRAMs included, and what DRAMs answer behind the last tick: by a plain simulation of
    stores.
    """
    stores = {name: bytearray(DRAM_BYTES) for name in world.connectivity.transfers.drams}
    heard, answers = {}, []
    for t in range(TICKS):
        sent = answers + [one for batches in world.said.values() for one in batches[t].transfers]
        for one in sent:
            heard.setdefault((one.target, t), []).append(one)
        answers = []
        for name, store in stores.items():
            for one in sorted(heard.get((name, t), []), key=lambda one: (one.source, one.number)):
                if one.kind == p.WRITE:
                    store[one.address : one.address + len(one.data)] = one.data
                else:
                    data = bytes(store[one.address : one.address + one.size_bytes])
                    answers.append(one._replace(kind=p.DATA, source=name, target=one.source, data=data))
    return {key: sorted(ones, key=lambda one: (one.source, one.number)) for key, ones in heard.items()}, answers


def by_kind(transfers):
    counted = Counter(one.kind for one in transfers)
    return [counted[kind] for kind in p.KINDS]


@pytest.mark.wide
@settings(patient, max_examples=150)
@given(worlds(), seeds)
def test_every_transfer_arrives_once_in_its_tick_in_order_of_source_and_number(world, seed):
    expected = expected_of(world)
    for name, bundles in Chips(world, seed).play().bundles().items():
        assert [bundle.tick for bundle in bundles] == list(range(TICKS))
        for bundle in bundles:
            assert list(bundle.transfers) == expected.get((name, bundle.tick), [])


@pytest.mark.wide
@settings(patient, max_examples=100)
@given(worlds(), seeds)
def test_transfers_are_counted_by_kind_at_both_ends_and_once_on_each_link_of_their_route(world, seed):
    expected, answers = played(world)
    counters = Chips(world, seed).play().read(TICKS)
    all_of_them = [one for ones in expected.values() for one in ones]
    crossed, late = ({str(link): [] for link in world.machine.links} for _ in range(2))
    for ones, on_links in ((all_of_them, crossed), (answers, late)):
        for one in ones:
            for link in world.machine.route(world.chip(one.source), world.chip(one.target)):
                on_links[str(link)].append(one)
    sent, delivered = {}, {}
    for counted in counters.values():
        sent |= counted.get("transfers_in", {})
        delivered |= counted.get("transfers_out", {})
    for name in {one.source for one in all_of_them} | set(sent):
        assert sent[name] == by_kind(one for one in all_of_them if one.source == name)
    for name in {one.target for one in all_of_them} | set(delivered):
        assert delivered[name] == by_kind(one for one in all_of_them if one.target == name)
    assert (
        np.sum([*sent.values(), [0] * len(p.KINDS)], axis=0).tolist()
        == np.sum([*delivered.values(), [0] * len(p.KINDS)], axis=0).tolist()
    )
    for link in world.machine.links:
        ends = (link.chip, "transfers_over", link.to), (link.to, "transfers_from", link.chip)
        for here, what, there in ends:
            counted = counters[here].get(what, {}).get(p.router_name(there), [0] * len(p.KINDS))
            # Where a chip hears nothing else, what a DRAM answers behind the last tick makes one that is through.
            assert counted in (by_kind(crossed[str(link)]), by_kind(crossed[str(link)] + late[str(link)]))
    for chip, counted in counters.items():
        to_store = [one for (name, _), ones in expected.items() if name == p.dram_name(chip) for one in ones]
        if counted.get("dram"):
            assert counted["dram"] == {
                "read_bytes": sum(one.size_bytes for one in to_store if one.kind == p.READ),
                "written_bytes": sum(one.size_bytes for one in to_store if one.kind == p.WRITE),
            }
        else:
            assert not to_store


@settings(patient, max_examples=60)
@given(worlds(), seeds, st.data())
def test_whoever_may_be_sent_something_waits_for_those_who_may_send_it(world, seed, data):
    """Without one batch of a tick, no bundle of that tick leaves for whoever its sender may send to, nor for the sender, where
    that may be sent something, too; on one chip all others do.
    """
    allowed = world.connectivity.transfers.allowed
    late = data.draw(st.sampled_from([name for name in world.said if name != p.HOST]))
    said = {name: batches[:1] if name != late else [] for name, batches in world.said.items()}
    chips = Chips(dataclasses.replace(world, said=said), seed)
    for name, batches in said.items():
        for batch in batches:
            chips.post(name, batch)
    chips.network.run(list)
    for name, bundles in chips.bundles().items():
        waits = late in world.connectivity.senders[1] and name == p.HOST
        waits |= name in allowed.get(late, ())
        is_answered = any(one.startswith("DRAM@") for one in allowed.get(late, ()))
        waits |= name == late and late in allowed and (is_answered or any(late in names for names in allowed.values()))
        assert len(bundles) == (0 if waits else 1) or (not bundles and len(world.machine.live) > 1)  # links carry all or nothing


# --- the DRAM ---------------------------------------------------------------------------------------------------------

A, B = "PE(1,1,0)@0", "PE(1,1,0)@1"


def pair(said_by_a=(), allowed=None, **changes):
    said = {A: [list(said_by_a), [], []], B: [[], [], []]} | changes
    return world_of(Machine(2), [A, B], allowed or {A: ["DRAM@0", "DRAM@1", B], B: ["DRAM@1"]}, said)


def test_what_the_host_fills_is_read_from_the_first_tick_on():
    read = p.Transfer(p.READ, A, "DRAM@1", 7, FIRST + 16, 5, b"")
    chips = Chips(pair([read]))
    for at, piece in ((0, b"0123456789abcdef"), (16, b"ghijk")):
        chips.tell("DRAM@1", p.Fill(FIRST + at, piece))
    bundles = chips.play().bundles()
    assert bundles[A][1].transfers == (read._replace(kind=p.DATA, source="DRAM@1", target=A, data=b"ghijk"),)
    assert chips.read(TICKS)[1]["dram"] == {"read_bytes": 5, "written_bytes": 21}


@pytest.mark.parametrize(
    "fill",
    [p.Fill(0, b"a"), p.Fill(FIRST + ROOM - 16, bytes(17)), p.Fill(-16, b"a"), p.Fill(DRAM_BYTES, b"a"), p.Fill(FIRST + 1, b"a")],
)
def test_what_does_not_fit_the_store_is_a_fault_that_names_it_and_the_addresses(fill):
    chips = Chips(pair())
    chips.tell("DRAM@1", fill)
    chips.network.run(list)
    (fault,) = chips.letters(p.Fault).values()
    assert f"DRAM@1: WRITE by host of bytes {fill.address:#x} to {fill.address + len(fill.data):#x}" in fault.text


@pytest.mark.parametrize(("kind", "word"), [(p.READ, "READ"), (p.WRITE, "WRITE")])
@pytest.mark.parametrize(("address", "size"), [(0, 16), (FIRST + ROOM - 16, 32), (DRAM_BYTES, 16), (1 << 50, 1), (FIRST + 3, 4)])
def test_transfers_beyond_the_store_are_a_fault_that_names_who_and_the_addresses(kind, word, address, size):
    bad = p.Transfer(kind, A, "DRAM@1", 0, address, size, b"" if kind == p.READ else bytes(size))
    chips = Chips(pair([bad]))
    for name, batches in chips.world.said.items():
        chips.post(name, batches[0])
    chips.network.run(list)
    (fault,) = chips.letters(p.Fault).values()
    assert f"DRAM@1: {word} by {A} of bytes {address:#x} to {address + size:#x}" in fault.text


def test_a_store_that_is_not_in_use_is_filled_by_nobody():
    chips = Chips(pair(allowed={A: [B]}))
    chips.tell("DRAM@0", p.Fill(FIRST, b"a"))
    chips.network.run(list)
    (fault,) = chips.letters(p.Fault).values()
    assert "Fill for DRAM@0, which is not in use" in fault.text


@pytest.mark.parametrize(
    ("address", "size", "content"), [(FIRST + 3, 4, b"3456"), (DRAM_BYTES, 8, b""), (-16, 0, b""), (FIRST, -1, b"")]
)
def test_the_host_may_look_into_a_dram_and_nothing_is_counted(address, size, content):
    chips = Chips(pair())
    chips.tell("DRAM@1", p.Fill(FIRST, b"0123456789abcdef"))
    chips.tell("DRAM@1", p.Peek(address, size))
    chips.network.run(list)
    assert chips.letters(p.Peeked) == {"DRAM@1": p.Peeked(address, content)}
    assert chips.play().read(TICKS)[1]["dram"] == {"read_bytes": 0, "written_bytes": 16}


def test_what_is_no_fill_is_counted():
    chips = Chips(pair())
    chips.tell("DRAM@0", p.Stop())
    chips.network.run(list)
    assert chips.routers[0]._malformed == {p.HOST: 1}


# --- whoever may not --------------------------------------------------------------------------------------------------


def a_transfer(**changes):
    return p.Transfer(p.SIGNAL, A, B, 3, 0, 1, b"s")._replace(**changes)


@pytest.mark.parametrize(
    ("sender", "sent", "words"),
    [
        (B, [a_transfer(source=B, target=A)], "may not send"),
        (B, [a_transfer()], "may not send"),
        (A, [a_transfer(target="PE(7,6,3)@0")], "may not send"),
        (A, [a_transfer(target="")], "may not send"),
        (A, [a_transfer(source="DRAM@0")], "may not send"),
        (A, [a_transfer(), a_transfer()], "ascending"),
        (A, [a_transfer(number=4), a_transfer()], "ascending"),
        (A, [a_transfer(kind=p.READ, data=b"")], "which is no DRAM"),
        (A, [a_transfer(target="DRAM@0")], "takes READ, WRITE and PROBE"),
        (p.HOST, [a_transfer()], "may send none"),
    ],
    ids=str,
)
def test_a_transfer_that_may_not_be_is_a_fault_that_names_the_sender_or_the_store(sender, sent, words):
    chips = Chips(pair())
    for name, batches in chips.world.said.items():
        chips.post(name, batches[0]._replace(transfers=tuple(sent) if name == sender else ()))
    chips.network.run(list)
    (fault,) = chips.letters(p.Fault).values()
    assert words in fault.text
    assert sender in fault.text
    assert len(fault.text.splitlines()) == 1


@pytest.mark.parametrize(
    "one", [a_transfer(source=B), a_transfer(target="PE(9,9,9)@1"), a_transfer(target=A), a_transfer(source="")], ids=str
)
def test_a_relay_with_a_transfer_that_does_not_come_this_way_is_a_fault(one):
    chips = Chips(pair())
    relays = []
    chips.network.post = lambda sender, outgoing: relays.extend(m for _, m in outgoing if isinstance(m, p.Relay))
    for name in (p.HOST, A):
        relays += [m for _, m in chips.routers[0].handle(name, chips.world.said[name][0]) if isinstance(m, p.Relay)]
    (relay,) = relays
    out = chips.routers[1].handle("router@0", relay._replace(transfers=(one,)))
    (letter,) = [message for _, message in out if isinstance(message, p.Letter)]
    fault = decode(letter.body)
    assert isinstance(fault, p.Fault)
    assert "relay of router@0 at tick 0" in fault.text


def test_kernels_and_routers_mean_the_same_kinds():
    assert [getattr(as_models_see_them, name.upper()) for name in p.KIND_NAMES] == list(p.KINDS)
