"""Runs of graphs, in one process: the reference's bits whatever the graph, answered when all outputs are in, and as if nothing
had happened where all routers and PEs are lost.
"""

from __future__ import annotations

import numpy as np
import pytest

from host.mapping.placement import place
from host.workloads.lane_sets import read_lanes
from models.network import ModelError
from models.schedule import schedule
from noc.chip import load_chip
from noc.packet import PHASE
from tests.tools.graph_runs import RandomInput, run_graph
from tests.tools.graphs import RELU, Layer, graph, with_members
from tests.tools.grids import pairs

CHIP = load_chip()


@pytest.fixture(autouse=True, scope="module")
def _members():
    with with_members():
        yield


def egru(units, inputs, recurrent=()):
    return Layer(units, "egru", {"input": inputs, "recurrent": recurrent})


def of_egru():
    """Two inputs, one of them heard late, too; a skip, a port that three share, a loop of two layers, delays of 1 to 3."""
    return graph({
        "in": Layer(6), "other": Layer(5),
        "a": egru(7, [("in", 0), ("other", 2), ("b", 1)], [("a", 1)]),
        "b": egru(6, [("a", 0), ("in", 0)], [("b", 2)]),
        "c": egru(5, [("b", 0), ("a", 3), ("other", 0)], [("c", 1), ("b", 3)]),
    }, outputs=("b", "c"), density=0.7)  # fmt: skip


def of_numbers():
    """Every payload; dense sections, and a population of three phases that is heard at once and late."""
    return graph({
        "in": Layer(6, payload="int8"), "spikes": Layer(5, payload="spike"), "real": Layer(4),
        "int": Layer(7, "integrator", {"input": [("in", 0), ("count", 1)]}),
        "count": Layer(6, "counter", {"input": [("int", 0), ("spikes", 1), ("dense", 2)]}),
        "grade": Layer(5, "grader", {"input": [("count", 0), ("grade", 1)]}, payload="int32"),
        "dense": Layer(4, "sampler", {"input": [("grade", 0), ("in", 1)]}),
        "phase": Layer(5, "phaser", {"input": [("real", 0), ("late", 2)]}, {"ticks": 3}),
        "late": Layer(4, "leaky", {"input": [("phase", 0), ("phase", 1)]}, weights={"input": 0.3}),
    }, outputs=("dense", "phase", "late"))  # fmt: skip


GRAPHS = {"egru": of_egru, "numbers": of_numbers}
BEGINS = {"fresh": 0.1, "reset": 0.15}


def placed(name, pes=4, form="packed", lanes=1, chips=1, mapping="uniform"):
    return place(GRAPHS[name](), CHIP, mapping, form, pes, lanes, chips)


@pytest.mark.few(3)
@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("form", ["csr", "packed", "dense"])
@pytest.mark.parametrize("lanes", [1, 3])
def test_every_format_has_the_references_bits_whatever_begins_in_which_lane(name, form, lanes):
    placement = placed(name, 5, form, lanes)
    source = RandomInput(GRAPHS[name](), lanes, 24, idle=0.2 * (lanes > 1), **BEGINS)
    run, readout, _ = run_graph(placement, source, shuffle=2)
    assert [position for position, _ in readout.answers] == list(range(24))
    assert all(run.counts.events(n) for n in placement.network.layers)


@pytest.mark.few(1)
@pytest.mark.parametrize("name", GRAPHS)
def test_no_placement_lateness_or_order_changes_the_answer(name):
    def answer(**how):
        placement = placed(name, lanes=2, **{key: how.pop(key) for key in ("pes", "chips", "form", "mapping") if key in how})
        run, readout, _ = run_graph(placement, RandomInput(GRAPHS[name](), 2, 15, idle=0.1, **BEGINS), **how)
        return run.events.report(), readout.answers, [run.counts.macs(n) for n in placement.network.layers]

    plain = answer(pes=1)
    assert answer(pes=7, chips=3, shuffle=5) == plain
    assert answer(pes=9, form="csr", late=lambda tick: tick % 3 == 1) == plain
    assert answer(pes=5, form="dense", mapping="balanced", late=lambda tick: tick < 9, shuffle=1) == plain


@pytest.mark.parametrize("name", GRAPHS)
def test_a_position_is_answered_when_all_its_outputs_are_in(name):
    placement = placed(name)
    network, times = placement.network, schedule(placement.network)
    _, readout, _ = run_graph(placement, RandomInput(GRAPHS[name](), 1, 8))
    for _, outputs in readout.answers:
        assert list(outputs) == list(network.outputs)
        for n, sections in outputs.items():
            assert [flags // PHASE for flags, *_ in sections] == list(range(times.ticks[n]))
    assert times.interval == {"egru": 2, "numbers": 3}[name]


# ---- restarts


PLACES = [("egru", 4, 1, "packed"), ("egru", 9, 3, "csr"), ("numbers", 6, 1, "csr"), ("numbers", 9, 3, "packed")]
HOW = {"by lane": BEGINS, "alike": {"fresh": 0.05, "reset": 0.3, "alike": True}}


@pytest.mark.few(1)
@pytest.mark.parametrize(("place", "how"), pairs(PLACES, list(HOW)))
def test_the_answer_is_the_same_wherever_routers_and_pes_were_lost(place, how):
    (name, pes, chips, form), begins = place, HOW[how]
    placement, boundaries = placed(name, pes, form, 2, chips), []

    def answer(*losses):
        run, readout, went_on = run_graph(placement, RandomInput(GRAPHS[name](), 2, 22, **begins), losses=losses, shuffle=4)
        boundaries.extend(went_on)
        layers = placement.network.layers
        counts = [(run.counts.events(n), run.counts.macs(n), run.counts.visited(n)) for n in layers]
        return run.events.report(), counts, run.counts.of_kernels(), readout.answers

    whole, loaded = answer(), 3 * pes
    for losses in ((loaded + 20,), (loaded + 35, loaded + 12)):
        assert answer(*losses) == whole
    assert any(boundaries) or begins is BEGINS


def test_a_lane_whose_sequence_began_between_is_told_nothing_of_before():
    """The run goes on at 11, where the first lane's sequence begins; the second one's has begun at 9, and reaches back to there."""
    network = graph({
        "in": Layer(2), "a": Layer(2, ports={"input": [("in", 0)]}, weights={"input": 1.0}, **RELU),
        "b": Layer(2, ports={"input": [("a", 1), ("a", 2), ("a", 3)]}, weights={"input": 1.0}, **RELU),
    })  # fmt: skip
    placement = place(network, CHIP, "uniform", "csr", 2, 2)

    def answer(*losses):
        source = RandomInput(network, 2, 14, 0, reset=0.4, fresh=0.3, active=0.9)
        _, readout, went_on = run_graph(placement, source, losses=losses)
        return readout.answers, went_on, [read_lanes(feed.flags, feed.lanes, 2)[0].tolist() for feed in source._feeds]

    plain, _, begins = answer()
    again, went_on, _ = answer(16)
    assert went_on == [11]
    assert begins[8:12] == [[False, True], [False, True], [False, False], [True, False]]
    assert again == plain


# ---- probes


@pytest.mark.few(1)
@pytest.mark.parametrize("pes", [1, 5])
def test_probes_show_states_and_change_nothing(pes):
    placement = placed("numbers", pes, lanes=2)
    names = {placement.network.populations[n].name: n for n in placement.network.layers}
    source = RandomInput(of_numbers(), 2, 9, idle=0.2)
    plain, without, _ = run_graph(placement, RandomInput(of_numbers(), 2, 9, idle=0.2))
    run, readout, _ = run_graph(placement, source, probes={names["int"]: ["membrane"], names["phase"]: ["rest"]})
    assert run.events.report() == plain.events.report()
    assert readout.answers == without.answers
    assert run.counts.of_kernels() == plain.counts.of_kernels()
    assert run.conservation() == plain.conservation()
    of_phase = [(position, fields["rest"]) for position, layer, fields in readout.observed if layer == names["phase"]]
    assert [position for position, _ in of_phase] == [position for position in range(9) for _ in range(3)]
    said = {position: outputs[names["phase"]] for position, outputs in readout.answers}
    for (position, before), (after_position, after), phase in zip(of_phase, of_phase[1:], [1, 2, 0] * 9, strict=False):
        if phase and position == after_position:  # what a phase says is what the rest is less
            _, keys, values = said[position][phase]
            spoken = np.zeros_like(before)
            spoken.reshape(-1)[np.frombuffer(keys, "<u4")] = np.frombuffer(values, "<f4")
            np.testing.assert_array_equal(before - after, spoken)
    membranes = [fields["membrane"] for _, layer, fields in readout.observed if layer == names["int"]]
    assert len(membranes) == 9
    assert all(array.shape == (2, 7) and array.dtype == np.int32 for array in membranes)
    assert len({array.tobytes() for array in membranes}) > 5


def test_a_field_that_a_neuron_model_does_not_have_cannot_be_probed():
    with pytest.raises(ModelError, match="probe of int: neuron model 'integrator' has no field 'rest'; has membrane"):
        run_graph(placed("numbers"), RandomInput(of_numbers(), 1, 2), probes={3: ["rest"]})
