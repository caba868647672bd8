"""What a router whose transfers are read and written by compiled code promises: bit for bit what the plain one says, counts and
faults, for any batches, in any order, damaged or wrong, over any chips, and for what a DRAM is asked.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc import packet as p
from noc.checksum import seal
from noc.columns import Columns
from noc.machine import Machine
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.wire import decode, encode, encode_sealed
from noc.wiring import Wiring
from pe.compiled_columns import CompiledColumns
from tests.test_exchange import FIRST, ROOM, TICKS, A, sendings, world_of, worlds
from tests.test_tick_join import bytes_of
from tests.tools.linked import Chips

BOTH = (Columns, CompiledColumns)
some = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 1 << 30)
C = "PE(1,1,1)@0"


@pytest.mark.wide
@some
@given(worlds(), seeds)
def test_over_any_chips_everybody_hears_the_same_bytes_and_counters_are_the_same(world, seed):
    plain, compiled = (Chips(world, seed, make_columns=columns).play() for columns in BOTH)
    assert bytes_of(compiled) == bytes_of(plain)
    assert compiled.read(TICKS) == plain.read(TICKS)


# --- one chip, byte by byte --------------------------------------------------------------------------------------------

ALLOWED = {A: [C, "DRAM@0", p.HOST], C: [A, "DRAM@0", p.HOST]}


def one_chip(said):
    return world_of(Machine(1), [A, C], ALLOWED, said)


def new_router(columns, world):
    """Return a configured router behind its links."""
    name, wiring = p.router_name(0), Wiring(up=p.HOST)
    links = RouterLinks(ChipRouter(name, 1000, wiring, make_columns=columns), wiring)
    links.handle_bytes(p.HOST, encode(p.Letter(name, encode(world.configuration()[0]))))
    return links


def said(links, sent):
    """Everything that comes of these (sender, bytes), as bytes, with the counters at the end."""
    out = []
    for sender, raw in [*sent, (p.HOST, encode(p.Letter(p.router_name(0), encode(p.Read()))))]:
        for outgoing in (links.handle_bytes(sender, raw), links.take_chatter()):
            packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
            out.append(sorted(packed, key=lambda one: one[0]))  # stable: in which order others are sent theirs is nobody's business
    return out


@st.composite
def orders(draw, world):
    """Batches in an order in which they may come: each sender's in its own."""
    left = {name: list(batches) for name, batches in world.said.items()}
    out = []
    while any(left.values()):
        name = draw(st.sampled_from(sorted(name for name, batches in left.items() if batches)))
        out.append((name, left[name].pop(0)))
    return out


OTHERS = [
    {"source": C}, {"source": ""}, {"target": "PE(7,6,3)@0"}, {"target": "DRAM@1"}, {"target": A}, {"target": "\ud800"},
    {"target": "x" * 40}, {"number": 0}, {"number": 1 << 62}, {"number": -1}, {"kind": p.READ}, {"kind": p.READ, "data": b""},
    {"kind": p.PROBE}, {"kind": 5}, {"kind": p.DATA}, {"address": -1}, {"address": 1 << 61}, {"address": FIRST + ROOM},
    {"address": FIRST + 1}, {"size_bytes": 1 << 17}, {"data": b"x" * 41}, {"data": ""},
]  # fmt: skip


def wrong(batch, data):
    """A batch that differs from this one in one transfer."""
    transfers = list(batch.transfers)
    at = data.draw(st.integers(0, len(transfers) - 1))
    other = data.draw(st.sampled_from(OTHERS))
    transfers[at] = transfers[at]._replace(**other)
    return batch._replace(transfers=tuple(transfers))


@pytest.mark.wide
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_is_said_the_same_is_said_about_it(data):
    """One batch of a good order is changed, damaged, cut, doubled, without its checksum, or in longer numbers."""
    batches = {name: [data.draw(sendings(name, ALLOWED[name])) for _ in range(TICKS)] for name in (A, C)}
    world = one_chip(batches)
    sent = data.draw(orders(world))
    raws = [(name, encode(batch) if name == p.HOST else encode_sealed(batch)) for name, batch in sent]
    how = data.draw(st.sampled_from(["none", "other", "bit", "cut", "more", "plain", "twice", "long"]))
    at = data.draw(st.sampled_from([at for at, (_, one) in enumerate(sent) if one.transfers] or [0]))
    name, raw = raws[at]
    if how == "other" and sent[at][1].transfers:
        raws[at] = name, data.draw(st.sampled_from([encode, encode_sealed]))(wrong(sent[at][1], data))
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
    elif how == "long" and sent[at][1].transfers:
        raws[at] = name, seal(lengthened(sent[at][1], data))
    plain, compiled = (said(new_router(columns, world), raws) for columns in BOTH)
    assert compiled == plain


def lengthened(batch, data):
    """A batch's bytes with one number, name or bin of its first transfer in a form that is longer than it must be."""
    raw, first = encode(batch), batch.transfers[0]
    begin = encode(batch._replace(transfers=())).__len__()
    fields = [encode_field(value) for value in first]
    at = data.draw(st.integers(0, len(fields) - 1))
    longer = {
        int: lambda value: b"\xcf" + value.to_bytes(8, "big"),
        str: lambda value: b"\xd9" + bytes([len(value)]) + value.encode(),
    }
    form = longer.get(type(first[at]), lambda value: b"\xc6" + len(value).to_bytes(4, "big") + value)
    old, new = b"\x97" + b"".join(fields), b"\x97" + b"".join([*fields[:at], form(first[at]), *fields[at + 1 :]])
    assert raw[begin : begin + len(old)] == old
    again = raw[:begin] + new + raw[begin + len(old) :]
    assert decode(again) == batch
    return again


def encode_field(value):
    """A value's bytes within a message."""
    return encode(p.Peeked(0, value) if isinstance(value, bytes) else p.Fault(value) if isinstance(value, str) else p.Again(value))[
        3 if isinstance(value, bytes) else 2 :
    ]


# --- rooms -------------------------------------------------------------------------------------------------------------


@pytest.mark.few(2)
@pytest.mark.parametrize("kind", [p.READ, p.WRITE, p.SIGNAL])
def test_rows_pages_and_bundles_grow(kind):
    """More transfers, and more bytes, than anything has room for at first; numbers and sizes of every length on the wire."""
    target, sizes = (C if kind == p.SIGNAL else "DRAM@0"), (0, 1, 300, 70_000)
    if kind != p.SIGNAL:
        sizes = (0, 1, 300, ROOM // 2)

    def transfers(first):
        return [
            p.Transfer(
                kind,
                A,
                target,
                first + n * n * n,
                FIRST + 16 * (n % 8),
                sizes[n % 4],
                b"" if kind == p.READ else bytes(sizes[n % 4]),
            )
            for n in range(600)
        ]

    world = one_chip({A: [transfers(0), transfers(1 << 40), []], C: [[], [], []]})
    sent = [
        (name, encode(world.said[name][t]) if name == p.HOST else encode_sealed(world.said[name][t]))
        for t in range(TICKS)
        for name in world.said
    ]
    plain, compiled = (said(new_router(columns, world), sent) for columns in BOTH)
    assert compiled == plain
