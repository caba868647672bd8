"""Route tables: they reach everyone round the holes, as the published bisection says, fit a router, and leave no circle of waits."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from noc.chip import HOLES, QPES, load_chip
from noc.mesh_routes import FOLDER, LINKS, SITES, Link, load_table, path

TABLES = sorted(file.stem for file in FOLDER.glob("*.txt"))
CHIP = load_chip()
site = st.sampled_from(SITES)


def far(a, b):
    """Return the fewest links from one site to another round the holes, walked level by level."""
    reached, level, steps = {a}, {a}, 0
    while b not in reached:
        level = {(link.to_x, link.to_y) for link in LINKS if (link.x, link.y) in level and ((link.x, link.y) == a or (link.x, link.y) not in HOLES)}
        level -= reached
        reached |= level
        steps += 1
    return steps


def test_a_route_by_hand():
    assert [str(link) for link in path("nearest", (2, 6), (4, 5))] == ["(2,6)>(3,6)", "(3,6)>(4,6)", "(4,6)>(4,5)"]
    assert path("nearest", (2, 5), (2, 5)) == []
    row_three = path("nearest", (3, 3), (5, 3))
    assert {(link.to_x, link.to_y) for link in row_three} & HOLES == set()
    assert len(row_three) == 4  # over row 2


def test_the_links_are_those_of_the_published_bisection():
    """307.2 Gbit/s are eight link directions: four rows cross column 4, where the event router takes up the other two."""
    between = [link for link in LINKS if {link.x, link.to_x} == {3, 4} and not {(link.x, link.y), (link.to_x, link.to_y)} & HOLES]
    assert {link.y for link in between} == {1, 2, 5, 6}
    link_bits_per_s = CHIP.noc_clock_hz * CHIP.payload_bits
    assert len(between) * link_bits_per_s == CHIP.facts["noc_bisection_bits_per_s"].value
    assert all((link.x, link.y) not in HOLES or (link.to_x, link.to_y) not in HOLES for link in LINKS)
    ports = [link for link in LINKS if (link.to_x, link.to_y) in ((4, 3), (4, 4))]
    assert len(ports) == CHIP.facts["router_ports"].value == 6


@pytest.mark.parametrize("name", TABLES)
def test_a_table_fits_a_router_and_names_every_other_site(name):
    table = load_table(name)
    assert set(table) == set(SITES)
    for at, onto in table.items():
        assert set(onto) == set(SITES) - {at}
        assert len(onto) <= CHIP.facts["noc_route_entries"].value
        assert {Link(*at, *near) for near in onto.values()} <= set(LINKS)


@pytest.mark.parametrize("name", TABLES)
def test_nothing_passes_through_a_hole(name):
    for a in SITES:
        for b in SITES:
            assert not {(link.x, link.y) for link in path(name, a, b)[1:]} & HOLES


@pytest.mark.parametrize("name", TABLES)
@given(site, site)
def test_a_route_is_joined_and_goes_on_as_the_table_says_anywhere(name, a, b):
    links = path(name, a, b)
    corners = [a, *((link.to_x, link.to_y) for link in links)]
    assert [(link.x, link.y) for link in links] == corners[:-1]
    assert corners[-1] == b
    assert len(set(corners)) == len(corners) >= far(a, b) + 1
    if len(links) > 1:
        assert links[1:] == path(name, corners[1], b)


def waits(name):
    """Return for each link those that a packet on it may wait for: the next one of any route. Copies take the same turns."""
    later = {link: set() for link in LINKS}
    for a in SITES:
        for b in SITES:
            links = path(name, a, b)
            for link, then in zip(links, links[1:], strict=False):
                later[link].add(then)
    return later


def in_circles(later):
    """Return the links that are left when those that wait for nobody are taken away, again and again."""
    left = dict(later)
    while free := [link for link, then in left.items() if not then & left.keys()]:
        for link in free:
            del left[link]
    return set(left)


@pytest.mark.parametrize("name", TABLES)
def test_no_packets_can_wait_for_each_other_in_a_circle(name):
    assert in_circles(waits(name)) == set()


def test_a_circle_would_be_seen():
    a, b, c = (Link(1, 1, 2, 1), Link(2, 1, 2, 2), Link(2, 2, 1, 1))
    assert in_circles({a: {b}, b: {c}, c: {a}}) == {a, b, c}
    assert in_circles({a: {b}, b: {c}, c: set()}) == set()


def test_nearest_is_short_and_balanced_is_even():
    """All sites send to all others alike. Shortest routes alone would close a circle around the event router."""
    pairs = [(a, b) for a in SITES for b in SITES]
    loads = {name: Counter(link for a, b in pairs for link in path(name, a, b)) for name in TABLES}
    shortest = sum(far(a, b) for a, b in pairs)
    assert shortest < loads["nearest"].total() <= 1.03 * shortest
    assert max(loads["balanced"].values()) <= 0.75 * max(loads["nearest"].values())
    assert max(len(path("nearest", a, b)) for a in QPES for b in QPES) <= 12
