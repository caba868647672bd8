"""A vector of a GRU of 8 inputs and two layers of 24 units on 8 PEs, beside torch.nn.GRU."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file

import gennaker as gk
from bench.session import drawn_gru
from bench.units import Unit, seconds_of
from host.workloads.arrays.options import Options

_INPUTS, _UNITS, _LAYERS, _VECTORS = 8, 24, 2, 400


def unit(folder: Path) -> Unit:
    """Return what is measured."""
    checkpoint, inputs = folder / "gru.safetensors", folder / "vectors.npy"
    drawn = folder / "state_dict.safetensors"
    save_file(drawn_gru(_INPUTS, _UNITS, _LAYERS), drawn)
    with contextlib.redirect_stderr(None), contextlib.redirect_stdout(None):  # what was made of it
        gk.load(drawn).save(checkpoint)
    vectors = np.random.default_rng(2).standard_normal((_VECTORS, _INPUTS)).astype(np.float32)
    np.save(inputs, vectors)
    network, heard = torch.nn.GRU(_INPUTS, _UNITS, _LAYERS).eval(), torch.from_numpy(vectors)

    @torch.no_grad()
    def hear() -> object:
        return network(heard)

    options = Options(checkpoint=str(checkpoint), inputs=str(inputs), pes=8, mapping="balanced", format="dense")
    return Unit(
        name="a vector of a GRU, 8 > 24 > 24", options=options, count=lambda _: _VECTORS, peer="torch",
        peer_s=lambda: seconds_of(hear, _VECTORS),
    )  # fmt: skip
