"""What a router whose batches are read by compiled code promises: bit for bit what the plain one says, counts and faults, for any
batches, in any order, damaged or wrong; and that a tick in one process takes no Python for each of its PEs.
"""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc import packet as p
from noc.checksum import seal
from noc.columns import Columns
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.transports import mem
from noc.wire import encode, encode_sealed
from noc.wiring import Wiring
from pe.compiled_columns import CompiledColumns
from tests.test_router import ROUTER, A, B, C, batches, configuration, orders, section
from tests.test_section_payloads import cases
from tests.test_tick_join import bytes_of
from tests.tools.linked import Chips, worlds
from tests.tools.run_bench import TEXT, Bench, evaluation, finished

BOTH = (Columns, CompiledColumns)
some = settings(deadline=None, max_examples=30)
seeds = st.integers(0, 1 << 30)


@pytest.mark.wide
@some
@given(worlds(), seeds)
def test_on_linked_chips_everybody_hears_the_same_bytes_and_counters_are_the_same(world, seed):
    plain, compiled = (Chips(world, seed, make_columns=columns).play() for columns in BOTH)
    assert bytes_of(compiled) == bytes_of(plain)
    assert compiled.read() == plain.read()


@some
@given(cases(), seeds)
def test_so_they_are_for_any_payload_lanes_and_dense_sections(case, seed):
    plain, compiled = (Chips(case.world, seed, make_columns=columns).play() for columns in BOTH)
    assert bytes_of(compiled) == bytes_of(plain)
    assert compiled.read() == plain.read()


def new_router(columns, message):
    """Return a configured router behind its links, and an empty list for what it says."""
    wiring = Wiring(up=p.HOST)
    router = ChipRouter(ROUTER, 16, wiring, make_columns=columns)
    links = RouterLinks(router, wiring)
    links.handle_bytes(p.HOST, encode(p.Letter(ROUTER, encode(message))))
    return links


def said(links, sent):
    """Everything that comes of these (sender, bytes), as bytes, with the counters at the end."""
    out = []
    for sender, raw in [*sent, (p.HOST, encode(p.Letter(ROUTER, encode(p.Read()))))]:
        for outgoing in (links.handle_bytes(sender, raw), links.take_chatter()):
            packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
            out.append(sorted(packed, key=lambda one: one[0]))  # stable: in which order others are sent theirs is nobody's business
    return out


def wrong(batch):
    """Batches that differ from this one in one thing."""
    tick, sections, _, _ = batch
    first, *rest = sections
    changed = [
        first._replace(flags=0), first._replace(flags=p.VALID | p.FRESH), first._replace(position=7),
        first._replace(lanes=b"\1\0\0"), first._replace(lanes=b"\1"),
        first._replace(keys=first.keys + b"\x7f\0\0\0", values=first.values + bytes(4)),
        first._replace(keys=first.keys + b"\xff\xff\xff\xff", values=first.values + bytes(4)), first._replace(values=b""),
        first._replace(population=9), first._replace(population=2), first._replace(ledger=b""),
    ]  # fmt: skip
    return [
        *(batch._replace(sections=(one, *rest)) for one in changed), batch._replace(sections=(*sections, first)),
        batch._replace(sections=()), batch._replace(sections=(*rest, first)), batch._replace(tick=tick + 1),
        batch._replace(transfers=(p.Transfer(p.SIGNAL, A, B, 0, 0, 0, b""),)), p.Bundle(tick, sections), p.Hello(3),
    ]  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_whatever_is_said_the_same_is_said_about_it(data):
    """One batch of a good order is changed, damaged, cut, doubled, without its checksum, or said by another."""
    sent = data.draw(orders(data.draw(batches())))
    raws = [(name, encode(batch) if name == p.HOST else encode_sealed(batch)) for name, batch in sent]
    at = data.draw(st.integers(0, len(raws) - 1))
    name, raw = raws[at]
    how = data.draw(st.sampled_from(["other", "bit", "cut", "more", "plain", "twice", "sender", "none", "long"]))
    if how == "other":
        other = data.draw(st.sampled_from(wrong(sent[at][1])))
        raws[at] = name, data.draw(st.sampled_from([encode, encode_sealed]))(other)
    elif how == "bit":
        bit = data.draw(st.integers(0, 8 * len(raw) - 1))
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        raws[at] = name, bytes(damaged)
    elif how == "cut":
        raws[at] = name, raw[: data.draw(st.integers(0, len(raw) - 1))]
    elif how == "more":
        raws[at] = name, raw + data.draw(st.binary(min_size=1, max_size=8))
    elif how == "plain":
        raws[at] = name, encode(sent[at][1])
    elif how == "twice":
        raws.insert(at, raws[at])
    elif how == "sender":
        raws[at] = data.draw(st.sampled_from([A, B, C, p.HOST, "who"])), raw
    elif how == "long":  # a number that needs fewer bytes than it has: no PE of ours writes it so
        body = encode(sent[at][1])
        raws[at] = name, seal(body[:2] + b"\xcc" + body[2:])
    plain, compiled = (said(new_router(columns, configuration()), raws) for columns in BOTH)
    assert compiled == plain


@pytest.mark.parametrize("units", [1 << 13, 1 << 23])
def test_keys_are_sorted_whatever_their_size_and_pages_grow(units):
    """More events than a page has room for, of two senders whose keys interleave."""
    payloads = {n: [4, 1, units, {}] for n in (0, 1, 2)}
    keys = [range(units - 6000, units, 2), range(units - 5999, units, 2)]
    parts = [section(1, [(key, key / 2) for key in own]) for own in keys]
    sent = [(p.HOST, encode(p.Batch(0, (section(0),)))), (A, encode_sealed(p.Batch(0, (parts[0],))))]
    sent += [(B, encode_sealed(p.Batch(0, (parts[1], section(2))))), (C, encode_sealed(p.Batch(0, (section(2),))))]
    plain, compiled = (said(new_router(columns, configuration(payloads=payloads)), sent) for columns in BOTH)
    assert compiled == plain
    assert any(section(1, [(key, key / 2) for key in range(units - 6000, units)]).keys in raw for out in plain for _, raw in out)


def test_the_tick_that_is_due_is_the_same_to_whoever_asks():
    plain, compiled = (columns({}, {A: 0, p.HOST: 0}, first=3, most_open=1).next_tick for columns in BOTH)
    plain[A] = compiled[A] = 4
    assert dict(compiled) == dict(plain) == {A: 4, p.HOST: 3}
    assert list(compiled) == list(plain)
    with pytest.raises(TypeError):
        del compiled[A]


# --- in one process ---------------------------------------------------------------------------------------------------


def played(pes, columns=CompiledColumns, network=None, **more):
    return finished(Bench(evaluation(TEXT), pes=pes, make_columns=columns, network=network or mem.network(None), **more).play())


@pytest.mark.parametrize("chips", [1, 3])
def test_pes_that_answer_together_give_the_same_answers(chips):
    expected = played(5, Columns, mem.MemNetwork(4), chips=chips)
    for columns in BOTH:
        bench = played(5, columns, chips=chips)
        assert bench.answer == expected.answer
        assert bench.run.conservation() == expected.run.conservation()


def test_python_calls_of_a_tick_do_not_grow_with_the_pes():
    """Counted between two ticks in the middle of a run, as the interpreter counts them."""
    calls = {}
    for pes in (4, 16):
        count, marks = [0], {}

        def note(bench, count=count, marks=marks):
            marks[bench.run.completed] = count[0]
            return []

        def counted(_frame, event, _, count=count):
            count[0] += event == "call"

        before = sys.getprofile()
        sys.setprofile(counted)
        try:
            played(pes, after=note)
        finally:
            sys.setprofile(before)
        calls[pes] = (marks[10] - marks[6]) / 4
    assert calls[16] <= 1.05 * calls[4]
