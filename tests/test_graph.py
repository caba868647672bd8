"""Any graph, any numeric: a run of a random network has the plain reference's bits, whatever it runs on and whatever happens to it.

Networks are of every neuron model there is (`tests/tools/random_graphs.py`): skips, loops, delays, shared ports, several
inputs and outputs, populations of several ticks, dense ones; lanes begin, reset and rest on their own.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from host.errors import HostError
from host.mapping import strategies
from host.mapping.placement import place
from host.run.run import Run
from host.workloads.contract import Feed, Source
from host.workloads.lane_sets import pack_lanes
from models import formats
from models.graph_check import check_network
from models.numerics import PAYLOADS
from models.reference import Reference
from models.schedule import schedule
from noc.chip import load_chip
from noc.memory_chip import MemoryChip
from noc.packet import PHASE, VALID
from pe.core import Pe
from tests.tools.graphs import with_members
from tests.tools.losses import run_with_losses
from tests.tools.random_graphs import random_graphs, random_positions

pytestmark = pytest.mark.timeout(600)
CHIP = load_chip()
POSITIONS = 9
thorough = settings(deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink])


@pytest.fixture(autouse=True, scope="module")
def _members():
    with with_members():
        yield


class Script(Source):
    """Feeds positions that are there from the beginning."""

    def __init__(self, network, positions):
        self._network, self._script, self.positions = network, positions, len(positions)

    def feed_at(self, position):
        about, events = self._script[position], {}
        flags, lanes = pack_lanes(about.begins, about.resets, about.idle)
        for number, numbers in about.inputs.items():
            dtype, flat = PAYLOADS[self._network.populations[number].payload], numbers.reshape(-1)
            keys = np.flatnonzero(flat).astype("<u4")
            events[number] = keys.tobytes(), flat[keys].astype(dtype).tobytes() if dtype else b""
        return Feed(position, flags, events, lanes)


class Tap:
    """Takes what every layer sends, as the host hears it, and what the outputs answer."""

    def __init__(self, network, lanes):
        self._network, self._lanes = network, lanes
        self.sent, self.answers = {}, []

    def see_input(self, feed):
        pass

    def see_events(self, section):
        population = self._network.populations[section.population]
        dtype = PAYLOADS[population.payload]
        numbers = np.zeros(self._lanes * population.units, dtype or "|u1")
        if population.dense:
            numbers[:] = np.frombuffer(section.values, dtype)
        else:
            numbers[np.frombuffer(section.keys, "<u4")] = np.frombuffer(section.values, dtype) if dtype else 1
        at = section.population, section.position, section.flags // PHASE
        assert at not in self.sent
        self.sent[at] = numbers.reshape(self._lanes, -1)

    def answer(self, position, outputs):
        self.answers.append((position, {number: [s.flags // PHASE for s in sections] for number, sections in outputs.items()}))


def play(network, positions, lanes, *, form="csr", pes=None, mapping="balanced", chips=1, shuffle=None, late=(), losses=()):
    """Run a network to its end, losing all routers and PEs after each number of messages to the host; return run and tap."""
    try:
        placement = place(network, CHIP, mapping, form, pes, lanes, chips)
    except HostError:  # more PEs than there are units for, or than a mapping can deal
        placement = place(network, CHIP, "balanced", form, None, lanes, chips)
    tap = Tap(network, lanes)
    run = Run(placement, Script(network, positions), tap, late=late.__contains__, witness=tap, repeatable=True)
    run_with_losses(run, losses, shuffle)
    return run, tap


def computed_plainly(network, positions, lanes):
    """Return what every layer sends, by the reference: (population, position, phase) -> numbers (lanes, units)."""
    sent = {}
    for lane in range(lanes):
        reference = Reference(network)
        for p, about in enumerate(positions):
            inputs = {number: numbers[lane] for number, numbers in about.inputs.items()}
            begins, resets, idle = (bool(lanes_of[lane]) for lanes_of in (about.begins, about.resets, about.idle))
            for number, phases in reference.step(inputs, fresh=begins, reset=resets, idle=idle).items():
                for phase, numbers in enumerate(phases):
                    sent.setdefault((number, p, phase), np.zeros((lanes, len(numbers)), numbers.dtype))[lane] = numbers
    return sent


def assert_alike(have, need):
    assert have.keys() == need.keys()
    for at in sorted(need, key=lambda at: (at[1], at[0], at[2])):
        assert have[at].tobytes() == need[at].astype(have[at].dtype).tobytes(), at


@pytest.mark.wide
@settings(thorough, max_examples=120)
@given(random_graphs(), st.data())
def test_a_run_has_the_bits_of_the_reference_whatever_it_runs_on(network, data):
    check_network(network)
    lanes, alike = data.draw(st.integers(1, 3) | st.just(9), "lanes"), data.draw(st.booleans(), "lanes alike")
    positions = random_positions(network, lanes, POSITIONS, data.draw(st.integers(0, 999), "input"), alike=alike)
    run, tap = play(
        network, positions, lanes,
        form=data.draw(st.sampled_from(formats.names()), "format"),
        mapping=data.draw(st.sampled_from(strategies.names()), "mapping"),
        pes=data.draw(st.none() | st.integers(1, 9), "PEs"),
        chips=data.draw(st.integers(1, 4), "chips"),
        shuffle=data.draw(st.none() | st.integers(0, 999), "shuffle"),
        late=data.draw(st.sets(st.integers(0, 40), max_size=6), "late ticks"),
    )  # fmt: skip
    assert_alike(tap.sent, computed_plainly(network, positions, lanes))
    assert run.conservation()["wrong"] == []
    ticks = schedule(network).ticks
    outputs = {number: list(range(ticks[number])) for number in network.outputs}
    assert tap.answers == [(p, outputs) for p in range(len(positions))]


@pytest.mark.wide
@settings(thorough, max_examples=60)
@given(random_graphs(), st.data())
def test_a_run_that_loses_its_pes_goes_on_to_the_same_bits(network, data):
    lanes = data.draw(st.integers(1, 2), "lanes")
    positions = random_positions(network, lanes, POSITIONS, data.draw(st.integers(0, 999), "input"), alike=data.draw(st.booleans()))
    whole, _ = play(network, positions, lanes)
    pes, chips = data.draw(st.none() | st.integers(1, 4), "PEs"), data.draw(st.integers(1, 2), "chips")
    losses = data.draw(st.lists(st.integers(5, 40), min_size=1, max_size=2), "messages until a loss")
    run, tap = play(network, positions, lanes, pes=pes, chips=chips, losses=losses)
    assert_alike(tap.sent, computed_plainly(network, positions, lanes))
    assert run.events.sha256() == whole.events.sha256()


@pytest.mark.wide
@settings(thorough, max_examples=60)
@given(random_graphs(), st.integers(0, 999))
def test_the_hash_of_a_run_is_that_of_any_other(network, seed):
    positions = random_positions(network, 2, POSITIONS, seed, alike=False)
    hashes = {
        play(network, positions, 2, form=form, pes=pes, chips=chips)[0].events.sha256()
        for form, pes, chips in (("csr", None, 1), ("packed", 4, 2), ("dense", 7, 3))
    }
    assert len(hashes) == 1


@settings(thorough, max_examples=40)
@given(random_graphs())
def test_positions_come_no_closer_than_the_interval(network):
    positions = random_positions(network, 1, POSITIONS, 1, alike=True)
    placement = place(network, CHIP, "balanced", "csr", None)
    run = Run(placement, Script(network, positions), Tap(network, 1))
    entered = []
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=CHIP.router_entries, pes=[placed.name for placed in placement.pes],
        make_pe=Pe,
    )  # fmt: skip
    chip.network.watch = None
    sent = chip.network.post

    def watch(sender, outgoing):
        if sender == "host":
            batches = [message for _, message in outgoing if hasattr(message, "tick")]
            entered.extend(batch.tick for batch in batches if batch.sections[0].flags & VALID)
        sent(sender, outgoing)

    chip.network.post = watch
    chip.boot_routers(run.begin(), run.settle)
    chip.boot_pes(run.settle)
    assert run.phase == "read"
    assert len(entered) == POSITIONS
    assert set(np.diff(entered).tolist()) == {schedule(network).interval}  # and, where nothing is late, no further apart
