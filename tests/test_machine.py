"""What a machine promises: the board's footprint, links that lead back, routes that are trees and never wait in a circle."""

import dataclasses
import graphlib
from collections import Counter
from functools import cache

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from noc.chip import load_chip
from noc.machine import BOARD_CHIPS, DIRECTIONS, MOST_CHIPS, TRIAD_CHIPS, ChipLink, Machine, MachineError, machine_of
from tests.tools.grids import some

PRESETS = (1, 4, 8, BOARD_CHIPS)
TRIADS = (TRIAD_CHIPS, 2 * TRIAD_CHIPS, 6 * TRIAD_CHIPS)
patient = settings(deadline=None, max_examples=20)
machine = cache(Machine)


@st.composite
def damaged(draw, most=BOARD_CHIPS):
    """Return a machine with chips and links down, none of which cuts a chip off."""
    chips = draw(st.integers(2, most))
    down_chips = draw(st.sets(st.integers(0, chips - 1), max_size=min(5, chips - 1)))
    down_links = draw(st.sets(st.tuples(st.integers(0, chips - 1), st.integers(0, 5)), max_size=12))
    try:
        return Machine(chips, down_chips, down_links)
    except MachineError:
        assume(False)  # cut off: `test_a_chip_that_is_cut_off_is_named`


def dependencies(of):
    """Return for each link the links that a packet may hold while it waits for it: over every tree, link after link."""
    graph = {}
    for source in of.live:
        tree = of.tree(source)
        before = {chip: ChipLink(int(tree.parent[chip]), int(tree.direction[chip]), chip) for chip in of.live if chip != source}
        for chip, link in before.items():
            graph.setdefault(link, set())
            if tree.parent[chip] != source:
                graph[link].add(before[int(tree.parent[chip])])
    return graph


# --- the board --------------------------------------------------------------------------------------------------------


def test_a_board_has_the_footprint_of_48_chips_in_a_hexagon():
    places = machine(BOARD_CHIPS).positions
    assert len(set(places)) == BOARD_CHIPS
    rows = Counter(y for _, y in places)
    assert [rows[y] for y in range(8)] == [5, 6, 7, 8, 7, 6, 5, 4]
    # Each row begins where the hexagon's left edge does: straight up, then one to the right a row.
    assert [min(x for x, at in places if at == y) for y in range(8)] == [0, 0, 0, 0, 1, 2, 3, 4]
    for y in range(8):
        assert len({x for x, at in places if at == y}) == max(x for x, at in places if at == y) - [0, 0, 0, 0, 1, 2, 3, 4][y] + 1


def test_presets_are_compact():
    assert set(machine(1).positions) == {(0, 0)}
    assert set(machine(4).positions) == {(0, 0), (1, 0), (0, 1), (1, 1)}  # 2 x 2
    for chips in PRESETS:
        assert len(machine(chips).live) == chips
        farthest = max(machine(chips).tree(0).depth)
        assert farthest <= {1: 0, 4: 1, 8: 2, BOARD_CHIPS: 5}[chips]


@pytest.mark.parametrize("chips", [1, 2, 3, 4, 5, 8, 13, 47, BOARD_CHIPS])
def test_small_machines_are_the_beginning_of_larger_ones(chips):
    assert machine(chips).positions == machine(BOARD_CHIPS).positions[:chips]
    for link in machine(min(chips, 47)).links:
        assert link in machine(47).links  # without the torus of the whole board, a link stays what it is


@pytest.mark.parametrize("chips", TRIADS)
def test_each_board_of_a_triad_is_in_one_piece_and_numbered_like_a_lone_one(chips):
    places, board = machine(chips).positions, machine(BOARD_CHIPS).positions
    wide, high = max(x for x, _ in places) + 1, max(y for _, y in places) + 1
    for first in range(0, chips, BOARD_CHIPS):
        corner = places[first]
        found = [((x - corner[0]) % wide, (y - corner[1]) % high) for x, y in places[first : first + BOARD_CHIPS]]
        assert found == list(board)


@pytest.mark.parametrize("chips", TRIADS)
def test_triads_tile_a_torus_without_gaps(chips):
    places = set(machine(chips).positions)
    wide, high = max(x for x, _ in places) + 1, max(y for _, y in places) + 1
    assert len(places) == chips == wide * high
    assert wide % 12 == high % 12 == 0


@pytest.mark.few(12)
@pytest.mark.parametrize("chips", [*range(1, BOARD_CHIPS + 1), *TRIADS])
def test_every_link_has_its_way_back(chips):
    of = machine(chips)
    links = set(of.links)
    for chip, way, to in links:
        assert ChipLink(to, (way + 3) % 6, chip) in links
        assert to != chip
    assert len(links) == len(of.links) == np.count_nonzero(of.neighbours >= 0)


@pytest.mark.parametrize("chips", [BOARD_CHIPS, *TRIADS])
def test_on_a_torus_each_chip_has_six_links_to_six_chips(chips):
    neighbours = machine(chips).neighbours
    assert np.all(neighbours >= 0)
    assert all(len(set(row)) == 6 for row in neighbours.tolist())


@pytest.mark.parametrize("chips", range(1, BOARD_CHIPS))
def test_below_a_board_links_join_neighbours_in_the_plane(chips):
    of = machine(chips)
    for chip, way, to in of.links:
        (x, y), (dx, dy) = of.positions[chip], DIRECTIONS[way]
        assert of.positions[to] == (x + dx, y + dy)


# --- cables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("chips", "cables"), [(1, 0), (8, 0), (47, 0), (BOARD_CHIPS, 48), *((n, n) for n in TRIADS)])
def test_cables_are_the_links_that_leave_a_board(chips, cables):
    """A board's edge has 48 directed links, that go around its own torus or to other boards; smaller machines have no edge."""
    of = machine(chips)
    leaving = [link for link in of.links if of.is_cable(link.chip, link.direction)]
    assert len(leaving) == cables
    assert Counter(link.chip // BOARD_CHIPS for link in leaving) == dict.fromkeys(range(chips // BOARD_CHIPS), 48)
    for link in leaving:
        assert of.is_cable(link.to, (link.direction + 3) % 6)
        assert chips == BOARD_CHIPS or link.chip // BOARD_CHIPS != link.to // BOARD_CHIPS


# --- routes -----------------------------------------------------------------------------------------------------------


def check_routes(of):
    """Every pair of live chips has a route over links that are there, and goes to earlier chips first, then to later ones."""
    levels = of.tree(of.host_chip).depth
    for source in of.live:
        tree = of.tree(source)
        assert all(tree.depth[chip] >= 0 for chip in of.live)
        assert all(tree.depth[chip] == -1 for chip in of.down_chips)
        assert tree.parent[source] == tree.direction[source] == -1
        for to in of.live:
            route = of.route(source, to)
            assert len(route) == tree.depth[to]
            assert [link.chip for link in route] == [source, *(link.to for link in route)][:-1]
            assert (route[-1].to if route else source) == to
            assert all(of.neighbours[link.chip, link.direction] == link.to for link in route)
            ups = [(levels[link.to], link.to) < (levels[link.chip], link.chip) for link in route]
            assert ups == sorted(ups, reverse=True)


@pytest.mark.few(2)
@pytest.mark.parametrize("chips", [1, 2, 3, 8, 21, BOARD_CHIPS])
def test_routes_lead_everywhere_first_up_then_down(chips):
    check_routes(machine(chips))


@patient
@given(damaged(30))
def test_routes_lead_around_what_is_down(of):
    check_routes(of)
    for link in of.links:
        assert not {link.chip, link.to} & of.down_chips


@patient
@given(damaged(), st.data())
def test_a_multicast_enters_each_chip_once_and_is_the_union_of_its_routes(of, data):
    source = data.draw(st.sampled_from(of.live))
    to = data.draw(st.sets(st.sampled_from(of.live)))
    links = of.multicast(source, to)
    entered = [link.to for link in links]
    assert len(set(entered)) == len(entered)
    assert source not in entered
    assert set(links) == {link for chip in to for link in of.route(source, chip)}
    reached = {source}
    for link in links:  # nearer ones first
        assert link.chip in reached
        reached.add(link.to)


def test_a_route_to_a_chip_that_is_down_is_refused():
    with pytest.raises(MachineError, match="route from chip 0 to chip 3: that chip is down"):
        Machine(8, {3}).route(0, 3)


# --- no circle --------------------------------------------------------------------------------------------------------


@pytest.mark.few(2)
@pytest.mark.parametrize("chips", some([*range(1, BOARD_CHIPS + 1), TRIAD_CHIPS], lambda chips: chips < 9 or chips % 12 == 0))
def test_no_link_waits_for_itself(chips):
    order = list(graphlib.TopologicalSorter(dependencies(machine(chips))).static_order())
    assert set(order) <= set(machine(chips).links)


@pytest.mark.wide
@patient
@given(damaged())
def test_no_link_waits_for_itself_whatever_is_down(of):
    graphlib.TopologicalSorter(dependencies(of)).prepare()


def test_a_circle_would_be_found():
    """Shortest routes around a torus do wait in a circle: three links that each wait for the next."""
    a, b, c = ChipLink(0, 0, 1), ChipLink(1, 0, 2), ChipLink(2, 0, 0)
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter({a: {c}, b: {a}, c: {b}}).prepare()


# --- what is down -----------------------------------------------------------------------------------------------------


@patient
@given(damaged())
def test_what_is_down_is_down_both_ways(of):
    links = set(of.links)
    assert all(ChipLink(link.to, (link.direction + 3) % 6, link.chip) in links for link in links)


@pytest.mark.parametrize("way", range(6))
def test_a_link_that_is_down_is_down_both_ways(way):
    whole, to = machine(BOARD_CHIPS), int(machine(BOARD_CHIPS).neighbours[20, way])
    of = Machine(BOARD_CHIPS, (), {(20, way)})
    assert set(whole.links) - set(of.links) == {ChipLink(20, way, to), ChipLink(to, (way + 3) % 6, 20)}
    assert set(of.links) < set(whole.links)


def test_the_host_is_at_the_first_chip_that_is_there():
    of = Machine(8, {0, 1})
    assert of.host_chip == 2
    assert of.live == (2, 3, 4, 5, 6, 7)


def test_a_chip_that_is_cut_off_is_named():
    links = {(3, way) for way in range(6)}
    with pytest.raises(MachineError, match=r"^chip 3: no link leads there from chip 0; needs fewer links down$"):
        Machine(8, (), links)
    with pytest.raises(MachineError, match=r"^chip 3 and 1 more: "):
        Machine(8, (), links | {(6, way) for way in range(6)})


def test_what_a_chip_file_lists_beyond_the_machine_does_not_matter():
    chip = dataclasses.replace(load_chip(), down_chips=frozenset({40}), down_links=frozenset({(30, 2), (1, 0)}))
    of = machine_of(chip, 8)
    assert of.live == tuple(range(8))
    assert {link for link in machine(8).links if (link.chip, link.direction) == (1, 0)} <= set(machine(8).links) - set(of.links)


@pytest.mark.parametrize(("chips", "use"), [(0, 1), (-3, 1), (49, 48), (100, 48), (145, 144), (300, 288), (10**9, MOST_CHIPS)])
def test_a_number_of_chips_that_is_no_machine_is_answered_with_one_that_is(chips, use):
    with pytest.raises(MachineError, match=rf"^{chips} chips: needs .*; use {use}$"):
        Machine(chips)
    assert len(Machine(use).positions) == use if use <= TRIADS[-1] else use == MOST_CHIPS


def test_all_chips_down_is_no_machine():
    with pytest.raises(MachineError, match="machine of 2 chips: all of them are down"):
        Machine(2, {0, 1})
