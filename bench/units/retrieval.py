"""A snapshot of harmonic retrieval in one dimension, 8 ticks a value, beside the unrolled network by torch's Fourier transforms."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.units import Unit, seconds_of
from host.workloads.retrieval.options import Options
from host.workloads.retrieval.prepare import FOLDER
from host.workloads.site import shipped_path
from models.retrieval.file import load_unrolled
from models.training.retrieval.network import SLista

_SNAPSHOTS, _TICKS = 40, 8


def unit(_: Path) -> Unit:
    """Return what is measured; the peer hears one snapshot at a time, as the chip does."""
    options = Options(samples=_SNAPSHOTS, k=_TICKS)
    model = load_unrolled(shipped_path(FOLDER) / f"{options.dims}d.safetensors")
    network = SLista(model.grid, model.layers, 0.1, 0.1)
    filtered = torch.randn(1, *model.grid.cells, dtype=torch.complex64)

    @torch.no_grad()
    def recover() -> object:
        return network(filtered)

    return Unit(
        name="a snapshot of harmonic retrieval", options=options, count=lambda _: _SNAPSHOTS, peer="torch, float32",
        peer_s=lambda: seconds_of(recover, 1),
    )  # fmt: skip
