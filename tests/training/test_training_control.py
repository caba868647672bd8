"""The trainer of Q-networks: what it learns acts on the chip as in torch, and what is finished is not done again."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from host.workloads.control.options import Options  # noqa: E402
from host.workloads.registry import prepare  # noqa: E402
from models.checkpoint import load  # noqa: E402
from models.checkpoint.tasks.control import PART  # noqa: E402
from models.control.encoding import counts_of  # noqa: E402
from models.control.environments import task_named  # noqa: E402
from models.network import ModelError  # noqa: E402
from models.reference import Reference  # noqa: E402
from models.training.__main__ import main  # noqa: E402
from models.training.control.acting import Memory  # noqa: E402
from models.training.control.export import TorchPolicy  # noqa: E402
from models.training.control.network import Encoder, SpikingQ, held_to_8_bits  # noqa: E402
from models.training.control.settings import ControlSettings  # noqa: E402
from tests.tools.examples import Played  # noqa: E402

pytestmark = pytest.mark.wide

TINY = ["--seeds", "2", "--hidden", "12,8", "--ticks", "4", "--steps", "800", "--updates", "40", "--evaluate-every", "20",
        "--evaluation-episodes", "4", "--memory", "2000",
        "--final-episodes", "5"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder of two trainings that are far too short to learn much."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["control", "cartpole", "--out", str(folder), *TINY]) == 0
    return folder


@pytest.mark.slow
def test_a_training_writes_both_checkpoints_and_every_seed(trained):
    held, floating = (load(trained / name) for name in ("cartpole.safetensors", "cartpole-float.safetensors"))
    assert {w.numeric for w in held.network.weights} == {"int8"}
    assert {w.numeric for w in floating.network.weights} == {"float32"}
    policy = held.parts[PART]
    assert (policy.environment, policy.actions, policy.ticks, policy.inputs) == ("cartpole", 2, 4, 8)
    assert [one["seed"] for one in policy.record["seeds"]] == [1, 2]
    best = max(policy.record["seeds"], key=lambda one: one["validation_mean"])
    assert policy.record["best"] == best
    assert np.mean(policy.record["torch"]["returns"]) == pytest.approx(best["int8"]["mean"])
    assert 0 <= best["agreement_with_float"] <= 1


def test_the_chip_acts_as_torch_does_to_the_last_bit(trained):
    """Episodes played on the plain reference: observations and actions have torch's hash."""
    played = Played(prepare(Options(checkpoint=str(trained / "cartpole.safetensors"), episodes=3, batch=3)))
    played.play(10_000_000)
    torch_said = played.job.readout.result()["torch"]
    assert (torch_said["episodes"], torch_said["same_return"], torch_said["same_actions"]) == (3, 3, 3)


def test_torch_and_the_reference_have_the_same_values(trained):
    """To the bit with int8 weights; with float32 ones, whose sums torch adds in an order of its own, nearly."""
    draw = np.random.default_rng(1)
    for name, near in (("cartpole.safetensors", 0.0), ("cartpole-float.safetensors", 1e-4)):
        model = load(trained / name)
        policy = model.parts[PART]
        observations = (draw.normal(size=(6, 4)) * np.array(policy.scale)).astype(np.float32)
        values = TorchPolicy(model.network, policy.scale, policy.ticks)(observations).numpy()
        for row, counts in zip(values, counts_of(observations, np.asarray(policy.scale, np.float32)), strict=True):
            reference = Reference(model.network)
            for _ in range(policy.ticks):
                sent = reference.step({0: counts}, fresh=False, reset=False)
            assert np.abs(sent[model.network.output][0] - row).max() <= near


def test_a_student_in_training_acts_as_its_checkpoint_does():
    torch.manual_seed(1)
    task, scale = task_named("cartpole"), task_named("cartpole").scale
    student = SpikingQ(8, (16, 12), 2, ticks=5, decay=0.8, steepness=5.0)
    student.held = True
    from models.control.q_network import in_8_bits
    from models.training.control.export import network_of

    network = in_8_bits(network_of(student))
    observations = (np.random.default_rng(2).normal(size=(200, 4)) * np.array(scale)).astype(np.float32)
    with torch.no_grad():
        values = student(Encoder(scale)(observations))
    said = TorchPolicy(network, scale, 5)(observations) / 5
    assert (values.argmax(1) == said.argmax(1)).float().mean() > 0.98  # a membrane within rounding of its threshold
    assert (values - said).abs().median() < 1e-5
    assert task.actions == 2


def test_weights_are_held_to_a_grid_and_learn_as_if_they_were_not():
    weight = torch.tensor([[1.0, -0.3], [0.004, 0.0]], requires_grad=True)
    held = held_to_8_bits(weight)
    assert torch.allclose(held * 127, torch.round(held * 127), atol=1e-4)
    held.sum().backward()
    assert torch.equal(weight.grad, torch.ones(2, 2))


def test_what_is_finished_is_not_done_again(trained, capsys):
    before = {path: path.stat().st_mtime_ns for path in trained.rglob("*.safetensors") if "seed" in str(path)}
    (trained / "seed-2" / "result.json").unlink()
    assert main(["control", "cartpole", "--out", str(trained), *TINY]) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "teacher" in capsys.readouterr().out
    kept = json.loads((trained / "seed-1" / "result.json").read_text())
    assert kept["seed"] == 1


def test_a_folder_of_other_settings_is_refused(trained, capsys):
    assert main(["control", "cartpole", "--out", str(trained), *TINY, "--decay", "0.7"]) == 2
    assert "belongs to a run with another decay; use another --out" in capsys.readouterr().err


def test_the_student_alone_learns_directly(tmp_path):
    flags = [*TINY, "--direct"]
    flags[flags.index("--seeds") + 1] = "1"
    assert main(["control", "cartpole", "--out", str(tmp_path / "direct"), *flags, "--steps", "400", "--batch", "32"]) == 0
    assert {path.name for path in (tmp_path / "direct" / "seed-1").glob("*.safetensors")} == {
        "float.safetensors",
        "student.safetensors",
    }
    assert "teacher" not in json.loads((tmp_path / "direct" / "seed-1" / "result.json").read_text())


def test_what_cannot_be_trained_gets_a_line(tmp_path, capsys):
    for flags, line in (
        (["control", "cartpole", "--ticks", "0"], "--ticks 0: needs at least 1"),
        (["control", "cartpole", "--hidden", "x"], "--hidden 'x': needs sizes such as 64,64"),
        (["control", "cartpole", "--observation-scale", "1,2"], "cartpole: needs --observation-scale with 4 numbers above 0"),
        (["control", "cartpol"], "did you mean 'cartpole'?"),
        (["control", "reach"], "reach: its actions are no choice"),
    ):
        assert main([*flags, "--out", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert line in error and error.count("\n") == 1, error
    with pytest.raises(ModelError):
        ControlSettings(decay=1.0).check()


def test_a_memory_keeps_the_last_rows():
    memory = Memory(3)
    memory.add(torch.arange(2), torch.arange(2) * 10)
    memory.add(torch.arange(2, 4), torch.arange(2, 4) * 10)
    drawn = memory.draw(100)
    assert set(drawn[0].tolist()) == {1, 2, 3}
    assert torch.equal(drawn[1], drawn[0] * 10)
