"""The end of a run on digits: the best model in float32 and int8, scored on images it never saw, and a checkpoint with these."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.dnn.compute import compute_network
from models.dnn.evaluate import run_graph
from models.dnn.file import save_dnn
from models.dnn.model import DnnModel
from models.dnn.reference import quantised_inputs
from models.dnn.sample_set import SampleSet
from models.foreign.dnn_module import dnn_of_module
from models.foreign.request import ImportRequest
from models.network import I64
from models.quantise.dnn import quantise_dnn
from models.quantise.dnn_calibration import sample_feeds
from models.quantise.dnn_lower import DnnSettings
from models.training.common.export import provenance_of
from models.training.common.run_folder import read_best
from models.training.digits.images import CLASSES, SIZE, Digits
from models.training.digits.trainer import DigitsTrainer, evaluate

CHECKPOINT = "model.safetensors"
INPUT = "image"
_CALIBRATED = 256  # images of training by which scales are chosen


def finish(trainer: DigitsTrainer, test: Digits, say: Callable[[str], object]) -> Path:
    """Write the run's best model, in float32 and int8, with the test images; return the checkpoint's path.

    ModelError where no epoch gave a model: its loss was never a number.
    """
    trainer.model.load_state_dict(read_best(trainer.folder, "loss"))
    trainer.model.to("cpu")
    samples = SampleSet(inputs={INPUT: test.images}, labels=test.labels, classes=CLASSES, about=test.about)
    model = replace(quantised(trainer, say), test_set=samples)
    valid = replace(samples, inputs={INPUT: trainer.valid.images}, labels=trainer.valid.labels)
    own = evaluate(trainer.model, test)
    figures: dict[str, Any] = {
        name: {"float": accuracy(float_classes(model, of), of), "int8": accuracy(integer_classes(model, of), of)}
        for name, of in (("valid", valid), ("test", samples))
    }
    figures["test"] |= {
        "torch": own.accuracy, "images": len(test), "same_class": float((float_classes(model, samples) == integer_classes(model,
        samples)).mean()),
    }  # fmt: skip
    record = figures | {"best_epoch": trainer.progress.best_epoch, "seconds": round(trainer.progress.seconds)}
    provenance = provenance_of({"images": test.about}, trainer.settings) | {"record": record}
    path = trainer.folder / CHECKPOINT
    save_dnn(path, replace(model, provenance=provenance))
    (trainer.folder / "figures.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    for name, of in figures.items():
        say(f"{name:<6} {of['float']:.2%} float32, {of['int8']:.2%} int8")
    say(f"written {path}, {path.stat().st_size:,} B")
    return path


def quantised(trainer: DigitsTrainer, say: Callable[[str], object]) -> DnnModel:
    """Return a run's model as a float graph and an integer network, whose scales some images of its training choose."""
    example = torch.zeros(1, 1, SIZE, SIZE)
    model = dnn_of_module(trainer.model, example, ImportRequest()).model
    assert model.prepared is not None
    network, losses = quantise_dnn(
        model.prepared, {INPUT: trainer.train.images[:_CALIBRATED]}, DnnSettings(), most=_CALIBRATED
    )  # fmt: skip
    for loss in losses:
        say(f"{loss.operation:<24} {loss.kind:<12} {'' if loss.signal_db is None else f'{loss.signal_db:5.1f} dB'}")
    return replace(model, network=network)


def float_classes(model: DnnModel, samples: SampleSet) -> I64:
    """Return the class that the float graph gives each sample, (samples,)."""
    assert model.prepared is not None
    graph = model.prepared.graph
    answers = (run_graph(graph, sample_feeds(graph, samples.inputs, at))[graph.outputs[0]] for at in range(len(samples)))
    return np.array([int(answer.argmax()) for answer in answers], np.int64)


def integer_classes(model: DnnModel, samples: SampleSet) -> I64:
    """Return the class that the integer network gives each sample, (samples,)."""
    assert model.prepared is not None
    assert model.network is not None
    graph, network, classes = model.prepared.graph, model.network, []
    for at in range(len(samples)):
        inputs = quantised_inputs(network, sample_feeds(graph, samples.inputs, at))
        classes.append(int(compute_network(network, inputs).tensors[network.outputs[0]].argmax()))
    return np.array(classes, np.int64)


def accuracy(classes: I64, samples: SampleSet) -> float:
    """Return the share of samples whose class is theirs."""
    return float((classes == samples.labels).mean())
