"""What the chip's multicast table promises: aligned blocks of keys, and the first entry that matches counts."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from noc.routing_table import KEY_BITS, RoutingEntry, RoutingError, RoutingTable, key_blocks

ALL_BITS = (1 << KEY_BITS) - 1
sizes = st.lists(st.integers(0, 1 << 20), max_size=20)
words = st.integers(0, ALL_BITS)
entries = st.lists(
    st.builds(lambda key, mask, to: RoutingEntry(key & mask, mask, (to,)), words, words, st.sampled_from("abcd")), max_size=8
)


def spans(populations):
    """Return (first, last) key of each population's block."""
    return [(base, base + (ALL_BITS & ~mask)) for base, mask in key_blocks(populations)]


# --- keys -------------------------------------------------------------------------------------------------------------


@given(sizes)
def test_a_block_holds_every_key_of_its_population(populations):
    for size, (base, mask) in zip(populations, key_blocks(populations), strict=True):
        for unit in {0, max(size - 1, 0), size // 2}:
            assert (base + unit) & mask == base


@given(sizes)
def test_blocks_are_aligned_powers_of_two_within_32_bits(populations):
    for size, (first, last) in zip(populations, spans(populations), strict=True):
        block = last - first + 1
        assert block & (block - 1) == 0
        assert first % block == 0
        assert size <= block < max(2 * size, 2)  # and not larger than it must be
        assert 0 <= first <= last <= ALL_BITS


@given(sizes)
def test_blocks_are_disjoint_and_ascend(populations):
    for (_, last), (first, _) in pairwise(spans(populations)):
        assert last < first


def test_the_whole_key_space_can_be_used():
    assert key_blocks([1 << 31, 1 << 31]) == [(0, 1 << 31), (1 << 31, 1 << 31)]
    assert key_blocks([1 << 32]) == [(0, 0)]


@pytest.mark.parametrize("populations", [[(1 << 32) + 1], [1 << 31, 1 << 31, 1], [1, 1 << 31, 1 << 31], [(1 << 31) + 1, 1 << 31]])
def test_more_than_32_bits_of_keys_are_refused(populations):
    with pytest.raises(RoutingError, match="32 bits"):
        key_blocks(populations)


@given(st.lists(st.integers(1, 1 << 31), max_size=8))
def test_blocks_fit_32_bits_or_are_refused(populations):
    try:
        ranges = spans(populations)
    except RoutingError:
        assert 4 * sum(populations) > ALL_BITS  # rounding up and aligning may each cost a factor of two
    else:
        assert all(last <= ALL_BITS for _, last in ranges)


# --- the table --------------------------------------------------------------------------------------------------------


@given(entries, words)
def test_the_first_match_wins(table, key):
    matching = [entry.destinations for entry in table if key & entry.mask == entry.key]
    assert RoutingTable(table, 8).destinations(key) == (matching[0] if matching else ())


def test_order_is_priority():
    special, rest = RoutingEntry(5, ALL_BITS, ("a",)), RoutingEntry(0, 0, ("b",))
    assert RoutingTable([special, rest], 2).destinations(5) == ("a",)
    assert RoutingTable([rest, special], 2).destinations(5) == ("b",)
    assert RoutingTable([special, rest], 2).destinations(6) == ("b",)


def test_a_key_without_an_entry_goes_nowhere():
    assert RoutingTable([], 1).destinations(0) == ()
    assert RoutingTable([RoutingEntry(8, ALL_BITS & ~7, ("a",))], 1).destinations(16) == ()


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=10), st.data())
def test_one_entry_a_population_serves_every_key(populations, data):
    blocks = key_blocks(populations)
    table = RoutingTable([RoutingEntry(*block, (str(n),)) for n, block in enumerate(blocks)], len(blocks))
    number = data.draw(st.integers(0, len(populations) - 1))
    unit = data.draw(st.integers(0, populations[number] - 1))
    assert table.destinations(blocks[number][0] + unit) == (str(number),)


NARROW = 0b11111  # few enough keys to look at each
narrow = st.lists(
    st.builds(
        lambda key, mask, to: RoutingEntry(key & mask, mask, (to,)),
        st.integers(0, NARROW),
        st.integers(0, NARROW).map(lambda low: ALL_BITS & ~NARROW | low),
        st.sampled_from("abcd"),
    ),
    max_size=4,
)


@given(narrow, st.integers(0, 3), st.integers(0, NARROW))
@example([RoutingEntry(0, 1, ("a",))], 1, 2)
def test_a_block_goes_where_each_of_its_keys_goes_or_is_refused_as_split(table, bits, key):
    """One look-up may stand for a population only where it is true of every key."""
    size = 1 << bits
    first = key // size * size
    try:
        found = RoutingTable(table, 4).destinations_of_block(first, ALL_BITS & ~(size - 1))
    except RoutingError as error:
        assert "splits the population" in str(error)
        assert any(entry.mask & (size - 1) for entry in table)
        return
    assert {RoutingTable(table, 4).destinations(first + unit) for unit in range(size)} == {found}


def test_an_entry_that_looks_at_low_bits_alone_splits_every_block():
    odd = RoutingEntry(1, 1, ("a",))
    for key in (0, 16):
        with pytest.raises(RoutingError, match="splits the population"):
            RoutingTable([odd], 1).destinations_of_block(key, ALL_BITS & ~15)


@given(st.integers(0, 5), st.integers(0, 5))
def test_the_table_has_a_capacity(count, capacity):
    table = [RoutingEntry(n, ALL_BITS, ("a",)) for n in range(count)]
    if count <= capacity:
        assert len(RoutingTable(table, capacity).entries) == count
    else:
        with pytest.raises(RoutingError, match=rf"needs {count} entries, the chip has {capacity}"):
            RoutingTable(table, capacity)
