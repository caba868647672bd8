"""`python -m bench.outliers [--write]`: what an outlier channel costs a transformer in int8, by scales, and what float scales cost.

The shipped vision transformer with one channel of every normalised tensor made larger and the weights that hear it smaller by the
same factor: in float it computes the same. One scale a tensor must then reach the outlier, and leaves other channels fewer steps.
`--write` puts the table into docs/dnn.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.dnn import PAGE, put_table
from host.commands._program_tables import terms_of
from host.cost.program_price import program_cost
from host.mapping.tiling import network_works, plan_program
from host.show.text_table import format_markdown
from models import shipped
from models.dnn.compute import compute_network
from models.dnn.evaluate import run_graph
from models.dnn.file import load_dnn
from models.dnn.graph import OperatorGraph
from models.dnn.integer import IntegerNetwork
from models.dnn.model import DnnModel
from models.dnn.reference import quantised_inputs
from models.quantise.dnn import LayerLoss, quantise_dnn
from models.quantise.dnn_calibration import sample_feeds
from models.quantise.dnn_lower import DnnSettings

FACTORS = (1, 16, 128)
WAYS = (("pow2", False), ("float", False), ("float", True))
"""Scales, and whether weights have one a channel."""
CHANNEL = 5


def with_outlier(graph: OperatorGraph, factor: float, channel: int = CHANNEL) -> OperatorGraph:
    """Return a graph that computes the same, with one channel of each normalised tensor so many times larger."""
    constants = {name: array.copy() for name, array in graph.constants.items()}
    for norm in (one for one in graph.operators if one.kind == "LayerNormalization"):
        users = [one for one in graph.operators if norm.outputs[0] in one.inputs]
        if any(one.kind != "Linear" for one in users):
            continue
        for name in norm.inputs[1:3]:
            constants[name][..., channel] *= factor
        for user in users:
            constants[user.inputs[1]][channel] /= factor
    return replace(graph, constants=constants)


def classes_of(network: IntegerNetwork, model: DnnModel, count: int) -> np.ndarray:
    """Return the class that an integer network gives each of the first test images."""
    assert model.prepared is not None and model.test_set is not None
    answers = []
    for at in range(count):
        feeds = sample_feeds(model.prepared.graph, model.test_set.inputs, at)
        tensors = compute_network(network, quantised_inputs(network, feeds)).tensors
        answers.append(int(tensors[network.outputs[0]].argmax()))
    return np.array(answers)


def norm_db(losses: list[LayerLoss]) -> float:
    """Return the signal to noise of the worst matrix product."""
    return min(loss.signal_db for loss in losses if loss.kind == "matmul" and loss.signal_db is not None)


def table(count: int) -> str:
    """Return the table over the first `count` test images."""
    path = shipped.path_of("digits-vit")
    assert path is not None
    model = load_dnn(path)
    assert model.prepared is not None and model.test_set is not None
    graph, rows, terms = model.prepared.graph, [], terms_of(["share=once"])
    feeds = [sample_feeds(graph, model.test_set.inputs, at) for at in range(count)]
    exact = np.array([int(run_graph(graph, one)[graph.outputs[0]].argmax()) for one in feeds])
    labels = model.test_set.labels[:count]
    for factor in FACTORS:
        prepared = replace(model.prepared, graph=with_outlier(graph, factor))
        for scales, each in WAYS:
            settings = DnnSettings(scales=scales, per_channel=each)
            network, losses = quantise_dnn(prepared, model.test_set.inputs, settings, most=64)
            classes = classes_of(network, model, count)
            cost = program_cost(plan_program(network_works(network), terms).executed(), terms)
            name = {"pow2": "powers of two", "float": "float"}[scales] + (", weights a channel" if each else "")
            rows.append((
                f"{factor} x" if factor > 1 else "none", name, f"{norm_db(losses):.1f}",
                f"{100 * (classes == labels).mean():.1f} %",
                f"{100 * (classes == exact).mean():.1f} %",
                f"{1e3 * cost.time_s:.3f}", f"{1e6 * cost.energy_j:.1f}",
            ))  # fmt: skip
    head = ("outlier", "scales", "worst product, dB", "right", "as in float", "ms an image", "µJ an image")
    return format_markdown(head, rows)


def main() -> None:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=360)
    parser.add_argument("--write", action="store_true")
    flags = parser.parse_args()
    text = table(flags.images)
    if flags.write:
        Path(PAGE).write_text(put_table(PAGE.read_text(encoding="utf-8"), "outliers", text), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
