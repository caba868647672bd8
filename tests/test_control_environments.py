"""Environments to act in: equal to gymnasium step by step, the same with any number of them, stored and gone on with."""

import numpy as np
import pytest

from models.control.encoding import LEVELS, counts_of, spike_draws
from models.control.environments import lanes_of, own_tasks, reach, same_rules, task_named
from models.control.gymnasium_lanes import gymnasium_task
from models.control.trajectory import next_link
from models.network import ModelError

GYMNASIUM = [name for name, (task, _) in own_tasks().items() if task.gymnasium]


def actions_of(task, lanes, draw):
    return draw.normal(size=(lanes, 2)).tolist() if task.continuous else draw.integers(0, task.actions, lanes).tolist()


@pytest.mark.few(1)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("name", GYMNASIUM)
def test_an_environment_is_gymnasium_s_step_by_step(name):
    gymnasium = pytest.importorskip("gymnasium")
    task, lanes, draw = task_named(name), 5, np.random.default_rng(3)
    ours, theirs = lanes_of(task, lanes), [gymnasium.make(task.gymnasium) for _ in range(lanes)]
    spec = theirs[0].spec
    assert (task.limit_steps, task.solved_return) == (spec.max_episode_steps, spec.reward_threshold)
    running = []
    for lane, environment in enumerate(theirs):
        assert np.array_equal(ours.begin(lane, 40 + lane), environment.reset(seed=40 + lane)[0])
        running.append(lane)
    steps = 0
    while running:
        actions = actions_of(task, len(running), draw)
        outcome = ours.step(running, actions)
        for place, lane in enumerate(running):
            observation, reward, terminated, truncated, _ = theirs[lane].step(actions[place])
            assert np.array_equal(outcome.observations[place], observation), (lane, steps)
            assert outcome.observations.dtype == observation.dtype == np.float32
            have = outcome.rewards[place], outcome.terminated[place], outcome.truncated[place]
            assert have == (reward, terminated, truncated)
        running, steps = [lane for place, lane in enumerate(running) if not outcome.ended[place]], steps + 1
    assert steps > 10


@pytest.mark.parametrize("name", sorted(own_tasks()))
def test_a_lane_does_not_depend_on_how_many_there_are(name):
    task = task_named(name)
    many, one = lanes_of(task, 19), lanes_of(task, 1)
    for lane in range(19):
        many.begin(lane, lane)
    assert np.array_equal(one.begin(0, 18), lanes_of(task, 2).begin(1, 18))
    draw = np.random.default_rng(1)
    for _ in range(8):
        actions = actions_of(task, 19, draw)
        together, alone = many.step(range(19), actions), one.step([0], actions[-1:])
        assert np.array_equal(together.observations[-1], alone.observations[0])


@pytest.mark.parametrize("name", [*sorted(own_tasks()), "MountainCar-v0"])
def test_environments_go_on_from_a_snapshot(name):
    if name not in own_tasks():
        pytest.importorskip("gymnasium")
    task, draw = task_named(name), np.random.default_rng(2)
    first = lanes_of(task, 2)
    for lane in range(2):
        first.begin(lane, 7 + lane)
    for _ in range(4):
        first.step([0, 1], actions_of(task, 2, draw))
    second = lanes_of(task, 2)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    actions = actions_of(task, 2, draw)
    for ours, others in zip(vars(first.step([0, 1], actions)).values(), vars(second.step([0, 1], actions)).values(), strict=True):
        assert np.array_equal(ours, others)


def test_names_that_are_none_and_environments_that_cannot_be_get_a_line():
    pytest.importorskip("gymnasium")
    with pytest.raises(ModelError, match=r"environment 'cartpol': have acrobot, .*; did you mean 'cartpole'\?; gymnasium"):
        task_named("cartpol")
    with pytest.raises(ModelError, match=r"'Pendulum-v1': observes Box of 3 and acts by Box of 1; needs actions to choose from"):
        task_named("Pendulum-v1")
    with pytest.raises(ModelError, match=r"'FrozenLake-v1': observes Discrete .*; needs a vector of numbers"):
        task_named("FrozenLake-v1")


def test_any_environment_of_gymnasium_is_a_task():
    pytest.importorskip("gymnasium")
    task = gymnasium_task("MountainCar-v0")
    assert (task.observations, task.actions, task.limit_steps, task.solved_return) == (2, 3, 200, -110.0)
    assert task.scale == pytest.approx((1.2, 0.07))


def test_a_network_acts_where_the_rules_are_the_same():
    assert same_rules("cartpole", "cartpole-v0")
    assert same_rules("cartpole", "CartPole-v1")
    assert same_rules("LunarLander-v3", "LunarLander-v3")
    assert not same_rules("cartpole", "acrobot")


def test_a_number_becomes_a_count_of_its_side():
    counts = counts_of(np.array([[0.5, -3.0, np.nan, -0.001]], np.float32), np.array([1, 2, 1, 1], np.float32))
    assert counts.tolist() == [[LEVELS // 2, 0, 0, 0, 0, LEVELS, 0, 0]]


def test_spikes_are_drawn_from_a_counter():
    draws = spike_draws(1, 2, 3, ticks=20, units=6)
    assert np.array_equal(draws[:5], spike_draws(1, 2, 3, ticks=5, units=6))
    assert draws.min() >= 0 and draws.max() < LEVELS
    others = [spike_draws(*key, ticks=20, units=6) for key in ((0, 2, 3), (1, 3, 3), (1, 2, 4), (1 << 40, 2, 3))]
    assert not any(np.array_equal(draws, other) for other in others)


def test_a_hash_is_of_every_observation_and_action():
    first = next_link("", np.zeros(2, np.float32), 1)
    assert len({first, next_link("", np.zeros(2, np.float32), 0), next_link(first, np.zeros(2, np.float32), 1)}) == 3
    assert next_link("", np.ones(2, np.float32), 1) != first


def test_a_perfect_decoder_reaches_the_target_in_about_a_second():
    lanes = reach.Lanes(task_named("reach"), 4)
    for lane in range(4):
        lanes.begin(lane, lane)
    running, seconds = [0, 1, 2, 3], 0.0
    while running:
        wishes = [lanes.intended(lane)[1] / (reach.OUTPUT_SPEED * reach.STEP_S) for lane in running]
        outcome = lanes.step(running, wishes)
        seconds -= float(outcome.rewards.sum())
        assert not outcome.truncated.any()
        running = [lane for place, lane in enumerate(running) if not outcome.terminated[place]]
    assert 0.7 < seconds / 4 < 1.2


def test_neurons_are_a_table(tmp_path):
    table = tmp_path / "neurons.csv"
    np.savetxt(table, reach.seeded_neurons(), delimiter=",")
    assert np.array_equal(reach.read_neurons(table), reach.seeded_neurons())
    for text, line in (("1,2\n", r"has a table of \(1, 2\)"), ("a,b,c,d\n", "needs rows of four numbers with commas")):
        table.write_text(text)
        with pytest.raises(ModelError, match=f"--neurons .*: .*{line}"):
            reach.read_neurons(table)
