"""The plain reference, by hand: what is heard when, of units that send what they hear."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest

import models.reference
from models.families import VARIABLE
from models.network import ModelError
from models.reference import Reference
from tests.tools.graphs import RELU, Layer, graph, with_members


@pytest.fixture(autouse=True)
def _members():
    with with_members():
        yield


def played(network, inputs, **begins):
    """What the layers of one unit send at each phase, by name; `begins`: positions by what begins there."""
    reference, said = Reference(network), {network.populations[n].name: [] for n in network.layers}
    for position, x in enumerate(inputs):
        x = x if isinstance(x, dict) else {0: [x]}
        flags = {what: position in positions for what, positions in begins.items()}
        for number, numbers in reference.step({n: np.array(v) for n, v in x.items()}, **flags).items():
            said[network.populations[number].name].append(numbers[:, 0].tolist())
    return said


def test_a_port_hears_each_projection_as_late_as_it_says():
    network = graph({
        "in": Layer(1), "a": Layer(1, ports={"input": [("in", 0)]}, weights={"input": 1.0}, **RELU),
        "b": Layer(1, ports={"input": [("in", 0), ("a", 1), ("a", 3)]}, weights={"input": 1.0}, **RELU),
    })  # fmt: skip
    said = played(network, [1, 2, 4, 8, 16, 32, 64], fresh=(4,))
    assert said["a"] == [[1], [2], [4], [8], [16], [32], [64]]
    assert said["b"] == [[1], [2 + 1], [4 + 2], [8 + 4 + 1], [16], [32 + 16], [64 + 32]]  # of the new sequence alone
    assert played(network, [1, 2, 4, 8, 16], reset=(4,))["b"][4] == [16 + 8 + 2]


def test_a_loop_of_two_layers_and_an_input_that_is_heard_late():
    network = graph({
        "in": Layer(1), "other": Layer(1),
        "a": Layer(1, ports={"input": [("in", 2), ("other", 0), ("b", 1)]}, weights={"input": 1.0}, **RELU),
        "b": Layer(1, ports={"input": [("a", 0)]}, weights={"input": 1.0}, **RELU),
    })  # fmt: skip
    said = played(network, [{0: [1], 1: [100]}, {0: [2]}, {0: [4]}, {1: [1000]}])
    assert said["a"] == [[100], [100], [100 + 1], [1000 + 101 + 2]]
    assert said["b"] == said["a"]


def test_where_a_lane_is_idle_nothing_steps_and_traces_fade():
    network = graph({
        "in": Layer(1),
        "now": Layer(1, ports={"input": [("in", 0)]}, weights={"input": 1.0}, **RELU),
        "trace": Layer(1, ports={"input": [("in", 0, 0.5)]}, weights={"input": 1.0}, **RELU),
        "late": Layer(1, ports={"input": [("now", 1)]}, weights={"input": 1.0}, **RELU),
        "kept": Layer(1, "leaky", {"input": [("in", 0)]}, {"decay": 1.0}, vectors={"threshold": 100.0}, weights={"input": 30.0}),
    })  # fmt: skip
    said = played(network, [1, 2, 4, 0, 1], idle=(1,))
    assert said["now"] == [[1], [0], [4], [0], [1]]
    assert said["trace"] == [[0.5], [0], [0.125 + 2], [1.0625], [0.53125 + 0.5]]
    assert said["late"] == [[0], [0], [0], [4], [0]]
    assert said["kept"] == [[0], [0], [150], [0], [0]]  # 30 + 120, without the 60 of the idle position
    assert played(network, [1, 2, 4], reset=(2,))["trace"] == [[0.5], [1.25], [2]]


def test_who_hears_a_layer_of_several_phases_hears_all_of_a_position():
    network = graph({
        "in": Layer(1), "phases": Layer(1, "phaser", {"input": [("in", 0)]}, {"ticks": 3}, weights={"input": 1.0}),
        "sum": Layer(1, ports={"input": [("phases", 0)]}, weights={"input": 1.0}, **RELU),
        "late": Layer(1, ports={"input": [("phases", 1)]}, weights={"input": 1.0}, **RELU),
    })  # fmt: skip
    said = played(network, [1.25, 0.5, 0.0])
    assert said["phases"] == [[1, 0, 0.25], [0, 0.5, 0], [0, 0, 0]]
    assert said["sum"] == [[1.25], [0.5], [0]]
    assert said["late"] == [[0], [1.25], [0.5]]


def test_whole_numbers_wrap_at_32_bits_and_spikes_count_one():
    shift = {"params": {"shift": 0}, "payload": "int32"}
    network = graph({
        "in": Layer(1, payload="int32"), "spikes": Layer(2, payload="spike"),
        "a": Layer(1, "grader", {"input": [("in", 0)]}, weights={"input": 64}, **shift),
        "b": Layer(1, "grader", {"input": [("spikes", 0)]}, weights={"input": 8}, **shift),
        "dense": Layer(1, "sampler", {"input": [("a", 0), ("b", 0)]}, {"shift": 0}, weights={"input": 1}),
    })  # fmt: skip
    said = played(network, [{0: [3], 1: [1, 1]}, {0: [2**25], 1: [0, 1]}])
    assert said["a"] == [[3 * 64 - 3 * 32], [-(2**31) + 2**30]]
    assert said["b"] == [[16 - 8], [8 - 4]]
    assert said["dense"][0] == [96 + 8]


def test_a_model_without_a_plain_reference_is_refused_by_name():
    network = graph({"in": Layer(1), "a": Layer(1, ports={"input": [("in", 0)]}, **RELU)})
    line = "unknown neuron model with a plain reference 'leaky': have cuba_li, cuba_lif, egru"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ModelError, match=line):
        patch.setattr(models.reference, "__path__", models.reference.__path__[:1])
        patch.delenv(VARIABLE)
        patch.delitem(sys.modules, "models.reference.leaky", raising=False)
        Reference(network)


def test_the_walk_knows_no_kernel_format_or_schedule():
    for path in Path(models.reference.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("models.kernels", "models.formats", "models.schedule", "models.shard"), path
                assert node.module.split(".")[0] not in ("pe", "noc", "host"), path
