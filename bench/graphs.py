"""`python -m bench.graphs`: what a PE and tick cost in a graph of 12 populations, beside a chain of 3, in one run.

Both networks have as many PEs, units a PE, weights a row and about as many events; the graph has skips, a shared port and a layer
that hears another one two positions late. Runs alternate, and the ratio is of medians: machines are shared. Seconds are the
processor's, of the whole machine: let nothing else run.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np

from bench.pairs import machine_cpu_s
from host.launch.launcher import Launcher
from host.workloads.arrays.options import Options
from models.checkpoint import Model, save
from models.kernels.egru import GATES, INPUT, RECURRENT, VECTORS
from models.network import Network, Population, Projection, SparseRows

PES, UNITS, WEIGHTS, INPUT_UNITS = 144, 9, 24, 64
MOST = 1.2  # times what a PE and tick of the chain cost


def build_network(layers: int, seed: int = 1) -> Network:
    """Return `layers` populations on `PES` PEs; more than 3 are a graph with skips, a shared port and a late projection."""
    rng, units = np.random.default_rng(seed), PES * UNITS // layers
    populations = [Population("input", INPUT_UNITS)]
    for number in range(1, layers + 1):
        heard = [(number - 1, INPUT, 0), (number, RECURRENT, 1)]
        if layers > 3 and number > 2 and number % 3 == 0:
            heard.append((number - 2, INPUT, 0))  # past the layer between
        if layers > 3 and number == 2:
            heard.append((layers, RECURRENT, 2 * layers))  # the last layer, so late that positions need not wait for it
        projections = []
        for source, port, delay in heard:
            columns = populations[source].units if source < number else units
            shared = sum(other == port for _, other, _ in heard)
            projections.append(Projection(source, port, _rows(rng, GATES * units, columns, WEIGHTS // shared), delay=delay))
        vectors = {name: rng.uniform(-0.1, 0.1, spec.length * units).astype(np.float32) for name, spec in VECTORS.items()}
        vectors["threshold"] = np.full(units, 0.1, np.float32)
        populations.append(Population(f"layer{number}", units, "egru", tuple(projections), vectors))
    return Network(tuple(populations))


def _rows(rng: np.random.Generator, rows: int, columns: int, each: int) -> SparseRows:
    """Return a matrix with so many weights in each row."""
    picks = np.sort(rng.permuted(np.tile(np.arange(columns), (rows, 1)), axis=1)[:, :each], axis=1)
    values = rng.uniform(0.1, 0.6, rows * each) * rng.choice([-1, 1], rows * each)
    extents = np.arange(rows + 1, dtype=np.int64) * each
    return SparseRows((rows, columns), extents, picks.ravel().astype(np.uint32), values.astype(np.float32))


def measure(positions: int = 400, runs: int = 5) -> float:
    """Measure and print; return the ratio of the processor's seconds a PE and tick, graph to chain."""
    seconds: dict[int, list[float]] = {3: [], 12: []}
    wall: dict[int, list[float]] = {3: [], 12: []}
    events: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for layers in seconds:
            save(Path(folder) / f"{layers}.safetensors", Model(build_network(layers)))
        for run in range(runs + 1):  # the first one compiles
            for layers, figures in seconds.items():
                # Two lengths: their difference has neither start nor end in it.
                short, full = (_run(Path(folder) / f"{layers}.safetensors", count) for count in (positions // 4, positions))
                ticks = full[1] - short[1]
                if run:
                    figures.append((full[0] - short[0]) / ticks / PES)
                    wall[layers].append((full[2] - short[2]) / ticks / PES)
                events[layers] = full[3]
    print(f"{PES} PEs of {UNITS} units, {positions} positions, {runs} runs of each; medians, us a PE and tick")
    print("populations   CPU   wall  active units")
    for layers in seconds:
        cpu_us, wall_us = (1e6 * statistics.median(figures[layers]) for figures in (seconds, wall))
        print(f"{layers:11} {cpu_us:5.1f}  {wall_us:5.1f}  {100 * events[layers]:10.1f} %")
    ratio = statistics.median(seconds[12]) / statistics.median(seconds[3])
    print(f"ratio of CPU {ratio:.2f} (at most {MOST})")
    return ratio


def _run(checkpoint: Path, positions: int) -> tuple[float, int, float, float]:
    """Run; return the processor's seconds, ticks, seconds from first to last tick, and the share of units that were active."""
    before_s = machine_cpu_s()
    outcome = Launcher(Options(checkpoint=str(checkpoint), tokens=positions, pes=PES), lambda _: None, lambda _: None).run()
    cpu_s = machine_cpu_s() - before_s
    assert outcome.report is not None and outcome.problem is None, outcome.problem
    report = outcome.report
    assert report["conservation"]["wrong"] == [] and report["counters"]["packets_dropped"] == 0
    assert report["events"]["positions"] == positions
    emulation = report["emulation"]
    active = report["events"]["count"] / (positions * PES * UNITS)
    return cpu_s, emulation["ticks"], emulation["run_s"], active


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.graphs", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--positions", type=int, default=400)
    parser.add_argument("--runs", type=int, default=5)
    flags = parser.parse_args()
    raise SystemExit(measure(flags.positions, flags.runs) > MOST)
