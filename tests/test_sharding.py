"""What a sharding strategy promises: every unit once, shares that fit, and where none do, the smallest number that would."""

import dataclasses
import re
from collections import Counter
from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import Exit, HostError
from host.mapping import strategies
from host.mapping.placement import place
from host.mapping.request import Request, UnitSet, sram_size
from host.mapping.sharding import cut, plan_share, share_sizes
from models import formats
from models.network import Network, Population, Projection, SparseRows
from models.seeded import seeded_egru
from noc.chip import load_chip
from pe.layout import pe_fields
from pe.sram import footprint
from tests.tools.grids import pairs, some

CHIP = load_chip()
# A chip of the same make with 8 KiB a PE, on which networks of a few dozen units need several PEs.
SMALL = dataclasses.replace(CHIP, sram_bytes=8192, bank_bytes=2048, program_bytes=512, debug_bytes=128)
PAPER_WEIGHT_BYTES = 88_300  # Table I, fullest PE
patient = settings(deadline=None, max_examples=40)


def request(chip=CHIP, pes=None, form="csr", lanes=1):
    return Request(form, lanes, sram_size(chip), len(chip.usable_pes()), pes)


def deal(name, network, asked):
    """Return the shares as a strategy prefers to deal them."""
    return strategies.named(name).deals(network, asked)[0]


def rows_of(lengths, columns):
    """Return a matrix whose row i has lengths[i] weights, the first of them at column i."""
    extents = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    picks = [np.sort((row + np.arange(length)) % columns) for row, length in enumerate(lengths)]
    found = np.concatenate(picks).astype(np.uint32)
    return SparseRows((len(lengths), columns), extents, found, np.ones(len(found), np.float32))


def network_of(layers, inputs=20):
    """Return a line of layers, each given as the numbers of input weights of its units."""
    populations = [Population("input", inputs)]
    for number, lengths in enumerate(layers, 1):
        units, sources = len(lengths), populations[-1].units
        lengths = np.minimum(lengths, sources)
        projections = (
            Projection(number - 1, "input", rows_of(np.tile(lengths, 3), sources)),
            Projection(number, "recurrent", rows_of(np.zeros(3 * units, np.int64), units), delay=1),
        )
        vectors = {name: np.zeros(n * units, np.float32) for name, n in (("threshold", 1), ("bias", 3), ("recurrent_bias", 3))}
        populations.append(Population(f"layer{number}", units, "egru", projections, vectors))
    return Network(tuple(populations))


networks = st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=25), min_size=1, max_size=3).map(network_of)
STRATEGIES = strategies.names()
any_strategy = st.sampled_from(STRATEGIES)


def alone(network, layer):
    """Return the network of one layer and its input."""
    population = network.populations[layer]
    projections = tuple(dataclasses.replace(p, source=p.source - layer + 1) for p in population.projections)
    inputs = Population("input", network.populations[layer - 1].units)
    return Network((inputs, dataclasses.replace(population, projections=projections)))


def weights_by_unit(network, layer):
    population = network.populations[layer]
    return sum(p.weights.row_nonzeros.reshape(3, population.units).sum(axis=0) for p in population.projections)


def loads(network, shares, layer, of_a_unit=0):
    """Return for each share of a layer the sum of its units' weights, each unit costing `of_a_unit` more."""
    by_unit = weights_by_unit(network, layer) + of_a_unit
    return [int(by_unit[part.units].sum()) for share in shares for part in share if part.population == layer]


def check_complete(network, shares):
    """Every unit of every layer is in exactly one share, ascending, and no share is empty."""
    for layer in network.layers:
        parts = [part for share in shares for part in share if part.population == layer]
        assert sorted(int(unit) for part in parts for unit in part.units) == list(range(network.populations[layer].units))
    for share in shares:
        assert share
        for part in share:
            assert part.population in network.layers
            assert part.units.dtype == np.uint32
            assert len(part.units)
            assert np.all(np.diff(part.units.astype(np.int64)) > 0)


def total_in(text):
    """Return the smallest number of PEs that a refusal names: '... use --pes 11 or more (...)' or '... need at least 11 PEs'."""
    return int(re.search(r"use --pes (\d+) or more|need at least (\d+) PEs", text).expand(r"\1\2"))


def does_not_fit(call, *arguments):
    """The mapping is refused in one line as one that does not fit; return the line."""
    with pytest.raises(HostError) as caught:
        call(*arguments)
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- every strategy ---------------------------------------------------------------------------------------------------


def test_the_family_is_complete():
    """The default comes first, wherever names are listed."""
    assert STRATEGIES == ["uniform", "balanced", "clustered"]
    for name in STRATEGIES:
        module = strategies.named(name)
        assert isinstance(module.EVEN, bool)
        assert callable(module.deals)
        assert module.assign_chips is None or callable(module.assign_chips)


@patient
@given(any_strategy, networks, st.integers(1, 30))
def test_every_unit_is_in_exactly_one_share(name, network, pes):
    try:
        shares = deal(name, network, request(pes=pes))
    except HostError as error:
        assert error.code is Exit.DOES_NOT_FIT
        assert pes > sum(network.populations[n].units for n in network.layers)
        return
    assert len(shares) == pes
    check_complete(network, shares)


@patient
@given(any_strategy, networks)
def test_without_a_number_every_strategy_finds_one(name, network):
    shares = deal(name, network, request())
    check_complete(network, shares)
    for share in shares:
        plan_share(network, request(), share, "PE")  # fits


@patient
@given(any_strategy, networks, st.integers(1, 12))
def test_a_mapping_can_be_repeated(name, network, pes):
    one, other = (
        [[(p.population, p.units.tolist()) for p in share] for share in shares]
        for shares in (deal(name, network, request(pes=min(pes, len(network.layers)))) for _ in range(2))
    )
    assert one == other


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("form", formats.names())
def test_a_tiny_network_fits_one_pe(name, form):
    network = seeded_egru(12, (10, 9, 8), 0.4)
    (share,) = deal(name, network, request(pes=1, form=form))
    assert [part.population for part in share] == [1, 2, 3]
    check_complete(network, [share])
    plan_share(network, request(form=form), share, "PE")


@pytest.mark.parametrize("name", STRATEGIES)
def test_fewer_pes_than_layers_hold_whole_layers_in_order(name):
    network = seeded_egru(12, (10, 9, 8, 7, 6), 0.4)
    for pes in range(1, 5):
        shares = deal(name, network, request(pes=pes))
        assert len(shares) == pes
        assert [part.population for share in shares for part in share] == [1, 2, 3, 4, 5]
        check_complete(network, shares)


@pytest.mark.parametrize("name", STRATEGIES)
def test_more_pes_than_units_are_refused(name):
    text = does_not_fit(deal, name, seeded_egru(12, (5, 5), 0.4), request(pes=11))
    assert "5 units" in text
    assert "--pes 10" in text
    check_complete(seeded_egru(12, (5, 5), 0.4), deal(name, seeded_egru(12, (5, 5), 0.4), request(pes=10)))


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_most_pes_that_are_offered_work(name):
    network = seeded_egru(12, (10, 9, 8), 0.4)
    text = does_not_fit(deal, name, network, request(pes=28))
    check_complete(network, deal(name, network, request(pes=int(re.search(r"at most --pes (\d+)", text)[1]))))


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_most_pes_that_are_offered_are_the_most(name):
    network = seeded_egru(12, (10, 9, 8), 0.4)
    most = int(re.search(r"at most --pes (\d+)", does_not_fit(deal, name, network, request(pes=28)))[1])
    does_not_fit(deal, name, network, request(pes=most + 1))


@pytest.mark.parametrize(("wrong", "near"), [("unifrom", "uniform"), ("balance", "balanced"), ("Balanced", "balanced")])
def test_an_unknown_strategy_is_answered_with_the_nearest_name(wrong, near):
    with pytest.raises(HostError, match=re.escape(f"unknown mapping {wrong!r}")) as caught:
        strategies.require(wrong)
    assert f"did you mean {near!r}" in str(caught.value)
    assert caught.value.code is Exit.USAGE


# --- too few PEs ------------------------------------------------------------------------------------------------------

NETWORKS = {seed: seeded_egru(16, layers, 0.4, seed) for seed, layers in enumerate([(40, 30, 24), (30, 30), (60,)], 1)}


@pytest.mark.few(1)
@pytest.mark.slow_but("balanced-1-4", "uniform-2-4")
@pytest.mark.parametrize(("name", "seed", "pes"), pairs(STRATEGIES, list(NETWORKS), [1, 4]))
def test_too_few_pes_are_answered_with_the_smallest_number_that_fits(name, seed, pes):
    network = NETWORKS[seed]
    text = does_not_fit(place, network, SMALL, name, "csr", pes)
    total = total_in(text)
    for_layers = re.findall(r"(\d+)(?: PEs)? for layer (\d+)", text)
    assert for_layers
    assert len(place(network, SMALL, name, "csr", total).pes) == total
    does_not_fit(place, network, SMALL, name, "csr", total - 1)
    for count, layer in for_layers:
        single = alone(network, int(layer))
        assert len(place(single, SMALL, name, "csr", int(count)).pes) == int(count)
        does_not_fit(place, single, SMALL, name, "csr", int(count) - 1)


@pytest.mark.wide
def test_what_does_not_fit_is_named():
    """The PE, the region, what it needs and what is free, the layer and its name."""
    text = does_not_fit(place, NETWORKS[1], SMALL, "uniform", "csr", 3)
    assert re.match(
        r"PE\(1,1,\d\)@0: region '(\d)\.\w+\.\w+' needs \d+ B, \d+ B free of 6144 B \(egru\1\); "
        r"use --pes \d+ or more \(\d+ for layer \1\); what fits: --mapping ",
        text,
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_unit_that_is_too_much_for_a_pe_is_named(name):
    network = network_of([[2000, 5, 5]], inputs=2000)
    assert "no number of PEs holds this layer" in does_not_fit(place, network, SMALL, name, "csr", 3)


def test_more_than_the_chip_has_is_said():
    chip = dataclasses.replace(SMALL, down_cores=frozenset(CHIP.usable_pes()[6:]))
    assert "6 are there" in does_not_fit(place, NETWORKS[1], chip, "uniform", "csr", 4)


def test_the_advice_can_be_followed_where_layers_are_uneven():
    network = seeded_egru(16, (60, 4), 0.4)
    total = total_in(does_not_fit(place, network, SMALL, "uniform", "csr", 4))
    place(network, SMALL, "uniform", "csr", total)


# --- uniform ----------------------------------------------------------------------------------------------------------


@patient
@given(networks, st.data())
def test_uniform_gives_each_pe_of_a_layer_the_same_number_of_units(network, data):
    units = {n: network.populations[n].units for n in network.layers}
    shares = deal("uniform", network, request(pes=data.draw(st.integers(len(units), sum(units.values())))))
    for layer in network.layers:
        counts = [len(part.units) for share in shares for part in share if part.population == layer]
        assert max(counts) - min(counts) <= 1


@patient
@given(networks, st.data())
def test_uniform_gives_each_layer_the_same_number_of_pes_or_one_a_unit(network, data):
    units = {n: network.populations[n].units for n in network.layers}
    shares = deal("uniform", network, request(pes=data.draw(st.integers(len(units), sum(units.values())))))
    of_layers = Counter(share[0].population for share in shares)
    for layer, count in of_layers.items():
        assert count >= max(of_layers.values()) - 1 or count == units[layer]


@patient
@given(networks, st.data())
def test_uniform_spreads_the_weights_to_within_one_unit(network, data):
    smallest = min(network.populations[n].units for n in network.layers)
    shares = deal("uniform", network, request(pes=data.draw(st.integers(1, smallest)) * len(network.layers)))
    for layer in network.layers:
        found = loads(network, shares, layer)
        assert max(found) - min(found) <= weights_by_unit(network, layer).max()


def test_uniform_evens_out_what_blocks_of_units_do_not():
    """A layer whose weights grow with the index: blocks in order of the index differ widely."""
    lengths = np.arange(1, 61)
    network = network_of([lengths], inputs=60)
    found = loads(network, deal("uniform", network, request(pes=6)), 1)
    blocks = 3 * lengths.reshape(6, 10).sum(axis=1)
    assert max(blocks) / np.mean(blocks) > 1.8
    assert max(found) / np.mean(found) < 1.01


@pytest.mark.few(3)
@pytest.mark.parametrize(
    ("layers", "pes"),
    [
        ((60, 55), 110),  # a unit of the smaller layer each
        ((60, 7), 14),
        ((256, 256), 128),  # 76 PEs a layer would leave the busiest its four units
        ((150, 150, 100), 150),
        ((135, 135, 75), 114),
        ((5,) * 200, 152),  # fewer PEs than layers: whole layers side by side
    ],
)
def test_uniform_takes_the_pes_there_are_but_none_that_spares_the_busiest_no_unit(layers, pes):
    assert len(deal("uniform", seeded_egru(60, layers, 0.1), request())) == pes


# --- balanced ---------------------------------------------------------------------------------------------------------


@patient
@given(networks, st.data())
def test_balanced_spreads_the_bytes_to_within_one_unit(network, data):
    """A unit costs its weights and 20 words of state."""
    most = min(network.populations[n].units for n in network.layers) * len(network.layers)
    shares = deal("balanced", network, request(pes=data.draw(st.integers(len(network.layers), most))))
    for layer in network.layers:
        found = loads(network, shares, layer, 20)
        assert max(found) - min(found) <= weights_by_unit(network, layer).max() + 20


@pytest.mark.parametrize("seed", NETWORKS)
def test_balanced_uses_the_fewest_pes(seed):
    """With one PE fewer for any of its layers, a share dealt heaviest first to the lightest does not fit."""
    network = NETWORKS[seed]
    counts = Counter(share[0].population for share in deal("balanced", network, request(SMALL)))
    assert set(counts) == set(network.layers)
    for layer, count in counts.items():
        hands = [[] for _ in range(count - 1)]
        cost = weights_by_unit(network, layer) + 20
        for unit in np.argsort(-cost, kind="stable"):
            min(hands, key=lambda hand: cost[hand].sum()).append(int(unit))
        with pytest.raises(ValueError, match="needs"):
            for hand in hands:
                plan_share(network, request(SMALL), (UnitSet(layer, np.array(sorted(hand), np.uint32)),), "PE")


def test_balanced_puts_a_tiny_network_on_one_pe_and_a_small_one_on_fewer_than_it_has_layers():
    tiny = seeded_egru(12, (10, 9, 8), 0.4)
    assert len(deal("balanced", tiny, request())) == 1
    assert len(deal("balanced", tiny, request(SMALL))) == 2


@pytest.mark.wide
@pytest.mark.parametrize("seed", NETWORKS)
def test_balanced_takes_any_number_from_the_fewest(seed):
    network = NETWORKS[seed]
    fewest = len(deal("balanced", network, request(SMALL)))
    for pes in range(fewest, fewest + 8):
        placement = place(network, SMALL, "balanced", "csr", pes)
        assert len(placement.pes) == pes
        check_complete(network, [placed.share for placed in placement.pes])
    assert "at least" in does_not_fit(place, network, SMALL, "balanced", "csr", fewest - 1)


def test_balanced_gives_more_pes_to_the_heavier_layer():
    network = network_of([[1] * 40, [20] * 40], inputs=40)
    counts = Counter(share[0].population for share in deal("balanced", network, request(pes=20)))
    assert counts[2] > counts[1]


# --- cutting ----------------------------------------------------------------------------------------------------------


@patient
@given(any_strategy, networks, st.integers(1, 3), st.sampled_from(formats.names()))
def test_a_cut_has_the_sizes_that_it_was_judged_by(name, network, lanes, form):
    asked = request(pes=len(network.layers), form=form, lanes=lanes)
    for share in deal(name, network, asked):
        for shard, size in zip(cut(network, asked, share), share_sizes(network, asked, share), strict=True):
            assert (shard.population, len(shard.units), shard.lanes) == (size.population, size.units, size.lanes)
            assert [(p.name, p.source, p.delay, p.shape) for p in shard.ports] == list(size.ports)


@patient
@given(networks, st.data())
def test_the_shards_of_a_layer_hold_all_its_weights(network, data):
    smallest = min(network.populations[n].units for n in network.layers)
    asked = request(pes=data.draw(st.integers(1, smallest * len(network.layers))))
    shards = [shard for share in deal("uniform", network, asked) for shard in cut(network, asked, share)]
    for layer in network.layers:
        mine = [shard for shard in shards if shard.population == layer]
        for index, projection in enumerate(network.populations[layer].projections):
            assert sum(shard.ports[index].shape.nonzeros for shard in mine) == projection.weights.nonzeros
            assert sum(len(shard.ports[index].arrays["values"]) for shard in mine) == projection.weights.nonzeros
        for vector, whole in network.populations[layer].vectors.items():
            assert sum(len(shard.vectors[vector]) for shard in mine) == len(whole)


# --- the paper's network ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def paper():
    return seeded_egru()


@pytest.mark.wide
def test_the_papers_network_fits_150_pes_as_in_the_paper(paper):
    """50 PEs a layer with 27, 27 and 15 units each; Table I names 88.3 kB of weights on the fullest."""
    placement = place(paper, CHIP, "uniform", "csr", 150)
    assert [len(placed.share[0].units) for placed in placement.pes] == [27] * 100 + [15] * 50
    fullest = max(footprint(placed.regions, placement.request.size)["weights"] for placed in placement.pes)
    assert abs(fullest - PAPER_WEIGHT_BYTES) <= 0.025 * PAPER_WEIGHT_BYTES
    for layer in paper.layers:
        found = loads(paper, [placed.share for placed in placement.pes], layer)
        assert max(found) < 1.01 * np.mean(found)


def test_balanced_needs_a_quarter_fewer_pes_and_at_most_one_a_layer_more_than_the_bytes_alone(paper):
    asked = request()
    shares = deal("balanced", paper, asked)
    assert 105 <= len(shares) <= 115
    counts = Counter(share[0].population for share in shares)
    for layer in paper.layers:
        whole = (UnitSet(layer, np.arange(paper.populations[layer].units, dtype=np.uint32)),)
        fields = [field for field in pe_fields(share_sizes(paper, asked, whole)) if not field.scratch]
        needed = sum(field.size_bytes for field in fields) / (asked.size.data_bytes - asked.size.debug_bytes)
        assert ceil(needed) <= counts[layer] <= ceil(needed) + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", some(STRATEGIES, "balanced".__eq__))
def test_the_papers_network_on_too_few_pes(paper, name):
    text = does_not_fit(place, paper, CHIP, name, "csr", 100)
    total = total_in(text)
    assert len(place(paper, CHIP, name, "csr", total).pes) == total
    does_not_fit(place, paper, CHIP, name, "csr", total - 1)
