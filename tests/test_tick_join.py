"""What linked routers promise: whatever order things come in, the same bundles and the same bytes on each link; each event once
over each link that it must cross and over no other; every copy accounted for; and a name for whoever breaks the rules.
"""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping.multicast import plan_streams
from noc import packet as p
from noc.machine import Machine
from noc.router import ChipRouter
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from noc.wiring import Wiring, wiring_of
from tests.tools.linked import (
    TICKS,
    WINDOW,
    Chips,
    Listener,
    Starving,
    World,
    connectivity_of,
    events_of,
    section,
    worlds,
)

patient = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 1 << 30)


def bytes_of(chips):
    """All that the endpoints hear and all that crosses links, as it is on the wire."""
    return (
        {name: list(map(encode, bundles)) for name, bundles in chips.bundles().items()},
        {link: list(map(encode, relays)) for link, relays in chips.network.relays.items()},
    )


def neighbours(machine, chip):
    """The names of the routers that a chip is linked to."""
    return {p.router_name(int(to)) for to in machine.neighbours[chip] if to >= 0}


def totals(counters, what):
    return sum(sum(counted[what].values()) for counted in counters.values())


# --- any order --------------------------------------------------------------------------------------------------------


@settings(patient, max_examples=60)
@given(worlds(), seeds)
def test_any_order_of_arrival_gives_the_same_bundles_and_the_same_bytes_on_each_link(world, seed):
    plain, shuffled = Chips(world).play(), Chips(world, seed).play()
    assert bytes_of(shuffled) == bytes_of(plain)
    assert shuffled.read() == plain.read()


@settings(patient, max_examples=15)
@given(worlds(most=4), st.randoms(use_true_random=False))
def test_so_does_an_order_that_is_chosen_to_do_harm(world, order):
    assert bytes_of(Chips(world, order).play()) == bytes_of(Chips(world).play())


@settings(patient, max_examples=30)
@given(worlds(least=2), st.data())
def test_a_link_over_which_everything_comes_last_changes_nothing(world, data):
    pairs = [(p.router_name(link.chip), p.router_name(link.to)) for link in world.machine.links]
    last = data.draw(st.lists(st.sampled_from(pairs), min_size=1, max_size=3)) if pairs else []
    assert bytes_of(Chips(world, Starving(*last)).play()) == bytes_of(Chips(world).play())


# --- bundles ----------------------------------------------------------------------------------------------------------


@patient
@given(worlds(), seeds)
def test_every_endpoint_gets_one_bundle_a_tick_with_all_events_of_what_it_waits_for(world, seed):
    for name, bundles in Chips(world, seed).play().bundles().items():
        assert [bundle.tick for bundle in bundles] == list(range(TICKS))
        for bundle in bundles:
            assert [part.population for part in bundle.sections] == world.connectivity.waits[name]
            for part in bundle.sections:
                assert events_of(part) == world.events(part.population, bundle.tick)  # ascending, whatever chips they come from


@patient
@given(worlds(), seeds)
def test_flags_and_position_travel_with_the_section(world, seed):
    for bundles in Chips(world, seed).play().bundles().values():
        for bundle in bundles:
            for part in bundle.sections:
                said = world.sections(part.population, bundle.tick)[0]
                assert (part.flags, part.position) == (said.flags, said.position)


@patient
@given(worlds(), seeds)
def test_the_tap_reaches_the_host_with_ledgers_in_the_order_of_senders_and_nobody_else(world, seed):
    for name, bundles in Chips(world, seed).play().bundles().items():
        for bundle in bundles:
            for part in bundle.sections:
                ledgers = b"".join(said.ledger for said in world.sections(part.population, bundle.tick))
                assert part.ledger == (ledgers if name == p.HOST else b"")


# --- links ------------------------------------------------------------------------------------------------------------


@patient
@given(worlds(), seeds)
def test_each_link_carries_one_relay_a_tick_and_a_link_that_nobody_needs_none(world, seed):
    needed = {str(link) for n, chip in world.begins for link in world.crossed(n, chip, tap=True)}
    relays = Chips(world, seed).play().network.relays
    assert set(relays) == needed
    for crossed in relays.values():
        assert [relay.tick for relay in crossed] == list(range(TICKS))


@patient
@given(worlds(), seeds)
def test_each_stream_crosses_each_link_of_its_tree_once_and_no_other_link(world, seed):
    """So each event crosses a link at most once, however many listen beyond."""
    expected = {}
    for n, chip in world.begins:
        for link in world.crossed(n, chip, tap=True):
            expected.setdefault(str(link), []).append((n, chip))
    for link, relays in Chips(world, seed).play().network.relays.items():
        for relay in relays:
            heads = [(part.population, source) for (source, _), part in zip(relay.heads, relay.sections, strict=True)]
            assert heads == sorted(expected[link])
            for (n, source), part in zip(heads, relay.sections, strict=True):
                assert events_of(part) == world.events(n, relay.tick, source)


@patient
@given(worlds(), seeds)
def test_what_travels_for_the_tap_alone_is_marked_and_only_the_taps_way_carries_ledgers(world, seed):
    for link, relays in Chips(world, seed).play().network.relays.items():
        for relay in relays:
            for (source, routed), part in zip(relay.heads, relay.sections, strict=True):
                n = part.population
                assert routed == (link in map(str, world.crossed(n, source)))
                tap = world.machine.route(source, world.machine.host_chip) if n in world.connectivity.waits[p.HOST] else []
                ledgers = b"".join(said.ledger for said in world.sections(n, relay.tick, source))
                assert part.ledger == (ledgers if link in map(str, tap) else b"")


@patient
@given(worlds(), seeds)
def test_link_counters_follow_from_events_and_placement_and_both_ends_agree(world, seed):
    """A packet counts once on each link; the tap costs none."""
    counters = Chips(world, seed).play().read()
    carried = world.carried()
    for link in world.machine.links:
        out, into = (
            counters[link.chip]["links_out"].get(p.router_name(link.to), 0),
            counters[link.to]["links_in"].get(p.router_name(link.chip), 0),
        )
        assert out == into == carried[str(link)]


@patient
@given(worlds(), seeds)
def test_every_copy_is_counted_where_it_comes_in_and_where_it_goes_out(world, seed):
    counters = Chips(world, seed).play().read()
    connectivity = world.connectivity
    taken, handed = {}, {}
    for n, names in connectivity.senders.items():
        for name in names:
            listens = n in connectivity.waits.get(name, ())  # its own events reach it inside
            taken[name] = taken.get(name, 0) + world.counts(name, n) * (len(connectivity.listeners[n]) - listens)
    for n, names in connectivity.listeners.items():
        for name in names:
            heard = sum(world.counts(sender, n) for sender in connectivity.senders[n] if sender != name)
            handed[name] = handed.get(name, 0) + heard
    for what, expected in (("packets_in", taken), ("packets_out", handed)):
        assert {name: number for counted in counters.values() for name, number in counted[what].items()} == expected
        for chip, counted in counters.items():  # each at its own chip's router
            assert all(world.chip(name) == chip for name in counted[what])
    assert not totals(counters, "packets_dropped")
    assert sum(taken.values()) == sum(handed.values())


# --- delivery by the routing tables -----------------------------------------------------------------------------------


def named(world):
    """Every (population, source, chip, name) of the routing tables: a copy that some router makes."""
    return [
        (n, source, chip, name)
        for chip, told in world.configuration().items()
        for (n, source, *_), (_, _, names) in zip(told.streams, told.routes, strict=True)
        for name in names
    ]


def without(cut):
    """Return a change of configuration that takes these copies out of the tables."""

    def change(told, chip):
        routes = [
            [key, mask, [name for name in names if (n, source, chip, name) not in cut]]
            for (n, source, *_), (key, mask, names) in zip(told.streams, told.routes, strict=True)
        ]
        return told._replace(routes=routes)

    return change


def lost_for(world, n, source, chip, name):
    """The endpoints that hear nothing of a stream when `chip` makes no copy of it for `name`."""
    if name not in map(p.router_name, world.machine.live):
        return [name]
    tree, beyond = world.machine.tree(source), p.chip_of(name)

    def passes(at):
        while at not in (beyond, source):
            at = int(tree.parent[at])
        return at == beyond

    return [listener for listener in world.connectivity.listeners[n] if passes(world.chip(listener))]


@settings(patient, max_examples=80)
@given(worlds(least=2), seeds, st.data())
def test_an_entry_without_a_name_loses_exactly_the_copies_behind_it_and_says_how_many(world, seed, data):
    """The name of a link or of an endpoint, at the first chip, on the way or at the far end."""
    slot = n, source, chip, name = data.draw(st.sampled_from(named(world)))
    lost = lost_for(world, *slot)
    chips = Chips(world, seed, without({slot})).play()
    stream = [world.events(n, tick, source) for tick in range(TICKS)]
    alone = len({world.chip(sender) for sender in world.connectivity.senders[n]}) == 1
    owners = [sender for sender in world.connectivity.senders[n] if world.chip(sender) == source]
    inside = [name] if alone and owners == [name] else []  # a PE's own events need no table
    for listener, bundles in chips.bundles().items():
        for bundle in bundles:
            for part in bundle.sections:
                expected = world.events(part.population, bundle.tick)
                if part.population == n and listener in lost and listener not in (p.HOST, *inside):
                    expected = [event for event in expected if event not in stream[bundle.tick]]
                assert events_of(part) == expected  # the host's tap goes on
    counters = chips.read()
    copies = sum(len(events) for events in stream) * len(lost)
    own = sum(world.counts(listener, n) for listener in lost if listener in owners)
    assert totals(counters, "packets_dropped") == copies - own
    assert totals(counters, "packets_in") == totals(counters, "packets_out") + copies - own
    dropped = {who for who, number in counters[chip]["packets_dropped"].items() if number}
    assert dropped <= (set(owners) if chip == source else {f"chip {source}"})
    assert not any(sum(counted["packets_dropped"].values()) for at, counted in counters.items() if at != chip)


@settings(patient, max_examples=40)
@given(worlds(least=2), seeds, st.data())
def test_whatever_is_taken_out_drops_and_deliveries_are_what_was_sent(world, seed, data):
    cut = data.draw(st.sets(st.sampled_from(named(world)), max_size=6))
    chips = Chips(world, seed, without(cut)).play()
    counters = chips.read()
    assert totals(counters, "packets_in") == totals(counters, "packets_out") + totals(counters, "packets_dropped")
    for link in world.machine.links:
        here, there = p.router_name(link.chip), p.router_name(link.to)
        assert counters[link.chip]["links_out"].get(there, 0) == counters[link.to]["links_in"].get(here, 0)
    for name, bundles in chips.bundles().items():
        assert [bundle.tick for bundle in bundles] == list(range(TICKS))
        assert all([part.population for part in bundle.sections] == world.connectivity.waits[name] for bundle in bundles)


# --- letters ----------------------------------------------------------------------------------------------------------


@patient
@given(worlds(), seeds)
def test_letters_reach_every_pe_and_router_and_answers_come_back_in_order(world, seed):
    chips = Chips(world, seed)
    pes = [name for name in chips.endpoints if name != p.HOST]
    for number in range(3):
        for name in pes:
            chips.tell(name, p.Hello(number))
            chips.network.post(name, [((world.router(name),), p.Hello(number))])
    for router in chips.routers.values():
        chips.tell(router.name, p.Stop())
    before = len(chips.endpoints[p.HOST].heard)
    chips.network.run(list)
    for name in pes:
        assert chips.endpoints[name].heard == [p.Hello(0), p.Hello(1), p.Hello(2)]
    back = [(letter.peer, decode(letter.body)) for letter in chips.endpoints[p.HOST].heard[before:]]
    for name in pes:
        assert [message for peer, message in back if peer == name] == [p.Hello(0), p.Hello(1), p.Hello(2)]
    assert sorted(peer for peer, message in back if message == p.Stopped()) == sorted(
        router.name for router in chips.routers.values()
    )
    assert all(router.done for router in chips.routers.values())


@settings(patient, max_examples=30)
@given(worlds(least=3), seeds)
def test_letters_wait_for_links_that_come_up_late(world, seed):
    """Routers start one by one; nobody speaks to one that is not there, and nothing is lost or said twice."""
    machine, network, host = world.machine, MemNetwork(seed), Listener()
    network.attach(p.HOST, host)
    routers = [
        ChipRouter(p.router_name(chip), 1000, wiring_of(machine, chip)) for chip in machine.live
    ]  # the host's chip is the first
    told = world.configuration()
    for number, router in enumerate(routers):
        network.attach(router.name, router)
        network.post(router.name, router.boot())
        if not number:
            for chip in machine.live:
                letter = p.Letter(p.router_name(chip), encode(told[chip]))
                network.post(p.HOST, [((router.name,), letter)])
        network.run(list)
        up = {other.name for other in routers[: number + 1]}
        answered = [letter.peer for letter in host.heard]
        assert len(set(answered)) == len(answered)
        for name in answered:  # who says that PEs may come has all its links
            assert neighbours(machine, p.chip_of(name)) <= up
    assert {(letter.peer, decode(letter.body)) for letter in host.heard} == {(router.name, p.Configured()) for router in routers}


def test_a_router_that_a_neighbour_has_not_called_yet_keeps_what_is_for_it():
    router = ChipRouter("router@0", 16, Wiring(p.HOST, {1: "router@1", 2: "router@2", 3: "router@1"}, (), ("router@1", "router@2")))
    letters = [p.Letter(f"router@{chip}", bytes([chip])) for chip in (3, 2, 1, 3)]
    assert [router.handle(p.HOST, letter) for letter in letters] == [[], [], [], []]
    assert router.handle("router@1", p.Linked()) == [
        (("router@1",), letters[0]),
        (("router@1",), letters[2]),
        (("router@1",), letters[3]),
    ]
    assert router.handle(p.HOST, letters[0]) == [(("router@1",), letters[0])]
    assert router.handle("router@2", p.Linked()) == [(("router@2",), letters[1])]
    assert router.handle("router@2", p.Linked()) == []


def test_a_router_tells_those_that_it_calls():
    assert ChipRouter("router@3", 16, Wiring("router@1", {}, ("router@0", "router@1"), ("router@4",))).boot() == [
        (("router@0", "router@1"), p.Linked())
    ]


# --- reading ----------------------------------------------------------------------------------------------------------


@patient
@given(worlds(), seeds, st.data())
def test_a_router_asked_before_its_relays_are_in_answers_after_them(world, seed, data):
    """The question may overtake the last events: it comes by another link."""
    late = data.draw(st.sampled_from(sorted(world.said)))
    expected = Chips(world).play().read()
    chips = Chips(world, seed)
    for sender, said in world.said.items():
        for batch in said[: -1 if sender == late else None]:
            chips.post(sender, batch)
    early = chips.read()
    assert world.chip(late) not in early
    assert all(early[chip] == expected[chip] for chip in early)
    chips.post(late, world.said[late][-1])
    chips.network.run(list)
    got = {p.chip_of(name): reading.counters for name, reading in chips.letters(p.Reading).items()}  # one answer each
    assert got == expected


# --- who is missing ---------------------------------------------------------------------------------------------------


@patient
@given(worlds(), seeds, st.data())
def test_asked_every_router_names_what_it_lacks_and_one_of_them_the_sender(world, seed, data):
    late = data.draw(st.sampled_from(sorted(world.said)))
    chips = Chips(world, seed)
    for sender, said in world.said.items():
        for batch in said if sender != late else []:
            chips.post(sender, batch)
    chips.network.run(list)
    for router in chips.routers.values():
        chips.tell(router.name, p.Query())
    chips.network.run(list)
    answers = chips.letters(p.StallReport)
    assert set(answers) == {router.name for router in chips.routers.values()}
    assert (0, [late]) in [(answer.tick, [name for name in answer.missing if name in world.said]) for answer in answers.values()]
    for name, answer in answers.items():
        own = {sender for sender in world.said if world.router(sender) == name}
        if not answer.tick:
            assert set(answer.missing) & own <= {late}
        assert set(answer.missing) <= own | neighbours(world.machine, p.chip_of(name))


# --- faults -----------------------------------------------------------------------------------------------------------

# A line of three chips: what is said on the last one passes the middle one on its way to the host.
LINE = Machine(3, (), [(0, 0)])
A, B, C = "PE(1,1,0)@0", "PE(1,1,0)@1", "PE(1,1,0)@2"
SENDERS = {0: [p.HOST], 1: [A, B], 2: [C]}
MIDDLE = "router@1"


def line_world(said=()):
    return World(LINE, connectivity_of(SENDERS), dict(said))


def middle_router(window=WINDOW):
    """The router of the middle chip: from chip 0 it hears populations 0 and 1, from chip 2 population 2 for the host."""
    router = ChipRouter(MIDDLE, 16, wiring_of(LINE, 1))
    told = line_world().configuration(window)[1]
    for neighbour in wiring_of(LINE, 1).called_by:
        router.handle(neighbour, p.Linked())
    ((_, letter),) = router.handle("router@0", p.Letter(MIDDLE, encode(told)))
    assert decode(letter.body) == p.Configured()
    return router


def relay(tick, *streams):
    """A relay of (chip, section) streams, as packets."""
    return p.Relay(tick, [[chip, 1] for chip, _ in streams], tuple(part for _, part in streams))


def fault_of(outgoing):
    """Return the text of the one fault that is all the router says, on the way to the host."""
    ((destinations, letter),) = outgoing
    assert (destinations, letter.peer) == (("router@0",), MIDDLE)
    fault = decode(letter.body)
    assert isinstance(fault, p.Fault)
    assert fault.text.startswith(f"{MIDDLE}: ")
    assert len(fault.text.splitlines()) == 1
    return fault.text


def test_the_line_is_as_these_tests_take_it_to_be():
    assert [str(link) for link in LINE.route(2, 0)] == ["2>1", "1>0"]
    assert wiring_of(LINE, 1) == Wiring("router@0", {2: "router@2"}, ("router@0",), ("router@2",))
    assert [
        [s.population, s.source, s.to.get(1, [])]
        for s in plan_streams(LINE, connectivity_of(SENDERS))
        if 1 in (s.source, *s.came_from)
    ] == [
        [0, 0, []],
        [1, 0, [2]],
        [1, 1, [0, 2]],
        [2, 2, [0]],
    ]


def test_a_good_relay_is_taken_and_what_waited_for_it_leaves():
    router = middle_router()
    assert router.handle(B, p.Batch(0, (section(1, [(1, 1.5)]),))) == []
    out = router.handle("router@0", relay(0, (0, section(0, [(5, 5.5)])), (0, section(1, [(0, 0.5)]))))
    assert {to: type(message) for to, message in out} == {(B,): p.Bundle, ("router@2",): p.Relay}
    ((to, onward),) = router.handle("router@2", relay(0, (2, section(2, [(2, 2.5)]))))
    assert to == ("router@0",)
    assert [(head[0], part.population) for head, part in zip(onward.heads, onward.sections, strict=True)] == [(1, 1), (2, 2)]


@pytest.mark.parametrize(
    ("neighbour", "wrong"),
    [
        ("router@2", relay(1, (2, section(2)))),
        ("router@2", relay(7, (2, section(2)))),
        ("router@2", relay(0)),
        ("router@2", relay(0, (2, section(1)))),
        ("router@2", relay(0, (1, section(2)))),
        ("router@2", relay(0, (0, section(1)))),
        ("router@2", relay(0, (9, section(9)))),
        ("router@2", relay(0, (2, section(2)), (2, section(2)))),
        ("router@0", relay(0, (0, section(1)), (0, section(1)))),
        ("router@0", relay(0, (0, section(0)))),
        ("router@0", relay(0, (0, section(0)), (1, section(1)))),
        ("router@0", relay(0, (0, section(0)), (2, section(2)))),
    ],
    ids=[
        "of the next tick",
        "of a far tick",
        "empty",
        "foreign population",
        "foreign chip",
        "another neighbour's stream",
        "unknown",
        "too many",
        "doubled",
        "too few",
        "this chip's own stream",
        "what goes the other way",
    ],
)
def test_a_wrong_relay_is_a_fault_with_neighbour_and_tick(neighbour, wrong):
    text = fault_of(middle_router().handle(neighbour, wrong))
    assert neighbour in text
    assert str(wrong.tick) in text


def test_a_relay_that_comes_twice_is_a_fault_with_neighbour_and_tick():
    router, twice = middle_router(), relay(0, (2, section(2)))
    router.handle("router@2", twice)
    text = fault_of(router.handle("router@2", twice))
    assert "relay of router@2" in text
    assert "needs tick 1" in text
    assert "has 0" in text


@pytest.mark.parametrize("stranger", ["router@7", "router@", "PE(7,6,3)@1", "\ufffd"])
def test_a_strangers_relay_is_counted_and_not_heard(stranger):
    router, good = middle_router(), relay(0, (2, section(2)))
    assert router.handle(stranger, good) == []
    assert router.handle("router@2", good) == []  # the true one still counts: it waits for the chip's own stream
    ((_, letter),) = router.handle("router@0", p.Letter(MIDDLE, encode(p.Read())))
    assert decode(letter.body).counters["malformed"] == {"stranger": 1}


def test_a_relay_from_a_neighbour_that_has_nothing_to_say_is_a_fault():
    """Linked, but no stream comes that way."""
    world = World(LINE, connectivity_of({0: [p.HOST], 1: [A]}), {})
    router = ChipRouter(MIDDLE, 16, wiring_of(LINE, 1))
    router.handle("router@2", p.Linked())
    router.handle("router@0", p.Letter(MIDDLE, encode(world.configuration()[1])))
    assert "relay of router@2" in fault_of(router.handle("router@2", relay(0, (2, section(2)))))


@pytest.mark.parametrize(("flags", "position"), [(p.VALID | p.RESET, 4), (p.VALID, 5), (0, 4)])
def test_chips_that_disagree_about_the_position_are_a_fault_with_both_and_the_tick(flags, position):
    router = middle_router()
    router.handle(B, p.Batch(0, (section(1, position=4),)))
    bad = relay(0, (0, section(0)), (0, section(1, position=position, flags=flags)))
    text = fault_of(router.handle("router@0", bad))
    for word in ("chip 0", "chip 1", "tick 0", f"position {position}", "position 4"):
        assert word in text


@pytest.mark.parametrize(
    "message", [p.Hello(1), p.Read(), p.Stop(), p.Query(), p.Batch(0, (section(1),)), p.Bundle(0, ())], ids=str
)
def test_what_is_not_for_a_neighbour_to_say_is_counted(message):
    router = middle_router()
    assert router.handle("router@2", message) == []
    assert not router.done
    ((_, letter),) = router.handle("router@0", p.Letter(MIDDLE, encode(p.Read())))
    assert decode(letter.body).counters["malformed"] == {"router@2": 1}


def test_a_relay_before_the_configuration_is_counted():
    router = ChipRouter(MIDDLE, 16, wiring_of(LINE, 1))
    assert router.handle("router@2", relay(0, (2, section(2)))) == []
    router.handle("router@2", p.Linked())
    for message in (line_world().configuration()[1], p.Read()):
        ((_, letter),) = router.handle("router@0", p.Letter(MIDDLE, encode(message)))
    assert decode(letter.body).counters["malformed"] == {"router@2": 1}


# --- the window -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize(
    ("neighbour", "streams"), [("router@2", [(2, section(2))]), ("router@0", [(0, section(0)), (0, section(1))])], ids=str
)
def test_too_many_open_ticks_are_a_fault_with_neighbour_and_tick(window, neighbour, streams):
    """A layer runs at most the depth of the line ahead of the window."""
    router = middle_router(window)
    most = window + len(SENDERS)
    for tick in range(most):
        assert all(isinstance(message, p.Relay | p.Bundle) for _, message in router.handle(neighbour, relay(tick, *streams)))
    text = fault_of(router.handle(neighbour, relay(most, *streams)))
    for word in (neighbour, f"tick {most}", f"window is {window}"):
        assert word in text


@pytest.mark.parametrize("window", [1, 3])
def test_a_router_that_sees_the_last_layers_alone_lets_them_run_as_far_ahead(window):
    """How far depends on the layers before them, wherever those are."""
    world = World(LINE, connectivity_of({0: [p.HOST], 1: [A], 2: [B], 3: [C]}), {})
    router = ChipRouter("router@2", 16, wiring_of(LINE, 2))
    told = world.configuration(window)[2]
    assert {stream[0] for stream in told.streams} == {2, 3}
    router.handle(MIDDLE, p.Letter("router@2", encode(told)))
    most = window + 4
    for tick in range(most):
        router.handle(MIDDLE, relay(tick, (1, section(2))))
    ((_, letter),) = router.handle(MIDDLE, relay(most, (1, section(2))))
    assert f"{most} ticks are open, the window is {window}" in decode(letter.body).text


@settings(patient, max_examples=20)
@given(worlds(ticks=20), seeds)
def test_ticks_that_are_through_are_not_open(world, seed):
    """Twenty ticks pass a window of four, as long as nobody is further ahead."""
    chips = Chips(world, seed)
    for tick in range(20):
        for sender, said in world.said.items():
            chips.post(sender, said[tick])
        chips.network.run(list)
    assert not chips.letters(p.Fault)
    assert all(len(bundles) == 20 for bundles in chips.bundles().values())


# --- bubbles ----------------------------------------------------------------------------------------------------------


def test_a_bubble_stays_a_bubble_over_any_number_of_links():
    said = {
        name: [p.Batch(0, tuple(p.Section(n, 0, 0, b"", b"", b"") for n in owned))]
        for name, owned in ((p.HOST, [0]), (A, [1]), (B, [1]), (C, [2]))
    }
    chips = Chips(line_world(said), random.Random(1)).play()
    for bundles in chips.bundles().values():
        for bundle in bundles:
            assert all(part == p.Section(part.population, 0, 0, b"", b"", b"") for part in bundle.sections)
