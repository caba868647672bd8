"""Routes: XY, of the right length, joined, and a tree that crosses each of its links once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from noc.xy_routes import Link, path, tree

from noc.chip import QPES, PeId, parse_pe

PES = st.builds(lambda site, p: PeId(0, *site, p), st.sampled_from(QPES), st.integers(0, 3))


def test_a_route_by_hand():
    a, b = PeId(0, 2, 5, 0), PeId(0, 4, 2, 3)
    assert [str(link) for link in path(a, b)] == ["(2,5)>(3,5)", "(3,5)>(4,5)", "(4,5)>(4,4)", "(4,4)>(4,3)", "(4,3)>(4,2)"]
    assert path(a, PeId(0, 2, 5, 3)) == []


def hops(a, b):
    return len(path(a, b))


@given(PES, PES, PES)
def test_hops_are_a_metric_on_the_qpes(a, b, c):
    assert (hops(a, b) == 0) == ((a.x, a.y) == (b.x, b.y))
    assert hops(a, b) == hops(b, a)
    assert hops(a, c) <= hops(a, b) + hops(b, c)


def test_hops_go_along_x_and_then_y_also_past_a_hole():
    assert hops(parse_pe("PE(1,1,0)@0"), parse_pe("PE(7,6,3)@0")) == 11
    assert hops(parse_pe("PE(3,3,0)@0"), parse_pe("PE(5,3,0)@0")) == 2  # across (4,3), as if it were a router
    assert hops(parse_pe("PE(7,2,0)@0"), parse_pe("PE(7,5,0)@0")) == 3  # across (7,3) and (7,4)
    assert hops(PeId(3, 1, 1, 0), PeId(3, 2, 2, 0)) == 2  # as on every chip
    assert max(hops(PeId(0, *a, 0), PeId(0, *b, 0)) for a in QPES for b in QPES) == 11


@given(PES, PES)
def test_a_route_is_joined_goes_x_first_and_is_as_long_as_its_hops(a, b):
    links = path(a, b)
    assert len(links) == abs(a.x - b.x) + abs(a.y - b.y)
    corners = [(a.x, a.y), *((link.to_x, link.to_y) for link in links)]
    assert corners[-1] == (b.x, b.y)
    assert [(link.x, link.y) for link in links] == corners[:-1]
    turned = [link.x == link.to_x for link in links]
    assert turned == sorted(turned)  # once it goes along y, it never goes along x again


@given(PES, st.lists(PES, max_size=12))
def test_a_tree_reaches_everyone_over_one_way_in_to_each_site(source, destinations):
    links = tree(source, destinations)
    into = [(link.to_x, link.to_y) for link in links]
    assert len(set(into)) == len(into)
    assert (source.x, source.y) not in into
    assert {(d.x, d.y) for d in destinations} <= {*into, (source.x, source.y)}
    assert links <= {Link(*link) for d in destinations for link in path(source, d)}
