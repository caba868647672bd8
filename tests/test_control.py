"""Q-networks and decoders that act: one answer for any PEs, chips, batch and transport, and what an action costs."""

import itertools
import json
import os
import re
import signal
from dataclasses import replace

import numpy as np
import pytest

import gennaker as gk
from host.cost.cost_table import load_table
from host.cost.ledger_file import open_ledger
from host.errors import Exit, HostError
from host.launch.recorded_run import run_into
from host.run_folder import read_report
from host.workloads.control import panel
from host.workloads.control.action_costs import ActionCosts, side_by_side_s
from host.workloads.control.drawing import drawn
from host.workloads.control.options import Options
from host.workloads.control.page import sections
from host.workloads.control.summary import summary_lines
from host.workloads.registry import prepare, workloads
from models.checkpoint import Model, load, save
from models.checkpoint.tasks.control import PART
from models.control.encoding import counts_of
from models.control.environments import own_tasks, task_named
from models.control.policy import Policy
from models.control.q_network import in_8_bits, q_network
from models.control.trajectory import next_link
from models.foreign.import_model import import_model
from models.foreign.request import ImportRequest
from models.network import ModelError
from models.reference import Reference
from noc.chip import load_chip
from tests.tools.decoders import decoder_tensors
from tests.tools.examples import Example, Played, launch
from tests.tools.grids import some
from tests.tools.processes import children
from tests.tools.torch_bytes import torch_file

SHORT = {"episodes": 3, "steps": 6}


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    return Example(workloads()["control"], tmp_path_factory.mktemp("control"))


@pytest.fixture(scope="module")
def decoder(tmp_path_factory):
    """A decoder's file as EvNN saves it, and what it is imported as."""
    folder = tmp_path_factory.mktemp("decoder")
    (folder / "model.pth").write_bytes(torch_file(decoder_tensors()))
    model = import_model(folder / "model.pth", ImportRequest()).model
    save(folder / "decoder.safetensors", model)
    return folder / "decoder.safetensors"


def answers(ran):
    """Return what a run says of its episodes, and its events by episode."""
    result = ran.report["result"]
    return result["each"], result["trajectory_sha256"], ran.report["events"]["sequences"]


# -- one answer


HOW = [{"pes": 5}, {"pes": 5, "chips": 2}, {"batch": 3}, {"batch": 2, "pes": 4}, {"format": "csr"}, {"format": "packed"}]
ENCODINGS = ["current", "poisson"]


@pytest.mark.wide_but("current-{'batch': 3}")
@pytest.mark.parametrize(
    ("encode", "how"),  # each way once, in turn with either encoding; the others are slow
    some(itertools.product(ENCODINGS, HOW), lambda row: ENCODINGS.index(row[0]) == HOW.index(row[1]) % 2),
    ids=str,
)
def test_events_and_actions_are_the_same_however_they_are_run(example, encode, how):
    plain = example.run(transport="mem", encode=encode, **SHORT)
    other = example.run(transport="mem", encode=encode, **SHORT, **how)
    assert answers(other) == answers(plain)
    assert plain.report["result"]["actions_taken"] == 18


@pytest.mark.wide
def test_spikes_that_are_drawn_are_verified_and_are_no_current(example):
    drawn_spikes = example.run(transport="mem", encode="poisson", verify=True, batch=2, **SHORT)
    assert drawn_spikes.outcome.mismatch["difference"] is None
    current, seeded = (example.run(transport="mem", **kind, **SHORT) for kind in ({}, {"encode": "poisson", "seed": 9}))
    hashes = {ran.report["events"]["sha256"] for ran in (drawn_spikes, current, seeded)}
    assert len(hashes) == 3


@pytest.mark.wide
def test_membranes_are_reset_at_every_action_or_carried(example):
    reset, carried = (example.run(transport="mem", verify=True, **kind, **SHORT) for kind in ({}, {"carry": True}))
    assert carried.outcome.mismatch["difference"] is None
    assert reset.report["events"]["sha256"] != carried.report["events"]["sha256"]


@pytest.mark.wide
def test_a_recorded_run_is_run_again_open_loop(example, tmp_path):
    recording = tmp_path / "run.npz"
    closed = example.run(transport="mem", outputs=str(recording), batch=2, **SHORT)
    arrays = np.load(recording)
    assert arrays["observations"].shape == (3, 6, 4) and arrays["actions"].shape == (3, 6)
    opened = example.run(transport="mem", replay=str(recording), verify=True, batch=3, episodes=None, steps=None)
    assert opened.outcome.mismatch["difference"] is None
    assert opened.report["events"]["sequences"] == closed.report["events"]["sequences"]
    assert opened.report["result"]["replayed"] == {"compared": 18, "same": 18}
    assert opened.report["result"]["trajectory_sha256"] == closed.report["result"]["trajectory_sha256"]
    changed = dict(arrays)
    changed["actions"] = 1 - arrays["actions"]
    np.savez(tmp_path / "changed.npz", **changed)
    other = example.run(transport="mem", replay=str(tmp_path / "changed.npz"), episodes=None, steps=None)
    assert other.report["result"]["replayed"] == {"compared": 18, "same": 0}


def test_episodes_are_those_of_the_plain_reference(example):
    """Without any of the machinery: an episode stepped by hand."""
    model = load(example.folder / "policy.safetensors")
    network, policy = in_8_bits(model.network), model.parts[PART]
    task, module = own_tasks()["cartpole"]
    lanes, reference = module.Lanes(task, 1), Reference(network)
    observation, total = lanes.begin(0, 1), 0.0
    for _ in range(6):
        numbers = counts_of(observation[None], np.asarray(policy.scale, np.float32))[0]
        for tick in range(policy.ticks):
            sent = reference.step({0: numbers}, fresh=False, reset=tick == 0)
        outcome = lanes.step([0], [int(np.argmax(sent[network.output][0]))])
        observation, total = outcome.observations[0], total + outcome.rewards[0]
    each = example.run(transport="mem", **SHORT).report["result"]["each"]
    assert each[1]["total"] == total == 6.0
    assert each[1]["ended"] == "truncated"


def test_a_session_acts_as_a_run_does(example, tmp_path):
    """A step of a session is a tick; a reset begins an action."""
    model = load(example.folder / "policy.safetensors")
    save(tmp_path / "held.safetensors", replace(model, network=in_8_bits(model.network)))
    task, module = own_tasks()["cartpole"]
    lanes, policy, link = module.Lanes(task, 1), model.parts[PART], ""
    observation = lanes.begin(0, 0)
    plan = gk.load(tmp_path / "held.safetensors").fit(pes=3, mapping="balanced", format="dense")
    with plan.session(transport="mem") as chip:
        for _ in range(6):
            chip.reset()
            for _ in range(policy.ticks):
                values = chip.step(counts_of(observation[None], np.asarray(policy.scale, np.float32))[0])
            action = int(np.argmax(values))
            link = next_link(link, observation, action)
            observation = lanes.step([0], [action]).observations[0]
    assert example.run(transport="mem", **SHORT).report["result"]["each"][0]["sha256"] == link


def test_a_run_that_ends_early_has_the_episodes_that_are_done(example):
    played = Played(prepare(example.options(**SHORT)))
    played.play(3 * 6 + 4)  # an episode and an action
    result = played.job.readout.result()
    assert (result["episodes_done"], result["return_mean"], result["actions_taken"]) == (1, 6.0, 7)
    assert len(result["each"]) == 1
    played = Played(prepare(example.options(**SHORT)))
    played.play(2)
    assert played.job.readout.result()["return_mean"] is None


@pytest.mark.wide
@pytest.mark.parametrize("broken_off", ["by Ctrl-C", "by the death of a PE"])
def test_a_run_that_is_broken_off_reports_the_episodes_that_are_done(example, broken_off):
    folder, struck = example.new_folder(), []
    folder.mkdir()

    def strike(status):
        if not struck and status["phase"] == "running" and status["metrics"][0]["value"] is not None:
            struck.append(status["tick"])
            if broken_off == "by Ctrl-C":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                next(process for process in children() if process.name() == "PE(1,1,0)@0").kill()

    outcome = run_into(folder, example.options(episodes=1_000_000, steps=4, answers="none"), observe=strike)
    report = read_report(folder)
    result = report["result"]
    assert report["partial"] and 1 <= result["episodes_done"] == len(result["each"]) < 1_000_000
    assert result["return_mean"] == 4.0
    assert outcome.problem == "interrupted" or "PE(1,1,0)@0 died (SIGKILL)" in outcome.problem


def test_a_network_acts_in_gymnasium_s_environments_by_name(example, tmp_path):
    pytest.importorskip("gymnasium")
    ours, theirs = (Played(prepare(example.options(environment=name, **SHORT))) for name in ("cartpole", "CartPole-v1"))
    for played in (ours, theirs):
        played.play(1000)
    assert ours.job.readout.result()["trajectory_sha256"] == theirs.job.readout.result()["trajectory_sha256"]
    task = task_named("MountainCar-v0")
    network = q_network([np.ones((3, 4), np.float32), np.eye(3, dtype=np.float32)], [np.zeros(3, np.float32)] * 2, 0.5)
    policy = Policy(task.name, task.scale, task.actions, 2)
    save(tmp_path / "car.safetensors", Model(network, segment=2, parts={PART: policy}))
    options = Options(environment="MountainCar-v0", checkpoint=str(tmp_path / "car.safetensors"), episodes=2, steps=5)
    played = Played(prepare(options))
    played.play(1000)
    result = played.job.readout.result()
    assert (result["return_mean"], result["actions_taken"]) == (-5.0, 10)


@pytest.mark.wide
def test_float_weights_and_8_bits_are_two_networks(example):
    held, floating = (example.run(transport="mem", bits=bits, verify=True, **SHORT) for bits in ("8", "float"))
    assert floating.outcome.mismatch["difference"] is None
    assert held.report["events"]["sha256"] != floating.report["events"]["sha256"]


@pytest.mark.wide
def test_lanes_whose_episodes_are_over_are_idle(example):
    report = example.run(transport="mem", batch=2, **SHORT).report
    assert report["neurobench"]["Executions"] == report["result"]["actions_taken"] * report["result"]["ticks"] == 54


# -- what an action costs


def test_layers_side_by_side_take_as_long_as_the_slowest_and_drain():
    per_tick = np.array([[[1.0, 10.0, 100.0], [2.0, 20.0, 200.0]]])
    assert side_by_side_s(per_tick).tolist() == [[1.0, 10.0, 100.0, 200.0]]
    assert side_by_side_s(per_tick[:, :, :1]).tolist() == [[1.0, 2.0]]
    assert side_by_side_s(per_tick[:0]).shape == (0, 4)


@pytest.mark.wide
def test_an_action_takes_all_its_ticks_and_the_layers_behind_them(example):
    report = example.run(transport="mem", timer_us=500.0, **SHORT).report
    latency, rounds = report["result"]["costs"]["latency"], report["result"]["costs"]["rounds"]
    assert rounds == 18
    assert latency["timer"]["mean_s"] == pytest.approx((3 + 3 - 1) * 500e-6)
    assert latency["back_to_back"]["mean_s"] * rounds == pytest.approx(report["modelled"]["time_s"])
    assert latency["side_by_side"]["mean_s"] < latency["back_to_back"]["mean_s"]
    energy = report["result"]["costs"]["energy_per_action_j"]
    assert energy["chip"] * rounds == pytest.approx(report["modelled"]["energy_j"])
    assert [value * rounds for value in energy["chip_band"]] == pytest.approx(report["modelled"]["energy_band_j"])
    assert 0 < energy["dynamic_band"][0] <= energy["dynamic"] <= energy["dynamic_band"][1] < energy["chip"]
    parts = report["modelled"]["energy_parts_j"]
    assert energy["dynamic"] * rounds == pytest.approx(parts["compute"] + parts["wait"])


def test_a_run_that_broke_off_in_its_first_action_has_no_latency(example):
    ledger = open_ledger(example.run(transport="mem", **SHORT).folder)
    costs = ActionCosts.of(ledger, load_chip(), load_table(used=ledger.twins), ticks=1000, timer_s=1e-3)
    block = costs.block(0, 0, 0.02)
    assert (block["rounds"], block["latency"]["timer"]["mean_s"], block["energy_per_episode_j"]) == (0, None, None)
    assert block["energy_per_action_j"]["chip"] > 0


@pytest.mark.wide
def test_an_action_that_comes_too_late_is_counted(example):
    late = example.run(transport="mem", timer_us=5000.0, **SHORT).report  # 5 ticks of 5 ms, for 20 ms
    assert late["result"]["costs"]["latency"]["timer"]["missed"] == 18
    assert {metric["name"]: metric["value"] for metric in late["metrics"]}["missed_timer"] == 100.0
    assert late["result"]["costs"]["latency"]["back_to_back"]["missed"] == 0


def test_the_summary_and_the_page_say_it_all(example):
    report = json.loads(json.dumps(example.run(transport="mem", **SHORT).report))
    text = "\n".join(summary_lines(report, {}))
    for part in ("return       6.0, sd 0.0, worst 6, 0 % at least 475; 3 episodes of cartpole", "3 ticks, ", "synaptic events",
                 "ticks back to back", "layers side by side", "ticks of 1.00 ms", "0 of 18 too late for 20 ms", "dynamic",
                 "the whole chip", "an episode:",
                 "0.006 J on SpiNNaker2 and 0.145 J on GTX 1650", "up to 32x", "not known"):  # fmt: skip
        assert part in text, part
    assert report["result"]["trajectory_sha256"] in text
    page = "".join(sections(report))
    assert "All 3 episodes" in page and "later than 20 ms" in page and "0.145 J" in page


# -- decoders


def test_a_decoder_moves_a_cursor_into_a_target(decoder):
    options = Options(environment="reach", checkpoint=str(decoder), episodes=4, batch=2)
    played = Played(prepare(options))
    played.play(1_000_000)
    loop = played.job.readout
    result = loop.result()
    assert result["solved_share"] == 1.0
    assert 0.7 < -result["return_mean"] < 1.6  # seconds
    whole = result["whole_model"]
    assert whole["Footprint"] == 2172  # of 96 > 4, an EGRU of 2 units and 2 > 2, as the authors publish it
    assert 0 <= whole["ActivationSparsity"] < 0.2
    steps = result["actions_taken"] / 4
    assert whole["SynapticOperations"]["Dense"] == pytest.approx(steps * (96 * 4 + 24 + 12 + 4 + 6))
    assert 0 < whole["SynapticOperations"]["Effective_ACs"] < whole["SynapticOperations"]["Dense"]
    assert {metric.name: metric.value for metric in loop.metrics(None)}["time_to_target"] == pytest.approx(-result["return_mean"])


def test_a_decoder_has_one_answer(decoder, tmp_path):
    example = Example(
        workloads()["control"], tmp_path, {"environment": "reach", "checkpoint": str(decoder), "steps": 40, "episodes": 3}
    )
    plain = example.run(transport="mem", verify=True, pes=1)
    assert plain.outcome.mismatch["difference"] is None
    for how in ({"batch": 3, "pes": 2}, {"format": "csr", "pes": 1}):
        assert answers(example.run(transport="mem", **how)) == answers(plain)
    assert plain.report["result"]["whole_model"]["Footprint"] == 2172
    assert "neurobench" in "\n".join(summary_lines(plain.report, {}))


# -- what cannot be


REFUSED = [
    ({"environment": "cartpol"}, r"environment 'cartpol': have .*did you mean 'cartpole'"),
    (
        {"environment": "acrobot"},
        r"checkpoint policy.safetensors: trained for cartpole, 4 numbers .* 2 actions; acrobot has 6 and 3",
    ),
    ({"batch": 4, "episodes": 3}, r"--batch 4: has 3 episodes; use --batch 3 or fewer"),
    ({"environment": "reach"}, r"checkpoint policy.safetensors: is no decoder; reach needs layers with a linear front end"),
    ({"neurons": "x.csv"}, r"--neurons x.csv: goes with reach; cartpole has none"),
    ({"checkpoint": "seeded"}, r"control: random weights act at random; needs MODEL"),
    ({"checkpoint": "tiny"}, r"checkpoint tiny.safetensors: is no Q-network"),
    ({"replay": "none.npz"}, r"--replay none.npz: "),
    ({"encode": "rate"}, r"--encode 'rate': have current, poisson"),
]


@pytest.mark.parametrize(("options", "line"), REFUSED, ids=[line for _, line in REFUSED])
def test_what_cannot_be_is_refused_in_one_line(example, options, line):
    with pytest.raises((HostError, ModelError)) as refused:
        prepare(example.options(**options))
    text = str(refused.value)
    assert re.search(line, text) and "\n" not in text


def test_int8_weights_are_no_float_ones(example, tmp_path):
    model = load(example.folder / "policy.safetensors")
    save(tmp_path / "held.safetensors", replace(model, network=in_8_bits(model.network)))
    with pytest.raises(HostError, match=r"--bits float: checkpoint held.safetensors has int8 weights; name the file of float32"):
        prepare(example.options(checkpoint=str(tmp_path / "held.safetensors"), bits="float"))
    job = prepare(example.options(checkpoint=str(tmp_path / "held.safetensors")))
    assert [w.numeric for w in job.placement.network.weights] == ["int8"] * 3


def test_an_environment_without_a_shipped_model_needs_one(example):
    pytest.importorskip("gymnasium")
    with pytest.raises(HostError, match=r"control MountainCar-v0: needs MODEL; shipped are those of cartpole"):
        prepare(Options(environment="MountainCar-v0"))
    with pytest.raises(ModelError, match="needs actions to choose from"):
        prepare(example.options(environment="Pendulum-v1"))


def test_the_environment_is_typed_first(example):
    flags = example.flags(environment=None, **SHORT)
    done = launch("control", "cartpole", *flags, "--environment", "acrobot", cwd=example.folder)
    assert (done.returncode, done.stderr.count("\n")) == (Exit.USAGE, 1)
    assert "ENVIRONMENT cartpole and --environment acrobot: choose one" in done.stderr
    done = launch("control", "acrobot", *flags, cwd=example.folder)
    assert (done.returncode, done.stderr.count("\n")) == (Exit.USAGE, 1)
    assert "acrobot has 6 and 3" in done.stderr


# -- pictures


@pytest.mark.parametrize("kind", ["cartpole", "acrobot", "reach"])
def test_a_picture_moves_with_its_environment(kind):
    task, module = own_tasks()[kind]
    lanes = module.Lanes(task, 1)
    lanes.begin(0, 1)
    before = drawn(lanes.drawing(0), 36, 8)
    for _ in range(30):
        lanes.step([0], [[3.0, 3.0] if task.continuous else 1])
    after = drawn(lanes.drawing(0), 36, 8)
    assert before != after
    assert [len(line) for line in before] == [36] * 8
    assert any(line.strip() for line in before)


def test_a_picture_of_nonsense_is_none():
    for drawing in ({}, {"kind": "cartpole"}, {"kind": "cartpole", "x": float("nan"), "edge": 1.0, "angle": 0.0}, {"kind": "what"},
                    {"kind": "cartpole", "x": 1e300, "edge": 1e-300, "angle": 0.0}):  # fmt: skip
        assert drawn(drawing, 36, 8) == [] or all(len(line) == 36 for line in drawn(drawing, 36, 8))


def test_the_panel_shows_membranes_return_and_deadline():
    layout = {"environment": "cartpole", "episodes": 10, "deadline_s": 0.02, "timer_s": 0.022}
    shown = {
        "episode": 2, "step": 31, "return": 31.0, "values": [1.5, 4.25], "returns": [10.0, 20.0],
        "drawing": {"kind": "cartpole", "x": 0.5, "edge": 2.4, "angle": 0.1},
    }  # fmt: skip
    lines = panel.lines(layout, shown, 100, 20)
    text = "\n".join("".join(span.text for span in line) for line in lines)
    for part in ("episode 3 of 10", "action 31", "return so far", "left", "▸right", "4.2", "deadline", "22 of 20 ms", "⣿"):
        assert part in text, part
    assert any(span.look == "miss" for line in lines for span in line)
    assert panel.lines(layout, {}, 100, 20) and panel.lines({}, shown, 100, 20) == []


# -- long runs


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_actions_do_not_grow(example):
    """Every process needs about as much memory after 10,000 actions more as after the first thousand: little is kept of each."""
    folder, by_actions = example.new_folder(), {}
    folder.mkdir()

    def look(status):
        if status["phase"] == "running":
            uss = {process.name(): process.memory_full_info().uss for process in children()}
            by_actions[status["done"] // 3] = uss  # an action is three ticks

    outcome = run_into(folder, example.options(episodes=1400, steps=10, batch=10, answers="none"), observe=look)
    assert outcome.report["result"]["actions_taken"] == 14_000
    first, last = (next(uss for done, uss in sorted(by_actions.items()) if done >= actions) for actions in (1000, 11_000))
    assert first.keys() == last.keys() and {"host", "router@0", "PE(1,1,0)@0"} <= first.keys()
    for name, before in first.items():
        assert last[name] - before < 2_000_000, name
