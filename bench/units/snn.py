"""A step of the spiking gesture network of the published size, in 8 bits, on 51 PEs, beside its integers in torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.gesture_step import drawn_spikes, quantised, torch_step_ms
from bench.units import Unit
from host.workloads.snn.options import Options

_SAMPLES, _BITS = 4, 8


def unit(folder: Path) -> Unit:
    """Return what is measured."""
    network, bins = quantised("snn")
    spikes, inputs = drawn_spikes(bins, _SAMPLES), folder / "spikes.npz"
    np.savez(inputs, inputs=spikes)
    options = Options(checkpoint="snn", bits=_BITS, inputs=str(inputs), pes=51, batch=1, mapping="balanced", alone=True)
    return Unit(
        name="a step of the spiking gesture network", options=options, count=lambda _: _SAMPLES * bins.steps, peer="torch",
        peer_s=lambda: torch_step_ms(network, bins, spikes, batches=(1,))[1] / 1e3,
    )  # fmt: skip
