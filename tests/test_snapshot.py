"""What the host can say of a run just now agrees with what its ledger says afterwards, for links and for PEs."""

from __future__ import annotations

import numpy as np
import pytest

from host.mapping.placement import place
from host.run.snapshot import ActivitySnapshot
from host.run.step_counts import StepCounts
from noc.chip import load_chip
from tests.tools.ledgers import invented, link_packets, section
from tests.tools.tiny import tiny_network


def scene(chips, pes=12, mapping="uniform", lanes=1):
    placement = place(tiny_network(), load_chip(), mapping, "csr", pes, lanes, chips)
    ledger = invented(placement, 5, 0.4)
    rows = np.zeros((ledger.positions, len(ledger.shards["pe"]), 7), "<u4")  # words of an EGRU layer, of which events are the first
    rows[:, :, 0] = ledger.events
    recent = [
        {n: section(n, position, rows[position, ledger.shards["population"] == n].tobytes()) for n in ledger.layers}
        for position in range(ledger.positions)
    ]
    return placement, ledger, recent


@pytest.mark.parametrize("chips", [2, 4, 7])
@pytest.mark.parametrize("mapping", ["uniform", "balanced"])
def test_links_carry_what_the_ledger_says_they_carried_at_a_position(chips, mapping):
    placement, ledger, recent = scene(chips, mapping=mapping)
    glance = ActivitySnapshot(placement, StepCounts(placement))
    links, events = link_packets(ledger, placement.machine)
    assert len(links) > 1
    for position, sections in enumerate(recent):
        loads = glance.links(sections, {0: int(ledger.input_events[position, 0])})
        have = {link: load for link, load in zip(placement.machine.links, loads, strict=True) if load}
        assert have == {link: n for link, n in zip(links, events[position].sum(axis=0).tolist(), strict=True) if n}


def test_before_the_first_position_nothing_is_known_of_links():
    placement, _, _ = scene(2)
    assert ActivitySnapshot(placement, StepCounts(placement)).links({}, {}) == []


def test_one_chip_has_no_links():
    placement, _, recent = scene(1)
    assert ActivitySnapshot(placement, StepCounts(placement)).links(recent[0], {0: 7}) == []


@pytest.mark.parametrize(("pes", "mapping"), [(12, "uniform"), (2, "balanced")])
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_pe_is_as_active_as_its_units_were(pes, mapping, lanes):
    placement, ledger, recent = scene(2, pes, mapping, lanes)
    glance, table = ActivitySnapshot(placement, StepCounts(placement)), ledger.shards
    assert glance.activity({}) == [0.0] * len(placement.pes)
    for position, sections in enumerate(recent):
        for place_of_pe, share in enumerate(glance.activity(sections)):
            mine = table["pe"] == place_of_pe
            units = int(table["units"][mine].sum()) * lanes
            assert share == pytest.approx(int(ledger.events[position, mine].sum()) / units)
