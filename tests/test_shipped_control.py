"""The shipped Q-networks are what docs/control.md says: they solve their tasks, and act on the chip as in torch."""

import numpy as np
import pytest

from host.workloads.control.options import Options
from host.workloads.registry import prepare, workloads
from host.workloads.site import shipped_path
from models.checkpoint import load
from models.checkpoint.tasks.control import PART
from models.control.q_network import in_8_bits
from tests.tools.examples import Example, Played

BARS = {"cartpole": 475.0, "acrobot": -100.0}
SEEDS = {"cartpole": 5, "acrobot": 5}


@pytest.fixture(scope="module", params=BARS)
def shipped(request):
    """A task's name, its network in 8 bits and in float32."""
    return request.param, *(load(shipped_path(f"{request.param}{kind}.safetensors")) for kind in ("", "-float"))


def test_files_are_small(shipped):
    assert all(shipped_path(f"{shipped[0]}{kind}.safetensors").stat().st_size < 100_000 for kind in ("", "-float"))


def test_the_best_of_several_seeds_solves_its_task(shipped):
    name, held, floating = shipped
    record = held.parts[PART].record
    assert len(record["seeds"]) >= SEEDS[name]
    assert record["best"]["validation_mean"] == max(one["validation_mean"] for one in record["seeds"])
    of_bits = [np.array(model.parts[PART].record["torch"]["returns"]) for model in (held, floating)]
    assert [len(returns) for returns in of_bits] == [100, 100]
    assert of_bits[0].mean() >= BARS[name]
    assert abs(of_bits[0].mean() / of_bits[1].mean() - 1) <= 0.02 or of_bits[0].mean() > of_bits[1].mean()


def test_8_bits_are_the_float_network_s(shipped):
    _, held, floating = shipped
    assert {w.numeric for w in held.network.weights} == {"int8"}
    for ours, other in zip(held.network.weights, in_8_bits(floating.network).weights, strict=True):
        assert np.array_equal(ours.to_dense(), other.to_dense())


@pytest.mark.wide
def test_episodes_have_torch_s_observations_and_actions():
    """To the last bit, of whole episodes on the plain reference; on the chip's processes, and CartPole's, which are long, slow."""
    played = Played(prepare(Options(environment="acrobot", episodes=2, batch=2)))
    played.play(100_000)
    torch_said = played.job.readout.result()["torch"]
    assert (torch_said["episodes"], torch_said["same_return"], torch_said["same_actions"]) == (2, 2, 2)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BARS)
def test_a_hundred_episodes_solve_the_task_with_torch_s_actions(name, tmp_path):
    example = Example(workloads()["control"], tmp_path, {"environment": name, "episodes": 100, "batch": 50, "pes": 3})
    result = example.run(transport="mem").report["result"]
    assert result["return_mean"] >= BARS[name]
    assert result["torch"]["episodes"] == 100
    assert result["torch"]["same_actions"] == 100
