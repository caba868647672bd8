"""Chips kept once, and expected counts: the same price as the full ledger, exactly, and as a run's, within what chance adds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.cost.chip_streams import chip_streams
from host.cost.cost_table import apply_settings, load_table
from host.cost.expected_ledger import UniformNetwork, expected_ledger
from host.cost.ledger_file import load_ledger
from host.cost.ledger_writer import save_ledger
from host.cost.link_traffic import link_traffic
from host.cost.price import price_positions as price
from host.errors import HostError
from host.mapping.placement import place
from host.run.offline import record
from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.arrays.readout import ArrayReadout
from host.workloads.arrays.seeded_numbers import seeded_features
from host.workloads.arrays.source import ArraySource
from host.workloads.rows_in_dram import RowsInDram
from models.seeded import seeded_egru
from models.tuned_activity import at_activity
from noc.chip import PeId, load_chip
from noc.dram import Dram
from noc.machine import Machine
from tests.tools.chip_classes import list_all_chips, merge_identical_chips
from tests.tools.ledgers import by_port, link_packets, three_units

CHIP, TABLE = load_chip(), load_table()
SMALL = UniformNetwork(layers=2, pes=6, units=5, weights=8, recurrent_weights=9, activity=0.3, input_units=20)


def same_price(one, other, sets=()):
    table = apply_settings(TABLE, sets)[0]
    a, b = price(one, CHIP, table), price(other, CHIP, table)
    assert a.work == b.work
    assert (a.links is None) == (b.links is None)
    if a.links is not None:
        assert {k: v for k, v in a.links.items() if isinstance(v, int | str)} == {
            k: v for k, v in b.links.items() if isinstance(v, int | str)
        }
    for name in ("time_s", "energy_j", "power_w", "time_band_s", "energy_band_j", "energy_parts_j"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-12), name
    assert a.stages_s == {layer: pytest.approx(stages, rel=1e-9) for layer, stages in b.stages_s.items()}


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    chips=st.integers(2, 9),
    form=st.sampled_from(["csr", "packed", "dense"]),
    activity=st.floats(0, 1),
    layers=st.integers(1, 2),
    mode=st.sampled_from(["messages=dma", "messages=qpe", "messages=multicast"]),
    schedule=st.sampled_from(["schedule=sequential", "schedule=pipelined"]),
)
def test_kept_once_or_listed_the_price_is_the_same(chips, form, activity, layers, mode, schedule):
    machine = Machine(chips)
    ledger = expected_ledger(replace(SMALL, format=form, activity=activity, layers=layers), CHIP, machine, 3)
    full = list_all_chips(ledger)
    assert len(full.pes) == chips * SMALL.pes
    assert int(ledger.multiplicity.sum()) == chips * SMALL.pes
    assert full.representatives is None
    same_price(ledger, full, (mode, schedule))
    links, events = link_packets(ledger, machine)
    all_links, all_events = link_packets(full, machine)
    assert links == all_links
    assert np.array_equal(events, all_events)
    again = merge_identical_chips(full)
    assert len(again.pes) <= len(ledger.pes)
    same_price(again, full, (mode, schedule))


def test_chips_that_differ_in_one_count_are_not_alike():
    full = list_all_chips(expected_ledger(SMALL, CHIP, Machine(6), 2))
    assert len(set(merge_identical_chips(full).representative_of.tolist())) == 3  # the host's, the rest of layer 1, layer 2
    events = full.events.copy()
    events[1, full.shards["pe"] == 13] += 1  # a PE of chip 2
    changed_ledger = replace(full, events=events)
    assert len(set(merge_identical_chips(changed_ledger).representative_of.tolist())) == 4
    same_price(merge_identical_chips(changed_ledger), changed_ledger)


def test_chips_that_are_down_or_without_a_pe_stay_so():
    machine = Machine(7, down_chips=(3,))
    ledger = expected_ledger(SMALL, CHIP, machine, 2)
    assert ledger.representative_of[3] == -1
    assert ledger.down_chips == (3,)
    same_price(ledger, list_all_chips(ledger))
    assert not list_all_chips(ledger).chip_of.tolist().count(3)


def test_a_ledger_of_alike_chips_comes_back(tmp_path):
    ledger = expected_ledger(SMALL, CHIP, Machine(9), 2)
    save_ledger(ledger, tmp_path)
    again = load_ledger(tmp_path)
    assert np.array_equal(again.representatives, ledger.representatives)
    assert again.chips == 9
    same_price(again, ledger)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda alike: alike[:-1],  # a chip too few
        lambda alike: np.where(alike == alike[5], 77, alike),  # like a chip that is not there
        lambda alike: np.where(np.arange(len(alike)) == 1, alike[0], alike),  # like the host's
    ],
)
def test_chips_like_others_that_are_not_there_are_refused(tmp_path, spoil):
    ledger = expected_ledger(SMALL, CHIP, Machine(6), 2)
    save_ledger(replace(ledger, representatives=spoil(ledger.representatives)), tmp_path)
    with pytest.raises(HostError, match="chips are like others"):
        load_ledger(tmp_path)


# ---- expected counts


@settings(max_examples=60, deadline=None)
@given(
    activity=st.floats(0, 1),
    units=st.integers(1, 30),
    pes=st.integers(1, 152),
    positions=st.integers(1, 4),
    chips=st.integers(2, 6),
)
def test_a_chips_sums_are_right_to_one(activity, units, pes, positions, chips):
    network = replace(SMALL, units=units, pes=pes, activity=activity, weights=1, recurrent_weights=1)
    ledger = expected_ledger(network, CHIP, Machine(chips), positions)
    for chip in set(ledger.chip_of.tolist()):
        mine = ledger.chip_of[ledger.shards["pe"]] == chip
        events = ledger.shard_events[:, mine]
        assert np.abs(events.sum(axis=1) - activity * units * pes).max() <= 1 + 1e-6
        assert events.max() <= np.ceil(activity * units) + 1
        stored = by_port(ledger, "weights", "recurrent")[mine].sum()
        assert np.abs(by_port(ledger, "macs", "recurrent")[1:, mine].sum(axis=1) - activity * stored).max(initial=0) <= 1 + 1e-6
    assert set(ledger.ports["rows"].tolist()) == {3 * units}
    assert not by_port(ledger, "macs", "recurrent")[0].any()


def vectors(features):
    """Return a source that feeds one sequence of these vectors."""
    return ArraySource({0: RowsInDram.of(Dram(1 << 20, 16), "features", features)}, LanePlan([len(features)], 1))


@pytest.fixture(scope="module")
def run():
    """A seeded network of two layers of 240 units, and what it does at 40 positions, a fifth of the units at a time."""
    features = seeded_features(1, 40, 240)
    network = at_activity(seeded_egru(240, (240, 240), density=0.3, seed=3), 0.2, features[0])
    placement = place(network, CHIP, "uniform", "csr", 240, 1, 2)
    return record(placement, vectors(features.reshape(-1, 240)), ArrayReadout(placement.network, LanePlan([40], 1)))


@pytest.mark.wide
@pytest.mark.slow_but("multicast-csr-0.03", "dma-packed-0.1")
@pytest.mark.parametrize(("form", "within"), [("csr", 0.03), ("dense", 0.02), ("packed", 0.10)])
@pytest.mark.parametrize("messages", ["dma", "multicast"])
def test_the_expected_ledger_is_near_that_of_a_network_that_runs(run, form, within, messages):
    """On 2 chips. What chance adds to the busiest PE is missed: its weights in `csr`, its weights and events in `packed`."""
    real = run.ledger(place(run.network, CHIP, "uniform", form, 240, 1, 2))
    activity = int(real.events.sum()) / (40 * 480)
    weights = [round(int(by_port(real, "weights", p).sum()) / int(by_port(real, "rows", p).sum())) for p in ("input", "recurrent")]
    made = expected_ledger(UniformNetwork(2, 120, 2, *weights, activity, 240, 1.0, form), CHIP, Machine(2), 40)
    table = apply_settings(TABLE, [f"messages={messages}"])[0]
    ours, theirs = price(made, CHIP, table), price(real, CHIP, table)
    assert ours.time_s == pytest.approx(theirs.time_s, rel=within)
    assert ours.energy_j == pytest.approx(theirs.energy_j, rel=within)
    assert ours.links["packets"] == pytest.approx(theirs.links["packets"], rel=0.01)


@pytest.mark.parametrize(
    ("network", "chips", "line"),
    [
        (replace(SMALL, layers=3), 2, "3 layers need as many chips, there are 2"),
        (replace(SMALL, pes=153), 2, "153 PEs a chip; needs 1 to 152"),
        (replace(SMALL, weights=21), 2, "21 weights in a row of 20 input units"),
    ],
)
def test_what_cannot_be_expected(network, chips, line):
    with pytest.raises(HostError, match=line):
        expected_ledger(network, CHIP, Machine(chips), 1)


@pytest.mark.wide
def test_a_large_machine_is_priced_chip_by_chip():
    """576 chips, 86,400 PEs: more than anybody lists, with compiled trees; every chip's streams cross links."""
    ledger = expected_ledger(replace(SMALL, pes=150, weights=10), CHIP, Machine(576), 1)
    p = price(ledger, CHIP, TABLE)
    assert p.work["units"] == 576 * 150 * SMALL.units
    assert p.energy_parts_j["floor"] == pytest.approx(576 * 0.0752 * p.time_s)
    assert p.links["cables"] > 0
    assert len(p.busy_s) == 3 * 150


def test_three_units_are_not_a_uniform_network():
    """A ledger of one chip is its own compression."""
    network = three_units()
    placement = place(network, CHIP, "uniform", "csr", 3)
    readout = ArrayReadout(placement.network, LanePlan([3], 1))
    ledger = record(placement, vectors(np.ones((3, 2), np.float32)), readout).ledger(placement)
    assert merge_identical_chips(ledger).pes == ledger.pes == (PeId(0, 1, 1, 0), PeId(0, 1, 1, 1), PeId(0, 1, 1, 2))


def test_a_sample_of_the_sources_stands_for_all_on_very_large_machines():
    """576 chips, one source of eleven of each layer: packets in all within 1 %, on the busiest link within 10 %."""
    machine = Machine(576)
    ledger = expected_ledger(replace(SMALL, pes=150), CHIP, machine, 1)
    streams = chip_streams(ledger, machine)
    exact, some = link_traffic(streams, machine), link_traffic(streams, machine, 28)
    assert exact.sampled == 1.0
    assert some.sampled == pytest.approx(1 / 11, abs=0.01)
    assert int(some.packets.sum()) == pytest.approx(int(exact.packets.sum()), rel=0.01)
    busiest = [int(one.packets.sum(axis=(0, 1)).max()) for one in (some, exact)]
    assert busiest[0] == pytest.approx(busiest[1], rel=0.10)
