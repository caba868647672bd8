"""`python -m bench.gesture_step [MODEL]`: a step of a spiking gesture network of the published size, in 8 bits.

As 51 and 147 PE processes at batch 1, and at batch 6 a sample and step, beside the same network in torch on one thread, which
emulates no chip. MODEL is a checkpoint or NIR file, `seeded`, or the shipped one (without it). Both hear spikes from a file: what
the synthetic camera takes to draw a scene is no part of a step. Sizes alternate from run to run, so that a machine that slows
down slows them all; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from bench.targets import Figures, verdicts
from host.errors import HostError
from host.launch.launcher import Launcher
from host.workloads.site import load_model, model_path
from host.workloads.snn import SHIPPED
from host.workloads.snn.options import Options
from host.workloads.snn.prepare import bins_of
from models.checkpoint import Model
from models.dvs.samples import CLASSES
from models.dvs.spike_frames import SpikeBins, spike_frames
from models.dvs.synthetic import open_synthetic
from models.network import Array, ModelError, Network
from models.quantise.grids import Grid
from models.quantise.spiking import quantise_spiking
from models.spiking_classifier import seeded_classifier
from models.training.spiking.frames import SpikeSamples
from models.training.spiking.torch_network import output_scores

RUNS = {"gesture_51": (51, 1), "gesture_147": (147, 1), "gesture_batch": (51, 6)}  # (PEs, batch), by the key of `TARGETS`
_BITS = 8


def measure(model: str = "snn", runs: int = 3, samples: int = 6) -> Figures:
    """Measure, print, and return the figures that have a target."""
    done: dict[str, list[float]] = {key: [] for key in RUNS}
    hashes = set()
    network, bins = quantised(model)
    spikes = drawn_spikes(bins, samples)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder) / "spikes.npz"
        np.savez(inputs, inputs=spikes)
        for _ in range(runs):
            for key, (pes, batch) in RUNS.items():
                options = Options(
                    checkpoint=model, bits=_BITS, alone=True, inputs=str(inputs), pes=pes, batch=batch, mapping="balanced"
                )  # fmt: skip
                outcome = Launcher(options, lambda _: None, lambda _: None).run()
                assert outcome.report is not None and outcome.problem is None, outcome.problem
                assert outcome.report["conservation"]["wrong"] == []
                done[key].append(outcome.report["emulation"]["ms_per_token"])
                hashes.add(outcome.report["events"]["sha256"])
    assert len(hashes) == 1, "the same events on any number of PEs and in any batch"
    figures = {key: statistics.median(times) for key, times in done.items()}
    by_torch = torch_step_ms(network, bins, spikes)
    print(f"a spiking network of the published size, {_BITS} bits, {samples} samples, {runs} runs of each; medians")
    print("  PEs  batch  ms a sample and step   times torch (it emulates no chip)")
    for key, (pes, batch) in RUNS.items():
        print(f"{pes:5}  {batch:5}  {figures[key]:20.2f}   {figures[key] / by_torch[batch]:11.1f}")
    print("torch, one thread: " + ", ".join(f"{ms:.3f} ms at batch {batch}" for batch, ms in by_torch.items()))
    print(verdicts(figures), flush=True)
    return figures


def quantised(model: str) -> tuple[Network, SpikeBins]:
    """Return the network that is run, and how events become its spikes."""
    path = model_path(model, SHIPPED)
    chosen = Model(seeded_classifier(len(CLASSES))) if path is None else load_model(path)
    return quantise_spiking(chosen.network, Grid(bits=_BITS))[0], bins_of(Options(), chosen.provenance)


def drawn_spikes(bins: SpikeBins, samples: int) -> Array:
    """Return spikes of the synthetic camera, bool (samples, steps, channels, rows, columns)."""
    drawn = islice(open_synthetic("test", slice_us=bins.duration_us).samples(), samples)
    return np.stack([spike_frames(sample.events, bins).astype(bool) for sample in drawn])


def torch_step_ms(
    network: Network, bins: SpikeBins, spikes: Array, batches: Sequence[int] = (1, 6), runs: int = 3
) -> dict[int, float]:
    """Return what a sample and step takes in torch on one thread, by batch."""
    torch.set_num_threads(1)
    cells = [np.packbits(sample.reshape(-1)) for sample in spikes]
    whole = SpikeSamples(
        cells=np.stack(cells), labels=np.zeros(len(cells), np.int64), subjects=("",) * len(cells), names=("",) * len(cells),
        source="", bins=bins,
    )  # fmt: skip
    figures = {}
    for batch in batches:
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            for first in range(0, len(cells), batch):
                output_scores(network, whole.take(np.arange(first, min(first + batch, len(cells)))))
            times.append(time.perf_counter() - began)
        figures[batch] = 1e3 * statistics.median(times) / (len(cells) * bins.steps)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.gesture_step", description=__doc__.split("\n\n")[0])
    parser.add_argument("model", nargs="?", default="snn", metavar="MODEL")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=6)
    flags = parser.parse_args()
    try:
        measure(flags.model, flags.runs, flags.samples)
    except (HostError, ModelError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
