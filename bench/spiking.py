"""`python -m bench.spiking FILE.nir INPUTS.npz`: what 8 bits do to a spiking network's spikes, by layer and at its output.

FILE is read as `launch.py import` reads it; INPUTS holds `x` (steps, ...) of 0 and 1, or in one row packed bits
(`np.packbits`). Every row
is an offline run (`host/run/offline.py`): spikes of each layer, of the output, how many bits of the output differ from the
float network's, and which unit of the output fires most.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from host.run.offline import record
from host.workloads.arrays.options import Options
from host.workloads.arrays.prepare import prepare_arrays
from host.workloads.site import load_model
from models.checkpoint import Model
from models.convolution import Convolution
from models.network import Network
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.spiking import RESETS


def variants(network: Network) -> Iterator[tuple[str, Network]]:
    """Yield the float network and others made of it, by name."""
    yield "float", network
    yield "float, reset to zero", with_params(network, reset=float(RESETS.index("zero")))
    rounded, _ = quantise_spiking(network, Grid())
    yield "int8", rounded
    yield "int8, thresholds whole", with_whole_thresholds(rounded)
    yield "int8, cut towards zero", truncated(network, rounded)
    yield "int8, percentile 99.9", quantise_spiking(network, Grid(percentile=99.9))[0]
    yield "int8, per channel", quantise_spiking(network, Grid(per_row=True))[0]
    if all(np.all(network.populations[n].vectors["rate"] == 1) for n in network.layers):
        yield "int8, int32 state", quantise_spiking(network, Grid(), state="int32")[0]


def with_params(network: Network, **params: float) -> Network:
    """Return the network with parameters of its layers changed."""
    layers = [replace(p, params={**p.params, **params}) if p.kernel else p for p in network.populations]
    return replace(network, populations=tuple(layers))


def with_whole_thresholds(network: Network) -> Network:
    """Return the network with thresholds rounded to whole numbers."""
    layers = [
        replace(p, vectors={**p.vectors, "threshold": np.rint(p.vectors["threshold"])}) if p.kernel else p
        for p in network.populations
    ]
    return replace(network, populations=tuple(layers))


def truncated(network: Network, rounded: Network) -> Network:
    """Return the quantised network with weights cut towards zero on the same grids, as py-spinnaker2 cuts those of kernels."""
    layers = []
    for one, other in zip(network.populations, rounded.populations, strict=True):
        projections = []
        for exact, near in zip(one.projections, other.projections, strict=True):
            is_kernel = isinstance(exact.weights, Convolution)
            matrices = [w.kernel if is_kernel else w.to_dense() for w in (exact.weights, near.weights)]
            scale = 127 / max(np.abs(p.weights.values).max() for p in one.projections)
            numbers = np.trunc(matrices[0].astype(np.float64) * scale).astype(np.int8)
            assert np.abs(numbers.astype(int) - matrices[1]).max() <= 1
            weights = replace(near.weights, kernel=numbers) if is_kernel else type(near.weights).from_dense(numbers)
            projections.append(replace(near, weights=weights))
        layers.append(replace(other, projections=tuple(projections)))
    return replace(rounded, populations=tuple(layers))


def spikes_of(model: Model, x: Any) -> dict[int, Any]:
    """Return what each layer sends at each step, (steps, units)."""
    network = model.network
    inputs = [network.populations[n] for n in network.inputs]
    rows = {one.name: [x.astype("f4" if one.payload == "float32" else "u1")] for one in inputs}
    job = prepare_arrays(Options(pes=60, mapping="balanced", format="conv"), model, rows, title="")
    run = record(job.placement, job.source, job.readout)
    return {n: layer.events[:, 0] for n, layer in run.layers.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("inputs", type=Path)
    arguments = parser.parse_args()
    model = load_model(arguments.file)
    with np.load(arguments.inputs) as arrays:
        x = arrays["x"]
    units = model.network.populations[model.network.inputs[0]].units
    x = np.unpackbits(x).reshape(-1, units) if x.ndim == 1 else x.reshape(-1, units)
    output, reference = model.network.output, None
    print("| network | spikes by layer | output spikes | bits differing | fires most | s |\n|---|---|---:|---:|---:|---:|")
    for name, network in variants(model.network):
        began = time.perf_counter()
        spikes = spikes_of(replace(model, network=network), x)
        bits = spikes[output] != 0
        reference = bits if reference is None else reference
        layers = ", ".join(str(int(events.sum())) for n, events in spikes.items() if n != output)
        most, seconds = int(spikes[output].sum(axis=0).argmax()), time.perf_counter() - began
        differing = f"{int((bits != reference).sum())} of {bits.size}"
        print(f"| {name} | {layers} | {int(spikes[output].sum())} | {differing} | {most} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
