"""The end of a spiking run: the best model as a network, scored as it is stored on people it never saw, float and in 8 bits; a
checkpoint and a NIR file of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.checkpoint import Model, save
from models.dvs.samples import CLASSES
from models.exporters.nir import write
from models.network import Array, Network
from models.quantise import Grid
from models.quantise.spiking import quantise_spiking
from models.spiking_classifier import spiking_classifier
from models.training.common.export import array, provenance_of
from models.training.common.run_folder import read_best
from models.training.gesture.mean_frame import mean_frame_accuracy
from models.training.spiking.frames import SpikeSamples
from models.training.spiking.network import GridLayer, SpikingLayer, SpikingModel
from models.training.spiking.settings import SpikingSettings
from models.training.spiking.torch_network import output_scores
from models.training.spiking.trainer import SpikingTrainer

CHECKPOINT, QUANTISED, NIR = "model.safetensors", "model-int8.safetensors", "model.nir"
PERCENTILES = (100.0, 99.9, 99.0)  # tried on a float model
_FLOAT, _WHOLE = "float", f"int8 percentile {PERCENTILES[0]:g}"  # of what is scored


def finish(trainer: SpikingTrainer, test: SpikeSamples, say: Callable[[str], object]) -> Network:
    """Score the run's best model on the test split, and write checkpoints, NIR file and `figures.json` into its folder.

    A float model is scored in 8 bits too, at some percentiles. Of quantised training the weights keep their grid, and the float
    run that it began with stands beside it. ModelError where no epoch gave a model: its loss was never a number.
    """
    model, folder, settings = trainer.model, trainer.folder, trainer.settings
    model.load_state_dict(read_best(folder, "loss"))
    model.eval()
    network = network_of(model)
    trained = f"int{settings.bits} as trained"
    if settings.bits:
        small, _ = quantise_spiking(network, Grid(bits=settings.bits))
        scored = {trained: (small, output_scores(small, test))}
    else:
        scored = {_FLOAT: (network, output_scores(network, test))}
        for percentile in PERCENTILES:
            small, _ = quantise_spiking(network, Grid(percentile=percentile))
            scored[f"int8 percentile {percentile:g}"] = small, output_scores(small, test)
    figures: dict[str, Any] = {
        "accuracy": _before(settings) | {name: accuracy(scores, test) for name, (_, scores) in scored.items()},
        "ties": {name: ties(scores) for name, (_, scores) in scored.items()},
        "best_epoch": trainer.progress.best_epoch, "seconds": round(trainer.progress.seconds),
        "samples": {"train": len(trainer.train), "test": len(test)},
        "subjects": {"train": len(set(trainer.train.subjects)), "test": len(set(test.subjects))},
    }  # fmt: skip
    _tell(scored, test, say)
    figures["mean_frame_accuracy"] = _baseline(trainer, test)
    say(f"mean frame   {figures['mean_frame_accuracy']:.2%} by a logistic regression on the same samples")
    record = figures | {"events": test.source, "test_sha256": test.sha256, "labels": test.labels.tolist()}
    provenance = provenance_of({"events": test.source}, settings) | {"bins": asdict(settings.bins)}
    files = {QUANTISED: scored[trained]} if settings.bits else {CHECKPOINT: scored[_FLOAT], QUANTISED: scored[_WHOLE]}
    for name, (stored, scores) in files.items():
        own = {"record": record | {"predictions": scores.argmax(1).tolist()}}
        save(folder / name, model_of(stored, settings.steps, provenance | own))
    write(folder / NIR, model_of(network, settings.steps, {}), [])
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    for name in (*files, NIR):
        say(f"written      {folder / name}, {(folder / name).stat().st_size:,} B")
    return network


def model_of(network: Network, steps: int, provenance: Mapping[str, Any]) -> Model:
    """Return the checkpoint's model: a sample is a segment, and begins with membranes at 0."""
    return Model(network, segment=steps, state="zeroed", provenance=provenance)


def accuracy(scores: Array, samples: SpikeSamples) -> float:
    """Return the share of samples whose class has the highest score, the first of several."""
    return float((scores.argmax(1) == samples.labels).mean())


def ties(scores: Array) -> int:
    """Return how many samples have several classes with the highest score."""
    return int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum())


def _before(settings: SpikingSettings) -> dict[str, float]:
    """Return what the run scored that quantised training began with; nothing where it left no figures."""
    path = Path(settings.begin_with) / "figures.json"
    if not (settings.bits and settings.begin_with and path.is_file()):
        return {}
    return dict(json.loads(path.read_text(encoding="utf-8"))["accuracy"])


def _tell(scored: dict[str, Any], test: SpikeSamples, say: Callable[[str], object]) -> None:
    for name, (_, scores) in scored.items():
        say(f"test         {accuracy(scores, test):.2%} of {len(test):,} unseen samples, {name}; {ties(scores)} ties")
    first = next(iter(scored.values()))[1]
    for label, name in enumerate(CLASSES):
        among = test.labels == label
        if among.any():
            say(f"  {name:28}  {int((first.argmax(1) == label)[among].sum()):4} of {int(among.sum()):4}")


def _baseline(trainer: SpikingTrainer, test: SpikeSamples) -> float:
    """Accuracy of a logistic regression on the mean of a sample's spikes over its steps, trained on the same people."""
    parts = [trainer.train, *([trainer.valid] if trainer.valid else [])]
    labels = [int(label) for part in parts for label in part.labels]
    people = [subject for part in parts for subject in part.subjects]
    known = (part.spikes(np.array([n]))[0].numpy() for part in parts for n in range(len(part)))
    unknown = (test.spikes(np.array([n]))[0].numpy() for n in range(len(test)))
    return mean_frame_accuracy(known, labels, unknown, test.labels.tolist(), people)


@torch.no_grad()
def network_of(model: SpikingModel) -> Network:
    """Return a trained model as a network of `lif` populations (`li` where membranes answer), weights on their grid where training
    was quantised.
    """
    layers = [layer for layer in model.layers if isinstance(layer, GridLayer)]
    return spiking_classifier(
        [array(layer.grid_weight()) for layer in layers],
        [array(layer.thresholds()) for layer in layers if isinstance(layer, SpikingLayer)],
        [array(layer.beta_logit.sigmoid()) for layer in layers], model.settings.size,
        "spike" if model.settings.binary else "count",
    )  # fmt: skip
