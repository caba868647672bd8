"""What the chip's router promises: one joined bundle a tick for each endpoint, whatever order the batches come in; delivery
by the routing table alone, every copy accounted for; and a name for whoever breaks the rules.
"""

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noc import packet as p
from noc.router import ChipRouter
from noc.routing_table import key_blocks
from noc.wire import decode, encode

# Two layers behind the input, as a chip runs them: A and B share layer 1, B and C share layer 2, the output.
A, B, C = "PE(1,1,0)@0", "PE(1,1,1)@0", "PE(1,1,2)@0"
ROUTER = "router@0"
SENDERS = {0: [p.HOST], 1: [A, B], 2: [B, C]}
WAITS = {A: [0, 1], B: [0, 1, 2], C: [1, 2], p.HOST: [1, 2]}
DESTINATIONS = {0: [A, B], 1: [A, B, C], 2: [B, C, p.HOST]}
OWNS = {p.HOST: [0], A: [1], B: [1, 2], C: [2]}
BLOCKS = key_blocks([100, 100, 100])
patient = settings(deadline=None, max_examples=40)


def configuration(window=4, destinations=DESTINATIONS, **changes):
    """What the router of a single chip is told: a population is one stream, which begins there and stays there."""
    streams = [[n, 0, *BLOCKS[n], "", len(names), {}] for n, names in DESTINATIONS.items()]
    routes = [[*BLOCKS[n], names] for n, names in destinations.items()]
    payloads = {n: [4, 1, 100, {}] for n in SENDERS}
    return p.Configure(window, SENDERS, WAITS, streams, routes, payloads, len(SENDERS) - 1)._replace(**changes)


def command(router, message, peer=ROUTER):
    """What the router does when the host tells it something, which is always in a letter."""
    return router.handle(p.HOST, p.Letter(peer, encode(message)))


def new_router(window=4, **changes):
    router = ChipRouter(ROUTER, 16)
    assert router.boot() == []
    assert command(router, configuration(window, **changes)) == [((p.HOST,), p.Letter(ROUTER, encode(p.Configured())))]
    return router


def section(population, events=(), position=0, flags=p.VALID, mark=0):
    """Return a section with these (key, value) events and a ledger filled with `mark`."""
    keys = b"".join(struct.pack("<I", key) for key, _ in events)
    values = b"".join(struct.pack("<f", value) for _, value in events)
    return p.Section(population, flags, position, keys, values, struct.pack("<I", mark) * 7)


def bubble(sender, tick):
    return p.Batch(tick, tuple(p.Section(n, 0, 0, b"", b"", b"") for n in OWNS[sender]))


def events_of(section):
    return list(zip(struct.iter_unpack("<I", section.keys), struct.iter_unpack("<f", section.values), strict=True))


def bundles(outgoing):
    """Return {destination: its bundles} of what the router sent."""
    found = {}
    for destinations, message in outgoing:
        if isinstance(message, p.Bundle):
            for name in destinations:
                found.setdefault(name, []).append(message)
    return found


def said_by(outgoing):
    """Return the one message that the router says to the host."""
    ((destinations, letter),) = outgoing
    assert (destinations, letter.peer) == ((p.HOST,), ROUTER)
    return decode(letter.body)


def fault_of(outgoing):
    """Return the text of the one fault that is all the router says, and says to the host."""
    fault = said_by(outgoing)
    assert isinstance(fault, p.Fault)
    assert fault.text.startswith(ROUTER)
    assert len(fault.text.splitlines()) == 1
    return fault.text


def counters_of(router):
    reading = said_by(command(router, p.Read()))
    assert isinstance(reading, p.Reading)
    return reading.counters


@st.composite
def batches(draw, ticks=2):
    """Draw every sender's batches for some ticks, with events, as [(sender, batch)] in one allowed order."""
    found = []
    for tick in range(ticks):
        content = {name: [] for name in OWNS}
        for population, names in SENDERS.items():
            owner = draw(st.lists(st.sampled_from(names), min_size=12, max_size=12))
            fires = draw(st.lists(st.booleans(), min_size=12, max_size=12))
            for name in names:
                events = [(unit, unit + 100 * population + 0.5) for unit in range(12) if fires[unit] and owner[unit] == name]
                content[name].append(section(population, events, tick, mark=list(OWNS).index(name)))
        found += [(name, p.Batch(tick, tuple(sections))) for name, sections in content.items()]
    return found


@st.composite
def orders(draw, sent):
    """Draw an order of arrival: each sender's own batches stay in order, as the transport keeps them."""
    shuffled = draw(st.permutations(sent))
    queues = {name: iter([batch for sender, batch in sent if sender == name]) for name in OWNS}
    return [(name, next(queues[name])) for name, _ in shuffled]


def play(router, sent):
    return [out for sender, batch in sent for out in router.handle(sender, batch)]


def test_batches_are_put_into_columns_as_they_come_but_while_the_host_waits_for_an_answer():
    """What it asked for comes with a tick, so each batch is looked at until it has come, and no longer."""
    router = new_router()
    assert router.columns is not None
    assert command(router, p.Read(1)) == []
    assert router.columns is None
    play(router, [(name, p.Batch(0, tuple(section(n) for n in numbers))) for name, numbers in OWNS.items()])
    assert router.columns is not None


# --- joining ----------------------------------------------------------------------------------------------------------


@patient
@given(st.permutations(list(OWNS)))
def test_a_bundle_leaves_exactly_when_the_last_awaited_batch_arrives(arrival):
    router, arrived = new_router(), set()
    for sender in arrival:
        before = set(arrived)
        arrived.add(sender)
        ready = {name for name, waits in WAITS.items() if all(set(SENDERS[n]) <= arrived for n in waits)}
        had = {name for name, waits in WAITS.items() if all(set(SENDERS[n]) <= before for n in waits)}
        assert set(bundles(router.handle(sender, bubble(sender, 0)))) == ready - had


def test_every_endpoint_gets_one_bundle_a_tick_with_what_it_waits_for():
    router = new_router()
    for tick in range(3):
        got = bundles(play(router, [(sender, bubble(sender, tick)) for sender in OWNS]))
        assert set(got) == set(WAITS)
        for name, (bundle,) in got.items():
            assert bundle.tick == tick
            assert [part.population for part in bundle.sections] == WAITS[name]


@settings(patient, max_examples=60)
@given(st.data())
def test_any_order_of_arrival_gives_the_same_bytes(data):
    sent = data.draw(batches())
    one, other = bundles(play(new_router(), sent)), bundles(play(new_router(), data.draw(orders(sent))))
    assert {name: list(map(encode, got)) for name, got in one.items()} == {
        name: list(map(encode, got)) for name, got in other.items()
    }


@patient
@given(st.data())
def test_keys_ascend_and_values_stay_with_their_keys(data):
    sent = data.draw(batches(ticks=1))
    expected = {n: {} for n in SENDERS}
    for _, batch in sent:
        for part in batch.sections:
            expected[part.population].update(events_of(part))
    for (bundle,) in bundles(play(new_router(), data.draw(orders(sent)))).values():
        for part in bundle.sections:
            events = events_of(part)
            assert events == sorted(expected[part.population].items())


@patient
@given(st.data())
def test_ledgers_reach_the_host_alone_in_the_order_of_senders(data):
    sent = data.draw(batches(ticks=1))
    ledgers = {(sender, part.population): part.ledger for sender, batch in sent for part in batch.sections}
    for name, (bundle,) in bundles(play(new_router(), data.draw(orders(sent)))).items():
        for part in bundle.sections:
            n = part.population
            assert part.ledger == (b"".join(ledgers[sender, n] for sender in SENDERS[n]) if name == p.HOST else b"")


def test_flags_and_position_travel_with_the_section():
    router = new_router()
    sent = [(name, p.Batch(0, tuple(section(n, (), 7 - n, p.VALID | p.RESET) for n in owns))) for name, owns in OWNS.items()]
    for (bundle,) in bundles(play(router, sent)).values():
        assert [(part.flags, part.position) for part in bundle.sections] == [
            (p.VALID | p.RESET, 7 - part.population) for part in bundle.sections
        ]


def test_a_bubble_stays_a_bubble():
    for (bundle,) in bundles(play(new_router(), [(sender, bubble(sender, 0)) for sender in OWNS])).values():
        for part in bundle.sections:
            assert part == p.Section(part.population, 0, 0, b"", b"", b"")


# --- delivery by the routing table ------------------------------------------------------------------------------------

EVENTS = {  # (sender, population) -> units that fire
    (p.HOST, 0): [3, 4, 5],
    (A, 1): [0, 2],
    (B, 1): [1, 7, 8],
    (B, 2): [9],
    (C, 2): [0, 1, 2, 3],
}
FIRING = [
    (name, p.Batch(0, tuple(section(n, [(unit, unit + 0.5) for unit in EVENTS[name, n]]) for n in owns)))
    for name, owns in OWNS.items()
]
FIRED = {0: 3, 1: 5, 2: 5}


def test_each_copy_is_counted_where_it_comes_in_and_where_it_goes_out():
    """A copy for the sender itself stays in its PE and is no packet."""
    router = new_router()
    play(router, FIRING)
    counters = counters_of(router)
    assert counters["packets_in"] == {p.HOST: 3 * 2, A: 2 * 2, B: 3 * 2 + 1 * 2, C: 4 * 2}
    assert counters["packets_out"] == {A: 3 + 3, B: 3 + 2 + 4, C: 5 + 1, p.HOST: 5}
    assert sum(counters["packets_in"].values()) == sum(counters["packets_out"].values())
    assert not any(counters["packets_dropped"].values())


def test_a_hidden_layer_reaches_the_host_as_a_tap_that_is_not_counted():
    router = new_router()
    (bundle,) = bundles(play(router, FIRING))[p.HOST]
    assert [len(part.keys) // 4 for part in bundle.sections] == [FIRED[1], FIRED[2]]
    assert counters_of(router)["packets_out"][p.HOST] == FIRED[2]  # of the output alone, which is routed to it


@patient
@given(st.sets(st.sampled_from([(n, name) for n, names in DESTINATIONS.items() for name in names])))
def test_who_is_not_in_the_table_gets_no_event_and_the_drops_are_counted(cut):
    """Take destinations out: their bundles still come, without those events."""
    left = {n: [name for name in names if (n, name) not in cut] for n, names in DESTINATIONS.items()}
    router = new_router(destinations=left)
    got = bundles(play(router, FIRING))
    for name, waits in WAITS.items():
        (bundle,) = got[name]
        delivered = [FIRED[n] if name == p.HOST or name in left[n] else 0 for n in waits]
        assert [len(part.keys) // 4 for part in bundle.sections] == delivered
        assert all(part.flags & p.VALID for part in bundle.sections)
    counters = counters_of(router)
    dropped = dict.fromkeys(OWNS, 0)
    for (sender, n), units in EVENTS.items():
        dropped[sender] += sum(len(units) for gone in DESTINATIONS[n] if (n, gone) in cut and gone != sender)
    assert counters["packets_dropped"] == dropped
    handed = {name: n for name, n in counters["packets_out"].items() if n}
    assert sum(counters["packets_in"].values()) == sum(handed.values()) + sum(dropped.values())


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_entry_drops_its_whole_population(gone):
    router = new_router(routes=[[*BLOCKS[n], names] for n, names in DESTINATIONS.items() if n != gone])
    for name, (bundle,) in bundles(play(router, FIRING)).items():
        for part in bundle.sections:
            assert bool(part.keys) == (part.population != gone or name == p.HOST)
    copies = sum(len(units) * sum(name != sender for name in DESTINATIONS[n]) for (sender, n), units in EVENTS.items() if n == gone)
    assert sum(counters_of(router)["packets_dropped"].values()) == copies


def test_an_earlier_entry_overrules_a_later_one():
    everything_to_c = [0, 0, [C]]
    router = new_router(routes=[everything_to_c, *configuration().routes])
    got = bundles(play(router, FIRING))
    assert not any(part.keys for part in got[A][0].sections)
    assert all(part.keys for part in got[C][0].sections)


def test_a_destination_that_does_not_listen_upsets_the_accounts():
    """C hears nothing of the input, so copies for it go nowhere, and what is handed out is more than was wanted."""
    router = new_router(destinations={**DESTINATIONS, 0: [A, B, C]})
    (bundle,) = bundles(play(router, FIRING))[C]
    assert [part.population for part in bundle.sections] == WAITS[C]
    counters = counters_of(router)
    assert counters["packets_out"][C] == FIRED[1] + 1 + FIRED[0]
    assert any(counters["packets_dropped"].values())


def test_an_entry_that_splits_a_population_is_refused():
    """The router delivers whole populations; an entry for a part of one would be read wrong, so it is not read at all."""
    (base, _), one_key = BLOCKS[0], 0xFFFFFFFF
    routes = [[base + 3, one_key, [A, B]], *configuration().routes[1:]]
    assert "splits the population" in refused(configuration(routes=routes))


# --- letters ----------------------------------------------------------------------------------------------------------


def test_a_pe_is_handed_what_the_store_holds_for_it_and_nothing_else():
    """On several machines a PE's load comes by another way than the packets; the router looks at its hash."""
    load, right, wrong = b"packed", hashlib.sha256(b"packed").hexdigest(), "0" * 64
    router = ChipRouter(ROUTER, 16, store={right: load, wrong: b"something else"})
    command(router, configuration())
    assert command(router, p.Hand(A, right)) == [((A,), load)]
    assert f"something else; {A} is given nothing" in fault_of(command(router, p.Hand(A, wrong)))
    assert f"nothing under {'f' * 12}..., which {B} is to be given" in fault_of(command(router, p.Hand(B, "f" * 64)))
    assert command(router, p.Hand("PE(9,9,9)@0", right)) == []
    assert counters_of(router)["malformed"] == {p.HOST: 1}


def test_what_a_pe_says_reaches_the_host_with_its_name():
    assert new_router().handle(A, p.Hello(7)) == [((p.HOST,), p.Letter(A, encode(p.Hello(7))))]


def test_a_letter_is_handed_on_as_it_is():
    assert new_router().handle(p.HOST, p.Letter(B, b"anything")) == [((B,), b"anything")]


@pytest.mark.parametrize("peer", ["PE(7,6,3)@0", "", "router@1", "PE(1,1,0)@1", "router@"])
def test_a_letter_to_nobody_is_a_fault_with_the_name(peer):
    assert f"letter to {peer}," in fault_of(new_router().handle(p.HOST, p.Letter(peer, b"")))


def test_stop_is_answered_and_ends_the_router():
    router = new_router()
    assert not router.done
    assert command(router, p.Stop()) == [((p.HOST,), p.Letter(ROUTER, encode(p.Stopped())))]
    assert router.done


@pytest.mark.parametrize("message", [configuration(), p.Query(), p.Read(), p.Stop()], ids=lambda message: type(message).__name__)
def test_commands_come_in_letters_alone(message):
    """What passes through the routers of other chips comes in letters; there is no other way for the nearest one."""
    router = new_router()
    assert router.handle(p.HOST, message) == []
    assert not router.done
    assert counters_of(router)["malformed"] == {p.HOST: 1}


@pytest.mark.parametrize(
    "body", [b"", b"no message", encode(p.Hello(1)), encode(p.Batch(0, (section(0),))), encode(p.Letter(A, b""))]
)
def test_a_letter_to_the_router_that_is_no_command_is_counted(body):
    router = new_router()
    assert router.handle(p.HOST, p.Letter(ROUTER, body)) == []
    assert counters_of(router)["malformed"] == {p.HOST: 1}


# --- reading ----------------------------------------------------------------------------------------------------------


@patient
@given(st.data())
def test_a_router_asked_before_the_last_batches_answers_after_them(data):
    """The question may come by another way than what is to be counted."""
    sent = data.draw(batches())
    order = data.draw(orders(sent))
    early = data.draw(st.integers(0, len(order)))
    router, after = new_router(), new_router()
    play(after, order)
    play(router, order[:early])
    out = command(router, p.Read(2))
    for sender, batch in order[early:]:
        assert [message for _, message in out if isinstance(message, p.Letter)] == []
        out = router.handle(sender, batch)
    assert decode(out[-1][1].body).counters == counters_of(after)
    assert not bundles(command(router, p.Read(2)))  # and it can be asked again


def test_what_could_not_be_delivered_is_a_fault():
    assert "cannot reach PE(1,1,0)@0: no route" in fault_of(new_router().undelivered("cannot reach PE(1,1,0)@0: no route"))


# --- a missing batch --------------------------------------------------------------------------------------------------


@patient
@given(st.sets(st.sampled_from(list(OWNS))), st.integers(0, 2))
def test_query_names_exactly_who_is_missing(sent, tick):
    router = new_router()
    for before in range(tick):
        play(router, [(sender, bubble(sender, before)) for sender in OWNS])
    play(router, [(sender, bubble(sender, tick)) for sender in sent])
    answer = said_by(command(router, p.Query()))
    assert isinstance(answer, p.StallReport)
    late = set(OWNS) - sent
    assert (answer.tick, set(answer.missing)) == ((tick, late) if late else (tick + 1, set(OWNS)))
    assert len(answer.missing) == len(set(answer.missing))


def test_query_names_who_is_furthest_behind():
    router = new_router()
    for tick in range(3):
        play(router, [(p.HOST, bubble(p.HOST, tick))])
    play(router, [(name, bubble(name, 0)) for name in (A, B)])
    assert said_by(command(router, p.Query())) == p.StallReport(0, [C])


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "batch"),
    [
        (A, p.Batch(1, (section(1),))),
        (A, p.Batch(0, ())),
        (A, p.Batch(0, (section(1), section(1)))),
        (A, p.Batch(0, (section(2),))),
        (A, p.Batch(0, (section(9),))),
        (B, p.Batch(0, (section(1), section(1)))),
        (B, p.Batch(0, (section(2), section(0)))),
        (p.HOST, p.Batch(0, (section(1),))),
        (p.HOST, p.Batch(3, (section(0),))),
    ],
    ids=["ahead", "no section", "too many", "foreign", "unknown", "twice", "of the host", "the host's", "host ahead"],
)
def test_a_wrong_batch_is_a_fault_with_sender_and_tick(sender, batch):
    text = fault_of(new_router().handle(sender, batch))
    assert sender in text
    assert str(batch.tick) in text


def test_a_batch_that_comes_twice_is_a_fault_with_sender_and_tick():
    router = new_router()
    play(router, [(sender, bubble(sender, 0)) for sender in OWNS])
    router.handle(C, bubble(C, 1))
    text = fault_of(router.handle(C, bubble(C, 1)))
    assert C in text
    assert "needs tick 2" in text
    assert "has 1" in text


@pytest.mark.parametrize(("flags", "position"), [(p.VALID | p.RESET, 4), (p.VALID, 5), (0, 4)])
def test_senders_that_disagree_about_the_position_are_a_fault_with_both_names(flags, position):
    router = new_router()
    assert router.handle(A, p.Batch(0, (section(1, position=4),))) == []
    text = fault_of(router.handle(B, p.Batch(0, (section(1, position=position, flags=flags), section(2)))))
    for word in (A, B, "tick 0", f"position {position}"):
        assert word in text


@pytest.mark.parametrize("window", [1, 3])
def test_too_many_open_ticks_are_a_fault_with_sender_and_tick(window):
    """A layer runs at most the depth of the line ahead of the window."""
    router = new_router(window)
    for tick in range(window + len(SENDERS)):
        assert router.handle(A, bubble(A, tick)) == []
    tick = window + len(SENDERS)
    text = fault_of(router.handle(A, bubble(A, tick)))
    for word in (A, f"tick {tick}", f"window is {window}"):
        assert word in text


def test_ticks_that_are_complete_are_not_open():
    router = new_router(window=1)
    for tick in range(50):
        assert set(bundles(play(router, [(sender, bubble(sender, tick)) for sender in OWNS]))) == set(WAITS)


# --- what is no message -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "name"), [(A, A), (C, C), (p.HOST, p.HOST), ("PE(7,6,3)@0", "stranger"), ("\ufffd", "stranger")]
)
def test_malformed_bytes_are_counted_by_name(sender, name):
    router = new_router()
    assert router.malformed(sender, "no message") == []
    assert router.malformed(sender, "no message") == []
    assert counters_of(router)["malformed"] == {name: 2}


@pytest.mark.parametrize(
    "message",
    [
        p.Batch(0, (section(0),)),
        p.Relay(0, [], ()),
        p.Linked(),
        p.Hello(1),
        p.Letter(A, b""),
        p.Stop(),
        p.Read(),
        p.Configure(1, {}, {}, [], [], {}, 0),
    ],
    ids=str,
)
def test_a_stranger_is_counted_and_not_heard(message):
    router = new_router()
    assert router.handle("PE(7,6,3)@0", message) == []
    assert counters_of(router)["malformed"] == {"stranger": 1}
    assert not router.done


@pytest.mark.parametrize("message", [p.Hello(1), p.Bundle(0, ()), p.StallReport(0, []), p.Relay(0, [], ()), p.Linked()], ids=str)
def test_what_is_not_for_a_router_is_counted(message):
    router = new_router()
    assert router.handle(p.HOST, message) == []
    assert counters_of(router)["malformed"] == {p.HOST: 1}


@patient
@given(st.data())
def test_what_is_no_message_changes_nothing_else(data):
    sent = data.draw(batches())
    quiet, noisy = new_router(), new_router()
    expected, got = [], []
    for sender, batch in sent:
        for intruder in data.draw(st.lists(st.sampled_from([A, p.HOST, "who", "router@1"]), max_size=2)):
            assert noisy.malformed(intruder, "") == []
        assert noisy.handle("who", batch) == []
        expected += quiet.handle(sender, batch)
        got += noisy.handle(sender, batch)
    assert got == expected
    assert counters_of(noisy) | {"malformed": {}} == counters_of(quiet)


# --- configuration ----------------------------------------------------------------------------------------------------


def refused(message, entries=16):
    """The configuration is refused; return the fault."""
    return fault_of(command(ChipRouter(ROUTER, entries), message))


def test_a_table_that_is_too_small_is_a_fault():
    assert "needs 3 entries, the chip has 2" in refused(configuration(), 2)


def streams(**changes):
    """The streams of `configuration`, with these parts of the first one replaced."""
    parts = ("population", "source", "key", "mask", "arrives_from", "here", "beyond")
    first, *others = configuration().streams
    return {"streams": [list((dict(zip(parts, first, strict=True)) | changes).values()), *others]}


@pytest.mark.parametrize(
    "bad",
    [
        {"routes": [[1, 2]]},
        {"routes": [[0, "mask", []]]},
        {"routes": [[0, 0, 3]]},
        {"senders": {0: 3}},
        {"senders": {0: [[p.HOST]]}},
        {"senders": {0: [{}]}},
        {"senders": {}},
        {"senders": {**SENDERS, 3: [A]}},
        {"streams": []},
        {"streams": [[1, 2]]},
        {"streams": configuration().streams[1:]},
        streams(key="key"),
        streams(here="here"),
        streams(beyond=3),
        streams(beyond={"router@1": 3}),
        streams(beyond={"router@1": ["many", 0]}),
        streams(source=1),
        streams(arrives_from="router@1"),
        streams(population=9),
        {"waits": {A: 3}},
        {"waits": {A: [9]}},
        {"waits": {A: ["0"]}},
        {"waits": {1: [0]}},
        {"waits": {p.HOST: [9]}},
        {"payloads": {}},
        {"payloads": {n: [3, 1, 100, {}] for n in SENDERS}},
        {"payloads": {n: [4, 0, 100, {}] for n in SENDERS}},
        {"payloads": {n: [4, 1, 100] for n in SENDERS}},
        {"payloads": {n: [4, 1, 100, {A: b""}] for n in SENDERS}},
        {"transfers": [1, 2]},
        {"transfers": [{A: [B]}, {}, [], [1 << 20]]},
        {"transfers": [{A: [B]}, {}, [], [1 << 20, 16]]},
        {"transfers": [{A: ["DRAM@0"]}, {}, [], []]},
        {"transfers": [{A: ["PE(1,1,3)@0"]}, {}, [], []]},
    ],
    ids=str,
)
def test_a_malformed_configuration_is_a_fault(bad):
    assert "malformed" in refused(configuration(**bad))


@settings(patient, max_examples=100)
@given(st.data())
def test_any_configuration_is_taken_or_is_a_fault(data):
    """Whatever the wire lets through: one answer, and never an exception."""
    plain = st.none() | st.integers(-2, 3) | st.sampled_from([A, p.HOST, "router@1", ""]) | st.binary(max_size=2)
    anything = st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 3), inner, max_size=2)
    )
    message = configuration()
    field = data.draw(st.sampled_from(["senders", "waits", "streams", "routes", "payloads", "transfers"]))
    value = getattr(message, field)
    if value and data.draw(st.booleans()):
        at = data.draw(st.sampled_from(list(value) if isinstance(value, dict) else range(len(value))))
        parts = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        changed = [(key, data.draw(anything) if key == at else part) for key, part in parts]
        value = dict(changed) if isinstance(value, dict) else [part for _, part in changed]
    else:
        value = data.draw(
            st.lists(anything, max_size=3) if isinstance(value, list) else st.dictionaries(plain, anything, max_size=3)
        )
    answer = said_by(command(ChipRouter(ROUTER, 16), message._replace(**{field: value})))
    assert isinstance(answer, p.Configured | p.Fault)


def test_before_it_is_configured_the_router_hears_the_host_alone():
    router = ChipRouter(ROUTER, 16)
    assert router.handle(A, p.Hello(1)) == []
    assert A in fault_of(router.handle(p.HOST, p.Letter(A, b"")))
    for message in (p.Read(), p.Query()):
        assert command(router, message) == []
    command(router, configuration())
    assert counters_of(router)["malformed"] == {"stranger": 1, p.HOST: 2}


def test_a_router_without_a_configuration_can_be_stopped():
    router = ChipRouter(ROUTER, 16)
    assert said_by(command(router, p.Stop())) == p.Stopped()
    assert router.done


def test_a_batch_before_the_configuration_is_a_fault():
    assert p.HOST in fault_of(ChipRouter(ROUTER, 16).handle(p.HOST, p.Batch(0, (section(0),))))
