"""The trained gesture model as a checkpoint of ours (`models/checkpoint/file.py`), and a checkpoint as a torch model again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.checkpoint import Model
from models.dvs.frames import FrameSpec
from models.dvs.samples import CLASSES
from models.heads.gesture import ConvLayer, Gesture
from models.network import ModelError, Network, Population
from models.training.common.export import array, layer_of
from models.training.gesture.network import GestureModel
from models.training.gesture.settings import GestureSettings


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
        head.append(ConvLayer(array(convolution.weight), array(convolution.bias), plan.stride, plan.padding, plan.pool))
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
