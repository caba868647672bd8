"""What a placement promises: usable PEs in the chip's order, and accounts that router, PEs and host draw the same way."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import Exit, HostError
from host.mapping import strategies
from host.mapping.advice import largest_batch
from host.mapping.placement import place
from host.mapping.sharding import cut
from models import formats
from models.network import ModelError
from models.seeded import seeded_egru, seeded_gesture
from noc.chip import PeId, load_chip
from noc.packet import HOST, INPUT_POPULATION, Load, Loaded
from noc.routing_table import RoutingEntry, RoutingTable
from pe.core import Pe
from pe.sram import footprint
from tests.tools.grids import in_turn

CHIP = load_chip()
NETWORK = seeded_egru(12, (10, 9, 8), 0.4)
placements = st.builds(
    lambda mapping, pes, lanes: place(NETWORK, CHIP, mapping, "csr", pes, lanes),
    st.sampled_from(strategies.names()),
    st.integers(1, 24) | st.none(),
    st.integers(1, 3),
)
patient = settings(deadline=None, max_examples=30)


def names_of(placement):
    return [placed.name for placed in placement.pes]


def refused(*arguments):
    """The mapping is refused in one line; return it."""
    with pytest.raises(HostError) as caught:
        place(*arguments)
    assert caught.value.code is Exit.DOES_NOT_FIT
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


# --- where on the chip ------------------------------------------------------------------------------------------------


@patient
@given(placements)
def test_pes_are_taken_in_the_chips_order(placement):
    assert names_of(placement) == [str(pe) for pe in CHIP.usable_pes()[: len(placement.pes)]]


@patient
@given(st.sets(st.sampled_from(CHIP.usable_pes()), max_size=20), st.integers(1, 24))
def test_cores_that_are_down_are_not_used(down, pes):
    chip = dataclasses.replace(CHIP, down_cores=frozenset(down))
    used = [placed.pe for placed in place(NETWORK, chip, "uniform", "csr", pes).pes]
    assert not down & set(used)
    assert used == [pe for pe in CHIP.usable_pes() if pe not in down][:pes]


def test_a_chip_has_152_pes_and_no_more():
    network = seeded_egru(12, (160,), 0.1)
    assert names_of(place(network, CHIP, "uniform", "csr", 152)) == [str(pe) for pe in CHIP.usable_pes()]
    assert "152 PEs" in refused(network, CHIP, "uniform", "csr", 153)


@pytest.mark.wide
def test_pes_that_are_down_are_not_offered():
    chip = dataclasses.replace(CHIP, down_cores=frozenset({PeId(0, 1, 1, 0), PeId(0, 7, 6, 3)}))
    network = seeded_egru(12, (160,), 0.1)
    assert len(place(network, chip, "uniform", "csr", 150).pes) == 150
    text = refused(network, chip, "uniform", "csr", 151)
    assert "152 PEs, 2 of them down" in text


def test_a_mapping_that_chooses_more_pes_than_are_up_is_refused():
    chip = dataclasses.replace(CHIP, down_cores=frozenset(CHIP.usable_pes()[10:]))
    text = refused(seeded_egru(350, (350, 350), 0.1), chip, "balanced", "csr", None)
    assert re.search(r"needs \d\d PEs, one chip has 10", text)


def test_a_mapping_that_may_choose_makes_do_with_the_pes_that_are_up():
    chip = dataclasses.replace(CHIP, down_cores=frozenset(CHIP.usable_pes()[10:]))
    assert len(place(seeded_egru(60, (60, 60), 0.1), chip, "uniform", "csr", None).pes) == 10


# --- as many sequences as fit -----------------------------------------------------------------------------------------

SMALL = dataclasses.replace(CHIP, sram_bytes=8192, bank_bytes=2048, program_bytes=1024, debug_bytes=256)


DEALS = [("uniform", None), ("uniform", 12), ("balanced", None), ("balanced", 9)]


@pytest.mark.few(2)
@pytest.mark.parametrize(("form", "deal", "trace"), in_turn(formats.names(), DEALS, [0.0, 0.9]))
def test_a_batch_that_does_not_fit_is_answered_with_the_largest_that_does(form, deal, trace):
    mapping, pes = deal
    network = seeded_gesture(layers=(12, 12), trace=trace).network
    text = refused(network, SMALL, mapping, form, pes, 10_000)
    most = int(re.search(r"the largest batch that fits on these PEs is --batch (\d+)", text)[1])
    assert most > 1
    placement = place(network, SMALL, mapping, form, pes, most)
    assert f"--batch {most};" in refused(network, SMALL, mapping, form, pes, most + 1) + ";"
    assert largest_batch(network, placement.request, mapping) == most


def test_no_batch_is_offered_where_not_even_one_sequence_fits():
    network = seeded_gesture(features=200, layers=(40, 40)).network
    assert "batch" not in refused(network, SMALL, "uniform", "dense", 4, 5)


@pytest.mark.slow
def test_the_papers_gesture_network_fits_64_to_128_pes_and_not_48():
    """Dense: 4 units a PE in the paper; at 48 PEs the 11 units of the fullest need 101,376 B of weights alone."""
    network = seeded_egru(512, (256, 256), 1.0)
    placed = place(network, CHIP, "uniform", "dense", None, 6)
    assert [len(pe.share[0].units) for pe in placed.pes] == [4] * 128
    assert placed.worst()["weights"] == 4 * 12 * (512 + 256)
    for pes in (64, 96, 128):
        assert len(place(network, CHIP, "uniform", "dense", pes, 6).pes) == pes
    fewest = int(re.search(r"use --pes (\d+) or more", refused(network, CHIP, "uniform", "dense", 48))[1])
    assert len(place(network, CHIP, "uniform", "dense", fewest).pes) == fewest > 48
    refused(network, CHIP, "uniform", "dense", fewest - 1)


def test_cores_that_are_down_elsewhere_are_not_this_chips():
    chip = dataclasses.replace(CHIP, down_cores=frozenset({PeId(1, 1, 1, 0)}))
    assert "one chip has 152 PEs" in refused(seeded_egru(12, (160,), 0.1), chip, "uniform", "csr", 153)


def test_an_unknown_format_or_strategy_is_refused():
    with pytest.raises(ModelError, match="did you mean 'csr'"):
        place(NETWORK, CHIP, "uniform", "crs", 3)
    with pytest.raises(HostError, match="did you mean 'uniform'"):
        place(NETWORK, CHIP, "unifrm", "csr", 3)


# --- who hears whom ---------------------------------------------------------------------------------------------------


@patient
@given(placements)
def test_senders_are_who_owns_units_and_destinations_who_listens(placement):
    network = placement.network
    assert placement.senders(INPUT_POPULATION) == [HOST]
    for layer in network.layers:
        assert placement.senders(layer) == [p.name for p in placement.pes if layer in {part.population for part in p.share}]
    for population in range(len(network.populations)):
        listeners = network.listeners(population)
        hears = [p.name for p in placement.pes if {part.population for part in p.share} & set(listeners)]
        assert placement.destinations(population) == hears + [HOST] * (population == network.output)


@patient
@given(placements)
def test_copies_destinations_streams_and_routes_agree(placement):
    """On one chip a population is one stream, which begins there and goes nowhere else."""
    told = placement.configure(7)
    assert list(told) == [0]
    configure = told[0]
    assert configure.window == 7
    assert configure.waits == placement.connectivity.waits
    assert configure.waits[HOST] == list(NETWORK.layers)  # the host taps every layer
    assert configure.senders == {n: placement.senders(n) for n in range(len(NETWORK.populations))}
    assert [stream[0] for stream in configure.streams] == list(configure.senders)
    for population, source, _, _, arrives_from, here, beyond in configure.streams:
        destinations = placement.destinations(population)
        assert (source, arrives_from, here, beyond) == (0, "", len(destinations), {})
        assert all(population in configure.waits[name] for name in destinations)
        for placed in placement.pes:
            if placed.name in configure.senders[population]:
                assert placement.copies(placed)[population] == len(set(destinations) - {placed.name})


@patient
@given(placements, st.data())
def test_each_event_of_a_population_is_routed_to_its_destinations(placement, data):
    configure = placement.configure(1)[0]
    table = RoutingTable([RoutingEntry(key, mask, tuple(names)) for key, mask, names in configure.routes], CHIP.router_entries)
    for population, _, base, *_ in configure.streams:
        key = data.draw(st.integers(0, NETWORK.populations[population].units * placement.request.lanes - 1))
        assert table.destinations(base + key) == tuple(placement.destinations(population))


def test_the_table_must_hold_an_entry_a_population():
    chip = dataclasses.replace(CHIP, router_entries=3)
    assert "needs 4 entries, the chip has 3" in refused(NETWORK, chip, "uniform", "csr", 3)
    assert place(NETWORK, dataclasses.replace(CHIP, router_entries=4), "uniform", "csr", 3)


# --- the same SRAM at both ends ---------------------------------------------------------------------------------------


@pytest.mark.few(5)
@pytest.mark.parametrize("form", formats.names())
@pytest.mark.parametrize(("pes", "lanes"), [(1, 1), (2, 3), (24, 2)])
def test_the_regions_are_those_that_the_pe_itself_plans(form, pes, lanes):
    placement = place(NETWORK, CHIP, "uniform", form, pes, lanes)
    for placed in placement.pes:
        shards = [shard.to_parts() for shard in cut(NETWORK, placement.request, placed.share)]
        pe = Pe(placed.name, "router@0")
        pe.boot()
        ((_, loaded),) = pe.handle("router@0", Load(shards, placement.copies(placed), dict(vars(placement.request.size))))
        assert isinstance(loaded, Loaded)
        assert loaded.regions == [[r.name, r.offset, r.size_bytes, r.role] for r in placed.regions]


@patient
@given(placements)
def test_the_worst_pe_has_the_fewest_free_bytes(placement):
    used = [footprint(placed.regions, placement.request.size) for placed in placement.pes]
    assert placement.worst() in used
    assert placement.worst()["free"] == min(one["free"] for one in used)


@patient
@given(placements)
def test_the_table_has_a_row_a_pe(placement):
    rows = placement.table()
    assert [row["pe"] for row in rows] == names_of(placement)
    for row, placed in zip(rows, placement.pes, strict=True):
        assert row["layers"] == [NETWORK.populations[part.population].name for part in placed.share]
        assert [np.array(units).tolist() for units in row["units"]] == [part.units.tolist() for part in placed.share]
        assert row["sram"] == footprint(placed.regions, placement.request.size)
        assert sum(size for _, _, size, _ in row["regions"]) <= CHIP.sram_bytes
