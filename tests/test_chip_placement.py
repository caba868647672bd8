"""What a placement on several chips promises: room on every chip, every unit once, chips in order; and `clustered`, that no other
mapping puts fewer packets on links by filling chips in order, and that tiny cases cannot be done better at all.
"""

import dataclasses
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from host.cli import main
from host.commands.fit import expected_link_loads, format_comparison, format_links
from host.errors import Exit, HostError
from host.mapping import chip_assignment, strategies
from host.mapping.chip_assignment import assign_chips, fill_in_order, links_used
from host.mapping.expected_traffic import INPUT_RATE, LAYER_RATE, expected_flows, flow_loads, rates_of
from host.mapping.placement import place
from host.mapping.request import UnitSet
from models import shipped
from models.network import Network, Population, Projection, SparseRows
from models.seeded import seeded_egru
from noc.chip import PES_PER_QPE, QPES, ChipError, PeId, load_chip
from noc.machine import ChipLink, Machine

CHIP = load_chip()
STRATEGIES = strategies.names()
patient = settings(deadline=None, max_examples=40)
searching = settings(deadline=None, max_examples=15)


def line_of(layers, inputs=10):
    """Return a line of EGRU layers without a weight, which is all that the way between chips depends on."""
    empty = lambda rows, columns: SparseRows(  # noqa: E731
        (rows, columns), np.zeros(rows + 1, np.int64), np.zeros(0, np.uint32), np.zeros(0, np.float32)
    )
    populations = [Population("input", inputs)]
    for number, units in enumerate(layers, 1):
        projections = (
            Projection(number - 1, "input", empty(3 * units, populations[-1].units)),
            Projection(number, "recurrent", empty(3 * units, units)),
        )
        vectors = {name: np.zeros(n * units, np.float32) for name, n in (("threshold", 1), ("bias", 3), ("recurrent_bias", 3))}
        populations.append(Population(f"layer{number}", units, "egru", projections, vectors))
    return Network(tuple(populations))


def dealt(network, counts):
    """Return shares of about as many units each, `counts` of them for each layer."""
    return [
        (UnitSet(layer, units),)
        for layer, count in zip(network.layers, counts, strict=True)
        for units in np.array_split(np.arange(network.populations[layer].units, dtype=np.uint32), count)
    ]


def rates_for(network, rate=LAYER_RATE):
    return {0: INPUT_RATE} | dict.fromkeys(network.layers, rate)


@st.composite
def cases(draw, most_chips=8, most_layers=4, most_shares=6):
    """Return (network, machine, shares, room, rates), with chips, links and PEs down."""
    counts = draw(st.lists(st.integers(1, most_shares), min_size=1, max_size=most_layers))
    network = line_of([count * draw(st.integers(1, 3)) for count in counts], draw(st.integers(1, 12)))
    chips = draw(st.integers(1, most_chips))
    try:
        machine = Machine(
            chips,
            draw(st.sets(st.integers(0, chips - 1), max_size=2)),
            draw(st.sets(st.tuples(st.integers(0, chips - 1), st.integers(0, 5)), max_size=3)),
        )
    except ChipError:
        assume(False)
    room = {chip: draw(st.integers(0, 6)) for chip in machine.live}
    assume(sum(room.values()) >= sum(counts))
    rates = {n: draw(st.sampled_from([0.0, 0.1, 0.25, 1.0])) for n in range(len(network.populations))}
    return network, machine, dealt(network, counts), room, rates


def least_possible(network, machine, shares, room, rates):
    """Return the least sum over all links, by trying every way to share out the shares of each layer."""
    chips, of_layer = list(room), [[s for s in shares if s[0].population == layer] for layer in network.layers]

    def ways(left, free):
        if not free:
            return [()] if not left else []
        return [(n, *rest) for n in range(min(left, free[0]) + 1) for rest in ways(left - n, free[1:])]

    def tried(layer, free, seats):
        if layer == len(of_layer):
            yield links_used(network, machine, seats, rates)[0]
            return
        for counts in ways(len(of_layer[layer]), free):
            on = [chip for chip, count in zip(chips, counts, strict=True) for _ in range(count)]
            left = [f - n for f, n in zip(free, counts, strict=True)]
            yield from tried(layer + 1, left, seats + list(zip(on, of_layer[layer], strict=True)))

    return min(tried(0, list(room.values()), []))


def assigned(network, machine, shares, room, rates):
    """Return the chips that the search chooses for one deal."""
    return assign_chips(network, machine, [shares], room, rates)


def check_seats(seats, shares, room):
    """Every share has one seat, no chip more than it has room for, and chips ascend."""
    assert sorted(id(share) for _, share in seats) == sorted(map(id, shares))
    chips = [chip for chip, _ in seats]
    assert chips == sorted(chips)
    assert all(count <= room[chip] for chip, count in Counter(chips).items())


# --- seats ------------------------------------------------------------------------------------------------------------


@patient
@given(cases())
def test_in_order_fills_chips_one_after_another_about_evenly(case):
    _, _, shares, room, _ = case
    seats = fill_in_order(shares, room)
    check_seats(seats, shares, room)
    assert [id(share) for _, share in seats] == [id(share) for share in shares]
    used = Counter(chip for chip, _ in seats)
    even = -(-len(shares) // len(room))
    if all(most >= even for most in room.values()):
        assert max(used.values()) <= even


@pytest.mark.slow
@searching
@given(cases())
def test_clustered_seats_every_share_where_there_is_room_and_is_never_worse(case):
    network, machine, shares, room, rates = case
    seats = assigned(*case)
    check_seats(seats, shares, room)
    assert links_used(network, machine, seats, rates) <= links_used(network, machine, fill_in_order(shares, room), rates)


@searching
@given(cases(4))
def test_clustered_can_be_repeated(case):
    one, other = ([(chip, id(share)) for chip, share in assigned(*case)] for _ in range(2))
    assert one == other


TINY_CASES = [
    ((3, 3), 3, (2, 2, 2)), ((2, 2, 2), 3, (2, 2, 2)), ((2, 3, 1), 3, (3, 2, 2)), ((4, 2), 4, (2, 2, 1, 2)),
    ((2, 2, 2), 4, (2, 2, 2, 2)), ((3, 2, 1), 4, (1, 2, 3, 1)), ((2, 1, 2), 4, (2, 1, 1, 2)), ((1, 4, 1), 4, (2, 2, 2, 2)),
]  # fmt: skip


@pytest.mark.few(4)
@pytest.mark.parametrize("rate", [0.05, 0.2, 1.0])
@pytest.mark.parametrize(("counts", "chips", "room"), TINY_CASES)
def test_tiny_cases_cannot_be_done_better(counts, chips, room, rate):
    network, machine = line_of([4 * count for count in counts], 9), Machine(chips)
    case = network, machine, dealt(network, counts), dict(enumerate(room)), rates_for(network, rate)
    assert links_used(*case[:2], assigned(*case), case[-1])[0] == pytest.approx(least_possible(*case))


@searching
@given(cases(3, 3, 3))
def test_small_cases_of_any_kind_cannot_be_done_much_better(case):
    """No proof of the least is promised; shares that differ by a unit are searched as if they were equal."""
    found = links_used(*case[:2], assigned(*case), case[-1])[0]
    assert found <= 1.25 * least_possible(*case) + 1e-9


@pytest.mark.wide
def test_a_layer_a_chip_is_found_whatever_the_numbers_of_the_chips():
    """Layers that fill a chip each: each sends to the next one's chip, a link on, and the last to the host's."""
    network, machine = line_of([12] * 8, 12), Machine(8)
    shares, room, rates = dealt(network, [6] * 8), dict.fromkeys(range(8), 6), rates_for(network)
    total, busiest = links_used(network, machine, assigned(network, machine, shares, room, rates), rates)
    assert total == pytest.approx(8 * 12 * LAYER_RATE)
    assert busiest == pytest.approx(12 * LAYER_RATE)
    assert total < links_used(network, machine, fill_in_order(shares, room), rates)[0]


def test_a_large_machine_is_filled_without_a_search(monkeypatch):
    monkeypatch.setattr(chip_assignment, "SEARCHED_CHIPS", 4)
    network, machine = line_of([12] * 8, 12), Machine(8)
    shares, room, rates = dealt(network, [5] * 8), dict.fromkeys(range(8), 6), rates_for(network)
    seats = assigned(network, machine, shares, room, rates)
    check_seats(seats, shares, room)
    assert links_used(network, machine, seats, rates) <= links_used(network, machine, fill_in_order(shares, room), rates)


# --- flows and loads --------------------------------------------------------------------------------------------------


@patient
@given(cases())
def test_loads_are_each_flow_over_the_links_of_its_multicast(case):
    network, machine, shares, room, rates = case
    flows = expected_flows(network, machine, fill_in_order(shares, room))
    loads = np.zeros(machine.neighbours.shape)
    for flow in flows:
        for link in machine.multicast(flow.chip, flow.to):
            loads[link.chip, link.direction] += rates[flow.population] * flow.units
    assert flow_loads(machine, flows, rates) == pytest.approx(loads)


@patient
@given(cases())
def test_flows_begin_where_units_are_and_end_where_they_are_heard(case):
    network, machine, shares, room, _ = case
    seats = fill_in_order(shares, room)
    flows = expected_flows(network, machine, seats)
    for population, of in enumerate(network.populations):
        mine = [flow for flow in flows if flow.population == population]
        assert sum(flow.units for flow in mine) == of.units
        hears = {chip for chip, share in seats if {part.population for part in share} & set(network.listeners(population))}
        hears |= {machine.host_chip} if population == network.output else set()
        assert all(set(flow.to) == hears for flow in mine)
    assert [flow.chip for flow in flows if flow.population == 0] == [machine.host_chip]


def test_loads_of_a_case_by_hand():
    """Two chips; layer 1 on the host's, layer 2 on the other: layer 1's events go over, layer 2's to the host come back."""
    placement = place(seeded_egru(12, (10, 8), 0.4), CHIP, "uniform", "csr", 2, 3, 2)
    loads = expected_link_loads(placement, {0: 1.0, 1: 0.5, 2: 0.25})
    assert loads == {ChipLink(0, 1, 1): 3 * 0.5 * 10, ChipLink(1, 4, 0): 3 * 0.25 * 8}  # north-east and back


def test_one_chip_loads_no_link():
    placement = place(seeded_egru(12, (10, 8), 0.4), CHIP, "clustered", "csr", 6)
    assert expected_link_loads(placement, rates_for(placement.network)) == {}
    assert format_links(placement, rates_for(placement.network), False, 12.0)[-1] == "no event crosses a link between chips"


# --- rates ------------------------------------------------------------------------------------------------------------

NETWORK = seeded_egru(12, (10, 9, 8), 0.4)
ASSUMED = rates_for(NETWORK)


def test_measured_activity_is_taken_from_the_checkpoint():
    rates, measured = rates_of(NETWORK, {"test_carried": {"activity": [0.3, 0.2, 0]}, "valid_carried": {"activity": [1, 1, 1]}})
    assert measured
    assert rates == {0: INPUT_RATE, 1: 0.3, 2: 0.2, 3: 0.0}


@pytest.mark.parametrize(
    "activity", [None, [0.1, 0.2], [0.1, 0.2, 1.5], [0.1, 0.2, "0.3"], [0.1, 0.2, True], [0.1, float("nan"), 0.2], "abc", {}]
)
def test_whatever_else_a_provenance_holds_gives_the_assumed_rates(activity):
    assert rates_of(NETWORK, {"test_carried": {"activity": activity}}) == (ASSUMED, False)
    assert rates_of(NETWORK, {"test_carried": activity}) == (ASSUMED, False)
    assert rates_of(NETWORK, {}) == (ASSUMED, False)


# --- whole placements -------------------------------------------------------------------------------------------------


@st.composite
def placements(draw):
    down = draw(
        st.sets(st.sampled_from([PeId(c, x, y, p) for c in range(4) for x, y in QPES for p in range(PES_PER_QPE)]), max_size=9)
    )
    chip = dataclasses.replace(CHIP, down_cores=frozenset(down), down_chips=frozenset(draw(st.sets(st.integers(0, 3), max_size=2))))
    arguments = draw(st.sampled_from(sorted(STRATEGIES))), "csr", draw(st.integers(1, 27) | st.none())
    try:
        return place(NETWORK, chip, *arguments, draw(st.integers(1, 2)), draw(st.integers(1, 6)))
    except ChipError:
        assume(False)


@settings(deadline=None, max_examples=30)
@given(placements())
def test_on_several_chips_every_unit_is_placed_once_on_pes_that_are_there(placement):
    pes = [placed.pe for placed in placement.pes]
    assert len(set(pes)) == len(pes)
    assert all(one.chip <= other.chip for one, other in pairwise(pes))
    for chip, used in Counter(pe.chip for pe in pes).items():
        assert [pe for pe in pes if pe.chip == chip] == list(placement.chip.usable_pes(chip))[:used]
        assert chip in placement.machine.live
    for layer in placement.network.layers:
        units = [int(u) for placed in placement.pes for part in placed.share if part.population == layer for u in part.units]
        assert sorted(units) == list(range(placement.network.populations[layer].units))


@pytest.mark.parametrize("mapping", ["uniform", "balanced"])
@pytest.mark.parametrize("chips", [2, 3, 6])
def test_uniform_and_balanced_put_something_on_every_chip(mapping, chips):
    used = Counter(placed.pe.chip for placed in place(NETWORK, CHIP, mapping, "csr", 13, 1, chips).pes)
    assert len(used) == chips
    assert max(used.values()) - min(used.values()) <= 1


@pytest.mark.few(1)
@pytest.mark.parametrize("pes", [3, 8, 20, 27])
@pytest.mark.parametrize("chips", [2, 3, 5])
def test_clustered_is_no_worse_than_the_others_at_as_many_pes(pes, chips):
    # Nine PEs a chip, so that several are needed.
    down = frozenset(pe for c in range(chips) for pe in CHIP.usable_pes(c)[max(9, -(-pes // chips)) :])
    chip = dataclasses.replace(CHIP, down_cores=down)

    def used(mapping):
        placement = place(NETWORK, chip, mapping, "csr", pes, 1, chips)
        assert len(placement.pes) == pes
        seats = [(placed.pe.chip, placed.share) for placed in placement.pes]
        return links_used(NETWORK, placement.machine, seats, ASSUMED)

    assert used("clustered") <= min(used("uniform"), used("balanced"))


def test_clustered_leaves_chips_empty_where_fewer_hold_everything():
    placement = place(NETWORK, CHIP, "clustered", "csr", 20, 1, 4)
    assert {placed.pe.chip for placed in placement.pes} == {0}


def test_clustered_on_one_chip_is_balanced():
    one, other = (place(NETWORK, CHIP, mapping, "csr", 9) for mapping in ("clustered", "balanced"))
    for a, b in zip(one.pes, other.pes, strict=True):
        assert a.pe == b.pe
        assert [part.units.tolist() for part in a.share] == [part.units.tolist() for part in b.share]


def test_without_a_number_clustered_takes_as_many_pes_as_uniform():
    assert len(place(NETWORK, CHIP, "clustered", "csr", None, 1, 2).pes) == len(
        place(NETWORK, CHIP, "uniform", "csr", None, 1, 2).pes
    )


def test_rates_decide_where_shares_go():
    """Layer 1 or layer 3 must leave the host's chip: whichever is silent does not cost anything there."""
    network = line_of([8, 8], 8)
    shares, room, machine = dealt(network, [4, 4]), {0: 4, 1: 4}, Machine(2)
    quiet_input = assigned(network, machine, shares, room, {0: 0.0, 1: 0.1, 2: 1.0})
    quiet_output = assigned(network, machine, shares, room, {0: 1.0, 1: 0.1, 2: 0.0})
    assert [share[0].population for chip, share in quiet_input if chip == 0] == [2] * 4
    assert [share[0].population for chip, share in quiet_output if chip == 0] == [1] * 4


# --- what is refused --------------------------------------------------------------------------------------------------


def refused(*arguments):
    with pytest.raises((HostError, ChipError)) as caught:
        place(*arguments)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value


@pytest.mark.parametrize("mapping", STRATEGIES)
def test_fewer_units_than_pes_are_refused_in_one_line(mapping):
    error = refused(NETWORK, CHIP, mapping, "csr", 28, 1, 8)
    assert error.code is Exit.DOES_NOT_FIT
    assert "use at most --pes 27" in str(error)


@pytest.mark.wide
def test_more_pes_than_all_chips_have_are_refused():
    assert "2 chips have 304 PEs" in str(refused(seeded_egru(12, (400,), 0.1), CHIP, "clustered", "csr", 305, 1, 2))


def test_a_chip_without_a_link_is_refused_by_name():
    chip = dataclasses.replace(CHIP, down_links=frozenset((2, way) for way in range(6)))
    assert "chip 2: no link leads there from chip 0" in str(refused(NETWORK, chip, "clustered", "csr", 9, 1, 4))


def test_a_number_of_chips_that_is_no_machine_is_refused():
    assert "49 chips: needs 1 to 48" in str(refused(NETWORK, CHIP, "uniform", "csr", 9, 1, 49))


# --- what is told -----------------------------------------------------------------------------------------------------


def test_the_block_names_chips_busiest_link_and_activity():
    placement = place(seeded_egru(12, (10, 8), 0.4), CHIP, "uniform", "csr", 2, 1, 2)
    assert format_links(placement, {0: 1.0, 1: 0.5, 2: 0.25}, True, 12.0) == [
        "2 of 2 chips in use, PEs on each: 1",
        "2 of 2 links crossed, 7 times an event a position; busiest 0>1: 5 events (60 B in frames)",
        "at an activity of egru1 50 %, egru2 25 % (measured: the checkpoint says so) and of the input 100 % (assumed)",
    ]


def test_the_table_has_a_row_a_mapping_and_says_why_one_is_missing():
    placement = place(seeded_egru(12, (10, 8), 0.4), CHIP, "uniform", "csr", 2, 1, 2)
    rates = {0: 1.0, 1: 0.5, 2: 0.25}
    text = format_comparison({"uniform": placement, "other": "does not fit"}, rates, 12.0, lambda _: (0.002, 0.003))
    head, row, missing = text.splitlines()
    assert head.endswith("ms a position  mJ a position")
    assert row.split() == ["uniform", "2", "2", "0>1", "5", "60", "7", "2.000", "3.000"]
    assert missing.split(maxsplit=1) == ["other", "does not fit"]
    assert "ms" not in format_comparison({"uniform": placement}, rates, 12.0)


TINY = str(Path(shipped.__file__).with_name("tiny.safetensors"))


@pytest.mark.slow
def test_fit_shows_chips_and_links(capsys):
    assert main(["fit", TINY, "--chips", "2", "--pes", "6"]) == 0
    text = capsys.readouterr().out
    assert "2 of 2 chips in use, PEs on each: 3\n" in text
    assert "busiest 0>1" in text
    assert main(["fit", TINY, "--pes", "6"]) == 0
    assert "links crossed" not in capsys.readouterr().out


def test_fit_compares_all_mappings_with_their_prices(capsys):
    assert main(["fit", TINY, "--chips", "3", "--pes", "9", "--compare"]) == 0
    rows = {row.split()[0]: row.split() for row in capsys.readouterr().out.splitlines() if row.split()[:1]}
    for mapping in STRATEGIES:
        assert rows[mapping][1] == "9"
        assert float(rows[mapping][-1]) > 0
        assert float(rows[mapping][-2]) > 0
    total = {mapping: float(rows[mapping][6].replace(",", "")) for mapping in STRATEGIES}
    assert total["clustered"] <= min(total.values())


@pytest.mark.few(1)
@pytest.mark.parametrize("mapping", STRATEGIES)
def test_more_than_a_board_can_be_mapped(mapping):
    """More chips than run as processes."""
    placement = place(NETWORK, CHIP, mapping, "csr", 27, 1, 144)
    assert len(placement.pes) == 27
    assert len({placed.pe.chip for placed in placement.pes}) == (1 if mapping == "clustered" else 27)
