"""A frame of the shipped gesture classifier on 128 PEs, beside the trained network in torch."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.units import Unit, seconds_of
from host.workloads.dvs.options import Options
from host.workloads.site import load_model
from models import shipped
from models.training.gesture.export import torch_model_of

_SAMPLES = 6


def unit(_: Path) -> Unit:
    """Return what is measured."""
    path = shipped.path_of("gesture")
    assert path is not None
    model = load_model(path)
    assert model.gesture is not None
    network, frames, size = torch_model_of(model), model.gesture.frames, model.gesture.size
    seen = torch.rand(frames, 1, size, size)

    @torch.no_grad()
    def look() -> object:
        return network(seen)

    return Unit(
        name="a frame of the gesture classifier", options=Options(samples=_SAMPLES, pes=128),
        count=lambda report: frames * int(report["result"]["samples"]), peer="torch", peer_s=lambda: seconds_of(look, frames),
    )  # fmt: skip
