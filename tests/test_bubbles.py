"""What bubbles cost: a PE that hears nothing else is spared them, and nothing else shows.

A word that is generated, a session that is fed step by step and rows that come late leave most layers without work in most ticks.
Their routers let the PEs' last batches stand (`tests/test_standing.py` has those of PEs that exchange transfers).
"""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host.mapping.placement import place
from models.transfers import MOST_STANDING
from noc.bad_links import LinkFaults
from noc.chip import load_chip
from noc.columns import Columns
from noc.packet import HOST, VALID, Bundle, Letter, Save, Snapshot
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from pe.compiled_columns import CompiledColumns
from pe.link import PeLink
from tests.tools.graph_runs import RandomInput, run_graph
from tests.tools.graphs import with_members
from tests.tools.random_graphs import random_graphs
from tests.tools.run_bench import ROUTER, TEXT, Bench, evaluation, finished, generation

CHIP = load_chip()
BOTH = (Columns, CompiledColumns)


@pytest.fixture(scope="module", autouse=True)
def _members():
    with with_members():
        yield


class Keeping(MemNetwork):
    """Keeps the bundles that each endpoint is sent, and PEs' snapshots."""

    def __init__(self, *how):
        super().__init__(*how)
        self.heard, self.snapshots = defaultdict(list), []

    def post(self, sender, outgoing):
        packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
        for destinations, raw in packed:
            message = decode(raw)
            if type(message) is Bundle:
                for destination in destinations:
                    self.heard[destination].append(message)
            elif type(message) is Snapshot and sender.startswith("PE"):
                self.snapshots.append(message)
        super().post(sender, packed)


def played(workload, columns, *how, **more):
    network = Keeping(*how)
    return finished(Bench(workload, make_columns=columns, network=network, **more).play()), network


@pytest.mark.parametrize("pes", [3, 7])
@pytest.mark.parametrize("workload", [generation, evaluation, lambda: evaluation(TEXT)], ids=["words", "a text", "texts"])
def test_the_host_hears_the_same_and_whoever_is_spared_would_have_heard_bubbles_alone(workload, pes):
    (plain, everything), (sparing, spared) = (played(workload(), columns, pes=pes) for columns in BOTH)
    assert spared.heard[HOST] == everything.heard[HOST]
    assert sparing.answer == plain.answer
    assert sparing.run.conservation() == plain.run.conservation()
    for placed in plain.run.placement.pes:
        need, due = everything.heard[placed.name], 0
        for bundle in spared.heard[placed.name]:
            assert bundle.tick - bundle.passed == due
            assert bundle._replace(passed=0) == need[bundle.tick]
            assert all(map(_is_silent, need[due : bundle.tick]))
            due = bundle.tick + 1
        assert due >= sparing.run.feeding.issued, "it was read before its last tick"
        assert all(map(_is_silent, need[due:])), "layers behind the first run ahead of the host"


def _is_silent(bundle):
    return not any(section.flags & VALID or section.keys or section.values for section in bundle.sections)


def test_nobody_is_spared_for_longer_than_it_may():
    """A row that comes hundreds of ticks late: each PE is looked after every 63 ticks."""
    bench, network = played(evaluation(), CompiledColumns, late=lambda tick: 10 <= tick < 300)
    for placed in bench.run.placement.pes:
        assert max(bundle.passed for bundle in network.heard[placed.name]) == MOST_STANDING


def test_who_is_asked_too_late_for_a_snapshot_says_so_with_the_next_bundle():
    """Of a tick that it was spared already; the host asks again, for a later one."""
    asked = []

    def ask(bench):
        name, tick = bench.run.placement.pes[-1].name, bench.run.completed
        if not asked and tick == 40:
            asked.append(tick)
            return [((ROUTER,), Letter(name, encode(Save(tick - 2))))]
        return []

    bench, network = played(evaluation(), CompiledColumns, late=lambda tick: 10 <= tick < 300, after=ask)
    assert asked
    assert network.snapshots == [Snapshot(38, b"", b"", [])]
    assert bench.answer == played(evaluation(), Columns)[0].answer


def test_of_a_generated_word_a_pe_hears_what_it_steps_on_and_what_its_layer_said():
    """Three layers that hear themselves, and three ticks a word: two bundles a word and PE, in the mean, and a few at both ends."""
    words = 60
    bench, network = played(generation(words=words), CompiledColumns, pes=7)
    positions, ticks = bench.run.answers.positions, bench.run.completed
    assert ticks > 3 * words
    for placed in bench.run.placement.pes:
        assert len(network.heard[placed.name]) <= 2 * positions + 8


@pytest.mark.parametrize("seed", range(3))
def test_messages_may_be_lost_doubled_delayed_and_damaged(seed):
    plain, _ = played(generation(), Columns)
    bench, network = played(generation(), CompiledColumns, seed, LinkFaults(0.03, 0.03, 0.03, 0.03, seed), link_pe=PeLink)
    assert bench.answer == plain.answer
    assert any(bundle.passed for name, bundles in network.heard.items() if name != HOST for bundle in bundles)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(random_graphs(most=4), st.data())
def test_any_network_gives_the_same_answer_wherever_rows_are_late_and_processes_lost(network, data):
    """With delays, phases and shared PEs: what waits for its time is not spared before it."""
    lanes = data.draw(st.integers(1, 2))
    pes = sum(data.draw(st.integers(1, network.populations[n].units)) for n in network.layers)
    placement = place(network, CHIP, "uniform", data.draw(st.sampled_from(["csr", "packed"])), pes, lanes, 1)
    shuffle, late = data.draw(st.integers(0, 99)), data.draw(st.integers(2, 9))
    losses = [3 * len(placement.pes) + data.draw(st.integers(1, 40)) for _ in range(data.draw(st.integers(0, 2)))]

    def answer(columns, *losses):
        source = RandomInput(network, lanes, 20, 3)
        run, readout, _ = run_graph(
            placement, source, losses=losses, shuffle=shuffle, snapshot=4, late=lambda tick: tick % late != 1, make_columns=columns
        )
        return run.events.report(), readout.answers

    assert answer(CompiledColumns, *losses) == answer(Columns)
