"""What the host can say of a run just now agrees with what its ledger says afterwards: for links, for PEs, and for the price."""

from __future__ import annotations

import numpy as np
import pytest

from host.cost.cost_table import load_table
from host.cost.price import price
from host.mapping.placement import place
from host.run import live_price
from host.run.live_price import LivePrice
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
        {
            n: [section(n, p, rows[p, ledger.shards["population"] == n].tobytes()) for p in range(max(0, last - 2), last + 1)]
            for n in ledger.layers
        }
        for last in range(ledger.positions)
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
def test_a_pe_is_as_active_as_its_units_were_on_average_over_the_sections(pes, mapping, lanes):
    placement, ledger, recent = scene(2, pes, mapping, lanes)
    glance, table = ActivitySnapshot(placement, StepCounts(placement)), ledger.shards
    assert glance.activity({}) == [0.0] * len(placement.pes)
    for position, sections in enumerate(recent):
        for place_of_pe, share in enumerate(glance.activity(sections)):
            mine = table["pe"] == place_of_pe
            units, last = int(table["units"][mine].sum()) * lanes, slice(max(0, position - 2), position + 1)
            assert share == pytest.approx(ledger.events[last][:, mine].sum(axis=1).mean() / units)


@pytest.mark.parametrize("chips", [1, 2])
def test_the_price_of_the_last_positions_is_that_of_their_ledger(chips):
    placement, ledger, _ = scene(chips)

    class Recorder:
        asked, has_latest = 0, True

        def latest(self, most):
            self.asked += 1
            assert most == live_price.WINDOW
            return ledger

    recorder = Recorder()
    live = LivePrice(placement, recorder)
    for tenths in range(5):  # the first begin to pass before anything is priced
        live.update(100 + tenths / 10)
    assert (live.status, recorder.asked) == ({}, 0)
    live.update(100 + live_price._FIRST_S)
    priced, steps, shown = (
        price(ledger, placement.chip, load_table(used=ledger.twins)),
        ledger.positions * ledger.lanes,
        live.status,
    )
    assert shown["time_s"] == pytest.approx(priced.time_s / steps)
    assert (shown["power_w"], shown["energy_j"]) == (pytest.approx(priced.power_w), pytest.approx(priced.energy_j / steps))
    assert sum(share for _, share in shown["stages"]) == pytest.approx(1)
    assert [name for name, _ in shown["stages"]].count("input product W x") == 1
    assert [load for _, load in shown["links"]] == sorted((load for _, load in shown["links"]), reverse=True)
    assert shown["links_unit"] == ("packets" if chips > 1 else "flits")
    live.update(100 + live_price._FIRST_S + live_price._LEAST_S / 2)
    assert recorder.asked == 1  # not each time that a status is sent


def test_a_price_that_takes_long_is_made_seldom(monkeypatch):
    placement, ledger, _ = scene(1)
    asked, seconds = [], iter(range(0, 1000, 2))  # each price takes two
    monkeypatch.setattr(live_price.time, "perf_counter", lambda: next(seconds))
    live = LivePrice(
        placement, type("Recorder", (), {"has_latest": True, "latest": lambda self, most: asked.append(most) or ledger})()
    )
    for now in range(1000):
        live.update(1 + now)
    assert 1 <= len(asked) <= 1 + 1000 * live_price.CPU_SHARE / 2


def test_many_pes_are_not_priced_while_they_run():
    placement, _, _ = scene(1)
    many = type("Placement", (), {"pes": placement.pes * live_price.MOST_PES, "chip": placement.chip})()
    live = LivePrice(many, None)
    for now in range(100):
        live.update(now)
    assert live.status == {}
