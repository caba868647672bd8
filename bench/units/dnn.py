"""An image of the shipped digits at batch 16 on 9 PEs, beside the network that they were trained as, in torch, in float32."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.units import Unit, seconds_of
from host.workloads.dnn.options import Options
from models.training.digits.network import DigitsModel
from models.training.digits.settings import DigitsSettings

_BATCH = 16


def unit(_: Path) -> Unit:
    """Return what is measured."""
    network, images = DigitsModel(DigitsSettings()).eval(), torch.rand(_BATCH, 1, 8, 8)

    @torch.no_grad()
    def look() -> object:
        return network(images)

    options = Options(checkpoint="digits-cnn", batch=_BATCH, pes=9, resident="both", tiles="fastest", alone=True)
    return Unit(
        name="an image of the digits, 16 at a time", options=options, count=lambda report: int(report["result"]["samples"]),
        peer="torch, float32", peer_s=lambda: seconds_of(look, _BATCH),
    )  # fmt: skip
