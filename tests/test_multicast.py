"""What streams promise: every listener is reached over the machine's own routes, with one routing entry a stream and chip."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given, settings

from host.mapping.multicast import Sent, configure_routers, plan_streams
from noc.machine import Machine
from noc.packet import HOST, chip_of, router_name
from noc.routing_table import RoutingError
from tests.tools.linked import connectivity_of, machines, worlds

patient = settings(deadline=None, max_examples=60)


def streams_of(world):
    return plan_streams(world.machine, world.connectivity)


def crossed(stream):
    return sorted((chip, to) for chip, onwards in stream.to.items() for to in onwards)


@patient
@given(worlds())
def test_a_stream_begins_on_each_chip_with_senders_and_by_population_and_chip(world):
    assert [(stream.population, stream.source) for stream in streams_of(world)] == world.begins


@patient
@given(worlds())
def test_a_stream_crosses_the_links_of_its_multicast_and_no_other(world):
    for stream in streams_of(world):
        links = world.crossed(stream.population, stream.source, tap=True)
        assert crossed(stream) == sorted((link.chip, link.to) for link in links)
        assert stream.came_from == {link.to: link.chip for link in links}


@patient
@given(worlds())
def test_copies_are_the_listeners_there_and_beyond(world):
    for stream in streams_of(world):
        tree = world.machine.tree(stream.source)
        for chip, copies in stream.copies.items():
            listeners = 0
            for name in world.connectivity.listeners[stream.population]:
                at = world.chip(name)
                while at not in (chip, stream.source):
                    at = int(tree.parent[at])
                listeners += at == chip
            assert copies == listeners


@patient
@given(worlds())
def test_the_taps_way_is_the_route_to_the_hosts_chip(world):
    for stream in streams_of(world):
        way = world.machine.route(stream.source, world.machine.host_chip) if stream.population else []
        assert stream.tapped == {link.to for link in way}


@patient
@given(worlds())
def test_keys_of_streams_are_apart_so_that_one_entry_serves_each(world):
    blocks = sorted((stream.key, stream.key + (~stream.mask & 0xFFFFFFFF)) for stream in streams_of(world))
    assert all(last < first for (_, last), (first, _) in pairwise(blocks))
    for stream in streams_of(world):
        assert ~stream.mask & 0xFFFFFFFF >= world.connectivity.payloads[stream.population].units - 1


# --- what each router is told -----------------------------------------------------------------------------------------


@patient
@given(worlds())
def test_each_chip_is_told_of_its_own_endpoints_alone(world):
    told = world.configuration(5)
    assert sorted(told) == list(world.machine.live)
    for chip, configure in told.items():
        assert configure.window == 5
        mine = {name: populations for name, populations in world.connectivity.waits.items() if world.chip(name) == chip}
        assert configure.waits == mine
        for population, names in configure.senders.items():
            assert names == [name for name in world.connectivity.senders[population] if world.chip(name) == chip]
    assert {n for configure in told.values() for n in configure.senders} == set(world.connectivity.senders)


@patient
@given(worlds())
def test_routers_agree_about_what_crosses_each_link(world):
    """What one hands on to a neighbour is what the neighbour expects from it."""
    told = world.configuration()
    handed = {
        (router_name(chip), link, stream[0], stream[1])
        for chip, configure in told.items()
        for stream in configure.streams
        for link in stream[6]
    }
    expected = {
        (stream[4], router_name(chip), stream[0], stream[1])
        for chip, configure in told.items()
        for stream in configure.streams
        if stream[4]
    }
    assert handed == expected


@patient
@given(worlds())
def test_tables_name_listeners_here_and_links_with_listeners_beyond(world):
    """A link that only the tap needs has no entry: no packet travels for it."""
    for chip, configure in world.configuration().items():
        for (population, source, key, mask, _, here, beyond), (entry_key, entry_mask, names) in zip(
            configure.streams, configure.routes, strict=True
        ):
            assert (entry_key, entry_mask) == (key, mask)
            listeners = [name for name in world.connectivity.listeners[population] if world.chip(name) == chip]
            links = {router_name(link.to) for link in world.crossed(population, source) if link.chip == chip}
            assert here == len(listeners)
            assert names[:here] == listeners
            assert sorted(names[here:]) == sorted(links) == sorted(link for link, (copies, _) in beyond.items() if copies)


@patient
@given(worlds())
def test_every_copy_of_a_population_is_in_one_table(world):
    found = {}
    for configure in world.configuration().values():
        for (population, source, *_), (_, _, names) in zip(configure.streams, configure.routes, strict=True):
            found.setdefault((population, source), []).extend(name for name in names if not name.startswith("router@"))
    for (population, _), names in found.items():
        assert sorted(names) == sorted(world.connectivity.listeners[population])


# --- what does not fit ------------------------------------------------------------------------------------------------


@patient
@given(machines())
def test_a_table_that_is_too_small_is_refused_with_its_chip(machine):
    """An entry for each stream that begins or arrives: on the host's chip each layer's, for the tap at least, and the input's."""
    names = [f"PE(1,1,0)@{chip}" for chip in machine.live]
    connectivity = connectivity_of({0: [HOST], 1: names})
    streams, need = plan_streams(machine, connectivity), len(machine.live) + 1
    assert configure_routers(machine, connectivity, streams, window=1, table_entries=need)
    with pytest.raises(RoutingError, match=rf"^chip \d+: routing table: needs {need} entries, the chip has {need - 1}$"):
        configure_routers(machine, connectivity, streams, window=1, table_entries=need - 1)


def test_keys_of_all_streams_must_fit():
    machine = Machine(8)
    connectivity = connectivity_of({0: [HOST], 1: [f"PE(1,1,0)@{chip}" for chip in range(8)]})
    vast = dataclasses.replace(connectivity, payloads={0: Sent(4, 1, 1), 1: Sent(4, 1, 1 << 29)})
    with pytest.raises(RoutingError, match="32 bits"):
        plan_streams(machine, vast)


def test_a_population_that_nobody_waits_for_crosses_no_link():
    machine = Machine(4)
    names = [f"PE(1,1,0)@{chip}" for chip in range(4)]
    connectivity = connectivity_of({0: [HOST], 1: names})
    deaf = dataclasses.replace(connectivity, waits={name: [0] for name in names})
    assert all(crossed(stream) == [] for stream in plan_streams(machine, deaf) if stream.population == 1)
    assert {to for stream in plan_streams(machine, deaf) for to in stream.came_from} == {chip_of(name) for name in names} - {0}
