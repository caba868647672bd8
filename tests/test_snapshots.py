"""Snapshots: a run that never comes to a segment boundary goes on from a tick at which everybody said what they keep, and nobody
could tell by its answer; where a boundary is as near, none is taken.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.mapping.placement import place
from host.run.machine_snapshots import Fed, Heard, Snapshots
from host.run.run import Run
from models.late_inputs import hear_late
from noc import packet as p
from noc.chip import load_chip
from pe.core import Pe
from tests.tools.graph_runs import Noted, RandomInput, run_graph
from tests.tools.graphs import with_members
from tests.tools.random_graphs import random_graphs

pytestmark = pytest.mark.timeout(180)
CHIP = load_chip()


@pytest.fixture(autouse=True, scope="module")
def _members():
    with with_members():
        yield


def answer(placement, lanes, positions, *losses, begins=None, shuffle=None, snapshot=0, late=lambda _: False):
    source = RandomInput(hear_late(placement.network, placement.late_inputs), lanes, positions, 3, **(begins or {}))
    run, readout, went_on = run_graph(placement, source, losses=losses, shuffle=shuffle, snapshot=snapshot, late=late)
    layers = placement.network.layers
    counts = [(run.counts.events(n), run.counts.macs(n), run.counts.visited(n)) for n in layers]
    return (run.events.report(), counts, run.counts.of_kernels(), readout.answers), went_on, run


@pytest.mark.wide
@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(random_graphs(most=4), st.data())
def test_wherever_a_run_without_segments_is_lost_it_gives_the_same_answer(network, data):
    lanes, chips = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3))
    form = data.draw(st.sampled_from(["csr", "packed", "dense"]))
    pes = sum(data.draw(st.integers(1, network.populations[n].units)) for n in network.layers)  # at most one a unit
    placement = place(network, CHIP, "uniform", form, None if pes < chips else pes, lanes, chips)
    seed, late = data.draw(st.integers(0, 99)), data.draw(st.integers(2, 9))

    def is_late(tick):
        return tick % late == 1

    whole, _, run = answer(placement, lanes, 30, shuffle=seed, late=is_late)
    loaded, ticks = 3 * len(placement.pes) + len(placement.machine.live), run.completed
    losses = [loaded + data.draw(st.integers(0, ticks + 10)) for _ in range(data.draw(st.integers(1, 3)))]
    again, went_on, _ = answer(placement, lanes, 30, *losses, shuffle=seed, snapshot=4, late=is_late)
    assert again == whole
    assert went_on == sorted(went_on)


def placed(pes=5, chips=2, **how):
    from test_graph_runs import of_numbers

    return place(of_numbers(), CHIP, "uniform", "csr", pes, 2, chips, **how)


@pytest.mark.slow
def test_what_is_run_again_is_bounded_by_the_interval_whatever_its_length():
    placement = placed()
    (_, (early,), _), (_, (later,), run) = (answer(placement, 2, 90, loss, snapshot=8) for loss in (120, 240))
    assert 0 < early < later - 8
    assert len(run.replay.feeds()) <= 8 + 3 * run.window
    whole, _, _ = answer(placement, 2, 60)
    again, went_on, _ = answer(placement, 2, 60, 100, 70, 60, snapshot=8)
    assert again == whole
    assert 0 < went_on[0] <= went_on[1] <= went_on[2]


@pytest.mark.wide
def test_where_segments_are_shorter_than_the_interval_nobody_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(Run, "_to", _noting(asked, Run._to))
    begins = {"reset": 1.0, "alike": True}
    answer(placed(), 2, 60, 500, begins=begins, snapshot=20)
    assert not [message for message in asked if isinstance(message, p.Save)]
    answer(placed(), 2, 60, 500, snapshot=20)
    assert [message for message in asked if isinstance(message, p.Save)]


def _noting(noted, to):
    def noting(self, name, message):
        noted.append(message)
        return to(self, name, message)

    return noting


def test_a_tick_that_was_past_for_somebody_is_asked_for_later_and_no_part_of_it_stays():
    replay = SimpleNamespace(positions=2, add_cut=lambda cut: cuts.append(cut))
    snapshots, cuts = Snapshots(["a", "b"], replay, 3, 4), []
    assert snapshots.begin(10) == []
    replay.positions = 3
    assert snapshots.begin(10) == [("a", p.Save(14)), ("b", p.Save(14))]
    assert snapshots.begin(11) == []  # one at a time
    snapshots.add("a", p.Snapshot(14, b"memory", b"batch", []))
    snapshots.note_fed(Fed(1, 2, 3, 4))
    snapshots.note_heard(Heard(1, {}))
    snapshots.add("b", p.Snapshot(14, b"", b"", []))
    assert snapshots.begin(12) == [("a", p.Save(20)), ("b", p.Save(20))]
    snapshots.add("a", p.Snapshot(14, b"late", b"batch", []))
    snapshots.note_fed(Fed(5, 6, 7, 8))
    snapshots.note_heard(Heard(2, {3: 1}))
    assert not cuts
    for name in "ab":
        snapshots.add(name, p.Snapshot(20, name.encode(), b"batch", [1]))
    (cut,) = cuts
    assert (cut.tick, cut.fed, cut.heard) == (20, Fed(5, 6, 7, 8), Heard(2, {3: 1}))
    assert {name: part.memory for name, part in cut.parts.items()} == {"a": b"a", "b": b"b"}


def pe_of(placement):
    """The first PE of a placement, loaded."""
    pe, run = Pe(placement.pes[0].name, "router@0"), Run(placement, RandomInput(placement.network, 2, 1), Noted())
    pe.boot()
    pe.handle("router@0", run.load_of(placement.pes[0]))
    return pe


def test_a_snapshot_of_other_shards_is_a_fault_of_the_pe():
    placement = placed(2, 1)
    name = placement.pes[0].name
    pe = pe_of(placement)
    need = sum(view.nbytes for view in pe.arena.variables)
    for memory, counts, words in (
        (b"abc", [0] * 8, f"a snapshot of 3 B; needs {need} B"),
        (bytes(need), [0], "a snapshot with 1 counts"),
    ):
        pe.state = type(pe.state).LOADED
        ((_, fault),) = pe.handle("router@0", p.Snapshot(5, memory, b"batch", counts))
        assert isinstance(fault, p.Fault)
        assert fault.text.startswith(f"{name}: ")
        assert words in fault.text


def test_what_lies_in_the_weights_and_the_fifo_is_no_part_of_a_snapshot():
    placement = placed(3, 1)
    pe = pe_of(placement)
    names = {region.name for region in pe.arena.regions if any(pe.arena.views.get(region.name) is v for v in pe.arena.variables)}
    assert not any(name.endswith((".values", ".columns", ".extents")) or name.startswith("fifo") for name in names)
    assert np.sum([v.nbytes for v in pe.arena.variables]) < sum(r.size_bytes for r in pe.arena.regions)
