"""The end of a gesture run: score the best model, as it will be stored, on people it never saw; a checkpoint of it, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.checkpoint import Model, save
from models.dvs.frames import FrameSpec
from models.dvs.samples import CLASSES
from models.heads.gesture import ConvLayer, Gesture
from models.network import F32, ModelError, Network, Population
from models.training.common.export import array, layer_of, provenance_of
from models.training.common.run_folder import read_best
from models.training.gesture.frames import Frames
from models.training.gesture.mean_frame import mean_frame_accuracy
from models.training.gesture.network import GestureModel
from models.training.gesture.settings import GestureSettings
from models.training.gesture.trainer import GestureTrainer, Outcome, evaluate

CHECKPOINT = "model.safetensors"


def finish(trainer: GestureTrainer, test: Frames, say: Callable[[str], object]) -> Model:
    """Score the run's best model on the test split, and write `figures.json` and `model.safetensors` into its folder.

    ModelError where no epoch gave a model: its loss was never a number.
    """
    model, folder = trainer.model, trainer.folder
    model.load_state_dict(read_best(folder, "loss"))
    model.fold()
    model.round_weights()
    outcome = evaluate(model, test)
    figures: dict[str, Any] = {
        "accuracy": outcome.accuracy, "mean_frame_accuracy": _baseline(trainer, test), "activity": outcome.activity,
        "loss": outcome.loss, "best_epoch": trainer.progress.best_epoch, "seconds": round(trainer.progress.seconds),
        "samples": {"train": len(trainer.train), "test": len(test)},
        "subjects": {"train": _people(trainer.train), "test": _people(test)},
    }  # fmt: skip
    if trainer.valid is not None:
        valid = evaluate(model, trainer.valid)
        figures |= {"valid_accuracy": valid.accuracy, "valid_loss": valid.loss}
        figures["samples"]["valid"], figures["subjects"]["valid"] = len(trainer.valid), _people(trainer.valid)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    record = figures | {
        "events": test.source,
        "test_frames_sha256": test.sha256,
        "torch_predictions": outcome.predictions.tolist(),
        "torch_scores": [[float(f"{score:.7g}") for score in row] for row in outcome.scores.tolist()],
        "labels": test.labels.tolist(),
    }
    result = model_of(model, record, provenance_of({"events": test.source}, trainer.settings))
    save(folder / CHECKPOINT, result)
    _tell(outcome, figures, test, say)
    say(f"checkpoint   {folder / CHECKPOINT}, {(folder / CHECKPOINT).stat().st_size:,} B")
    return result


def _baseline(trainer: GestureTrainer, test: Frames) -> float:
    """Accuracy of a logistic regression on the mean frame, trained on the same samples, held-out ones too."""
    scale, parts = trainer.settings.scale, [trainer.train, *([trainer.valid] if trainer.valid else [])]
    labels = [int(label) for part in parts for label in part.labels]
    people = [subject for part in parts for subject in part.subjects]
    known, unknown = chain.from_iterable(_singly(part, scale) for part in parts), _singly(test, scale)
    return mean_frame_accuracy(known, labels, unknown, test.labels.tolist(), people)


def _singly(frames: Frames, scale: float) -> Iterator[F32]:
    return (frames.scaled(np.array([number]), scale)[0].numpy() for number in range(len(frames)))


def _people(frames: Frames) -> list[str]:
    return sorted(set(frames.subjects))


def _tell(outcome: Outcome, figures: dict[str, Any], test: Frames, say: Callable[[str], object]) -> None:
    right = outcome.predictions == test.labels
    say(f"test         {outcome.accuracy:.2%} of {len(test):,} samples of {len(set(test.subjects))} subjects never seen")
    say(f"mean frame   {figures['mean_frame_accuracy']:.2%} by a logistic regression on the same samples")
    say(f"activity     {' '.join(f'{share:.3f}' for share in outcome.activity)}")
    for label, name in enumerate(CLASSES):
        among = test.labels == label
        if among.any():
            say(f"  {name:28}  {int(right[among].sum()):4} of {int(among.sum()):4}")


def model_of(trained: GestureModel, record: Mapping[str, Any], provenance: Mapping[str, Any]) -> Model:
    """Return the checkpoint's model; `record` is what training has to tell of its result, `provenance` where it comes from."""
    settings = trained.settings
    spec = FrameSpec(size=settings.size, scale=settings.scale)
    populations = [Population("input", settings.features)]
    for number, layer in enumerate(trained.layers, start=1):
        populations.append(layer_of(number, layer, settings.trace if number > 1 else 0.0))
    head = []
    for convolution in trained.head:
        plan = convolution.plan
        head.append(
            ConvLayer(
                weight=array(convolution.weight),
                bias=array(convolution.bias),
                stride=plan.stride,
                padding=plan.padding,
                pool=plan.pool,
            )
        )
    gesture = Gesture(
        head=tuple(head), linear_weight=array(trained.linear_weight), linear_bias=array(trained.linear_bias),
        readout_weight=array(trained.readout_weight), readout_bias=array(trained.readout_bias), classes=CLASSES,
        bin_us=spec.bin_us, slice_us=spec.slice_us, size=spec.size, polarity=spec.polarity, scale=spec.scale,
        trace=settings.trace, record=record,
    )  # fmt: skip
    return Model(Network(tuple(populations)), segment=spec.frames, provenance=provenance, gesture=gesture)


@torch.no_grad()
def torch_model_of(model: Model) -> GestureModel:
    """Return a checkpoint's network in torch, in evaluation mode; ModelError where it is none that was trained here."""
    gesture = model.gesture
    if gesture is None:
        raise ModelError("needs a checkpoint with a gesture classifier, this one has none")
    settings = GestureSettings.of(model.provenance.get("settings", {}))
    settings.check()
    trained = GestureModel(len(gesture.classes), settings)
    trained.fold()
    values: dict[str, Any] = {"linear_weight": gesture.linear_weight, "linear_bias": gesture.linear_bias}
    values |= {"readout_weight": gesture.readout_weight, "readout_bias": gesture.readout_bias}
    for number, layer in enumerate(gesture.head):
        values |= {f"head.{number}.weight": layer.weight, f"head.{number}.bias": layer.bias}
    for number in model.network.layers:
        population = model.network.populations[number]
        names = {"input": "kernel", "recurrent": "recurrent"}
        values |= {f"layers.{number - 1}.{names[p.port]}": p.weights.to_dense() for p in population.projections}
        values |= {f"layers.{number - 1}.{name}": vector for name, vector in population.vectors.items()}
    own = dict(trained.named_parameters())
    for name in sorted(own.keys() | values.keys()):
        have, need = (tuple(part[name].shape) if name in part else None for part in (values, own))
        if have != need:
            raise ModelError(f"the settings in the checkpoint make {name} {need}, the file has {have}")
        value: Tensor = torch.from_numpy(values[name].copy())
        own[name].copy_(value)
    return trained.eval()
