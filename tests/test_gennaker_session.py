"""Closed loops: a session step by step equals a run at once, lanes begin anew, states are saved, and memory does not grow."""

import gc
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gennaker as gk
from gennaker import step_records
from models.checkpoint import Model, save
from models.seeded import seeded_egru
from tests.tools.graphs import with_members
from tests.tools.random_graphs import random_graphs
from tests.tools.work import highest_memory_bytes

FEATURES, ANSWERS = 8, 12
pytestmark = pytest.mark.timeout(180)  # neuron models that only tests have may be compiled meanwhile


@pytest.fixture(scope="module", autouse=True)
def members():
    """Random graphs have neuron models that only tests have."""
    with with_members():
        yield


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("face") / "small.safetensors"
    save(path, Model(seeded_egru(FEATURES, (16, ANSWERS), 0.9, seed=3, threshold=0.1)))
    return gk.load(path).fit(pes=4, mapping="balanced")


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def session(plan, **options):
    return plan.session(transport="mem", **options)


# --- as a run ---


@pytest.mark.wide
def test_step_by_step_is_a_run_at_once(plan):
    x = numbers(20, FEATURES)
    whole = plan.run(x, transport="mem")
    with session(plan) as chip:
        y = np.array([chip.step(vector) for vector in x])
        np.testing.assert_array_equal(y, whole.outputs)
        assert y.dtype == np.float32
        assert chip.sha256 == whole.sha256
        assert chip.steps == 20
        for name in ("time_s", "energy_j"):
            np.testing.assert_allclose(getattr(chip, name), getattr(whole, name), rtol=1e-9)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.data())
def test_any_sequences_in_lanes_have_the_hash_of_a_run(plan, data):
    """As many lanes as are drawn; in each, sequences of any lengths behind another, as a run would deal them."""
    lanes = data.draw(st.integers(1, 3))
    lengths = data.draw(st.lists(st.integers(1, 6), min_size=lanes, max_size=6))
    x = [numbers(length, FEATURES, seed=seed) for seed, length in enumerate(lengths)]
    whole = plan.model.fit(pes=4, mapping="balanced", batch=lanes).run(x, transport="mem")
    left, at = list(range(lanes, len(x))), {lane: (lane, 0) for lane in range(lanes)}
    y = [np.zeros((length, ANSWERS), np.float32) for length in lengths]
    with session(plan, batch=lanes) as chip:
        while at:
            observation = np.zeros((lanes, FEATURES), np.float32)
            for lane, (sequence, position) in at.items():
                observation[lane] = x[sequence][position]
            answer = chip.step(observation)
            for lane, (sequence, position) in list(at.items()):
                y[sequence][position] = answer[lane]
                at[lane] = sequence, position + 1
            for lane, (sequence, position) in sorted(at.items()):
                if position == lengths[sequence]:
                    if left:
                        at[lane] = left.pop(0), 0
                        chip.reset(lane)
                    else:
                        del at[lane]
                        chip.rest(lane)
        assert chip.sha256 == whole.sha256
        np.testing.assert_allclose(chip.energy_j, whole.energy_j, rtol=1e-9)
    for mine, theirs in zip(y, whole.outputs, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.wide
@settings(max_examples=8, deadline=None)
@given(graph=random_graphs(), seed=st.integers(0, 99))
def test_any_graph_steps_as_it_runs(tmp_path_factory, graph, seed):
    """Loops, delays, late inputs, several inputs and outputs, any payload."""
    model = gk.Model(Model(graph), name="graph")
    rng, steps = np.random.default_rng(seed), 5
    x = {one.name: _any_numbers(rng, steps, one) for one in model.expected}
    plan = model.fit(mapping="balanced")
    whole = plan.run(x, transport="mem")
    with session(plan) as chip:
        answers = [chip.step({name: array[step] for name, array in x.items()}) for step in range(steps)]
        assert chip.sha256 == whole.sha256
    for name in model.outputs:
        theirs = whole.outputs[name] if len(model.outputs) > 1 else whole.outputs
        mine = [answer[name] if len(model.outputs) > 1 else answer for answer in answers]
        np.testing.assert_array_equal(np.array(mine), theirs)


def _any_numbers(rng, steps, expected):
    if expected.payload == "float32":
        return rng.standard_normal((steps, expected.units)).astype(np.float32)
    return rng.integers(0, 2, (steps, expected.units)).astype(expected.dtype)


# --- lanes ---


def test_a_reset_lane_begins_anew_and_leaves_the_others_alone(plan):
    x = numbers(2, 6, FEATURES)
    alone = plan.run(x[0], transport="mem").outputs
    with session(plan, batch=2) as chip:
        first = [chip.step(x[:, t]) for t in range(3)]
        chip.reset(1)
        after = [chip.step(np.stack([x[0, 3 + t], x[1, t]])) for t in range(3)]
    np.testing.assert_array_equal([y[0] for y in first + after], alone)
    np.testing.assert_array_equal([y[1] for y in after], [y[1] for y in first])


def test_a_resting_lane_says_nothing_and_costs_nothing(plan):
    x = numbers(2, 4, FEATURES)
    with session(plan, batch=2) as chip:
        chip.rest(1)
        y = [chip.step(x[:, t]) for t in range(4)]
        assert all(not row[1].any() for row in y)
        assert chip.cost.positions == 4
        chip.reset(1)
        again = [chip.step(x[:, t])[1] for t in range(4)]
    np.testing.assert_array_equal(again, plan.run(x[1], transport="mem").outputs)


def test_what_a_resting_lane_is_fed_is_not_looked_at(plan):
    x = numbers(2, FEATURES)
    x[1] = np.nan
    with session(plan, batch=2) as chip:
        chip.rest(1)
        assert np.isfinite(chip.step(x)).all()


# --- wrong input ---


@pytest.mark.few(1)
@pytest.mark.parametrize(
    ("observation", "line"),
    [
        (numbers(FEATURES + 1), r"step: input needs numbers of shape \(8,\), has \(9,\)"),
        (numbers(1, FEATURES), r"step: input needs numbers of shape \(8,\), has \(1, 8\)"),
        (np.full(FEATURES, np.inf, np.float32), r"step: input: 8 numbers are not finite"),
        (["a"] * FEATURES, r"step: input: needs numbers"),
        ({"eyes": numbers(FEATURES)}, r"step: needs numbers for input, has eyes"),
        (None, r"step: input needs numbers of shape"),
    ],
)
def test_a_wrong_observation_is_one_line_and_steps_nothing(plan, observation, line):
    x = numbers(3, FEATURES)
    with session(plan) as chip:
        first = chip.step(x[0])
        with pytest.raises(gk.WrongInput, match=line) as caught:
            chip.step(observation)
        assert len(str(caught.value).splitlines()) == 1
        np.testing.assert_array_equal([first, chip.step(x[1])], plan.run(x[:2], transport="mem").outputs)


@pytest.mark.parametrize("lane", [-1, 2, "0", 0.5])
def test_a_lane_that_is_none_is_named(plan, lane):
    with session(plan, batch=2) as chip, pytest.raises(gk.WrongInput, match=r"lane .*: needs 0 to 1"):
        chip.reset(lane)


def test_a_session_that_is_over_says_so(plan):
    with session(plan) as chip:
        chip.step(numbers(FEATURES))
    for call in (lambda: chip.step(numbers(FEATURES)), lambda: chip.save("x")):
        with pytest.raises(gk.Error, match=r"session: is over; open another with plan.session\(\)"):
            call()
    assert chip.energy_j.value > 0  # what it has come to is still there
    assert "over" in repr(chip)


def test_before_a_step_there_is_no_price(plan):
    with session(plan) as chip:
        assert chip.energy_j == chip.time_s == gk.Band(0.0, 0.0, 0.0)
        with pytest.raises(gk.Error, match="no step was taken yet"):
            chip.price()


# --- save and restore ---


@pytest.mark.wide
@settings(max_examples=4, deadline=None)
@given(graph=random_graphs(), seed=st.integers(0, 99), before=st.integers(0, 4))
def test_any_graph_goes_on_from_a_file(tmp_path_factory, graph, seed, before):
    model, rng = gk.Model(Model(graph), name="graph"), np.random.default_rng(seed)
    x = {one.name: _any_numbers(rng, before + 4, one) for one in model.expected}
    file = tmp_path_factory.mktemp("saved") / "state"
    plan = model.fit(mapping="balanced")

    def steps(chip, times):
        return [chip.step({name: array[t] for name, array in x.items()}) for t in times]

    with session(plan) as chip:
        steps(chip, range(before))
        chip.save(file)
        there = steps(chip, range(before, before + 4))
        chip.restore(file)
        again = steps(chip, range(before, before + 4))
    with session(plan, restore=file) as other:
        elsewhere = steps(other, range(before, before + 4))
    for one, two, three in zip(there, again, elsewhere, strict=True):
        np.testing.assert_equal(two, one)
        np.testing.assert_equal(three, one)


def test_a_saved_state_is_of_its_plan(plan, tmp_path):
    file = tmp_path / "state"
    with session(plan) as chip:
        chip.step(numbers(FEATURES))
        chip.save(file)
        with pytest.raises(gk.WrongInput, match="exists already"):
            chip.save(file)
    other = plan.model.fit(pes=3, mapping="balanced")
    for line, restore in (
        ("of another model, plan or batch", lambda: session(other, restore=file)),
        ("of another model, plan or batch; needs the same .* batch of 2", lambda: session(plan, batch=2, restore=file)),
        ("no such file", lambda: session(plan, restore=tmp_path / "none")),
    ):
        with pytest.raises(gk.WrongInput, match=line):
            restore()
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(gk.WrongInput, match="is no saved session, or damaged"):
        session(plan, restore=file)


# --- without end ---


@pytest.mark.wide
def test_cost_and_hash_over_many_files_of_the_ledger_are_those_of_one(plan, monkeypatch):
    """Blocks of a ledger are priced apart, and what is heard late across their border is counted once."""
    monkeypatch.setattr(step_records, "_BLOCK", 8)
    x = numbers(50, FEATURES)
    whole = plan.run(x, transport="mem")
    with session(plan) as chip:
        for vector in x[:30]:
            chip.step(vector)
        assert chip.time_s.value < whole.time_s.value  # looked at in between
        for vector in x[30:]:
            chip.step(vector)
        for settings_ in ({}, {"clock": "300MHz"}):
            ours, theirs = chip.price(**settings_), whole.price(**settings_)
            for name in ("time_s", "energy_j"):
                np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9)
            assert ours.positions == theirs.positions
            assert {row["stage"]: pytest.approx(row["seconds"]) for row in ours.stages()} == {
                row["stage"]: row["seconds"] for row in theirs.stages()
            }


@pytest.mark.slow
def test_memory_does_not_grow_with_steps_nor_with_sequences(plan, monkeypatch):
    """Between the second and the last block as much is in use, whatever was stepped and however many sequences there were."""
    monkeypatch.setattr(step_records, "_BLOCK", 64)
    x = numbers(FEATURES)
    with session(plan) as chip:

        def stepped(times):
            for n in range(times):
                if n % 5 == 0:
                    chip.reset()
                chip.step(x)
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        stepped(130)
        tracemalloc.start()
        before = stepped(128)
        after = stepped(640)
        tracemalloc.stop()
    assert after - before < 20_000  # five times as many steps; 128 sequences more


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_memory_is_flat_over_a_hundred_thousand_steps(plan):
    x = numbers(100, FEATURES)
    with session(plan) as chip:
        for n in range(5_000):
            chip.step(x[n % 100])
        before = highest_memory_bytes()
        for n in range(95_000):
            chip.step(x[n % 100])
        assert highest_memory_bytes() - before < 4_000_000
        assert chip.steps == 100_000
