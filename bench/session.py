"""How long a step of a closed loop takes: `python -m bench.session`.

Networks: a torch.nn.GRU of 8 inputs and two layers of 24 units, mirrored (8 > 48 > 48), on 8 PEs, as processes and in one process;
and one layer of 16 units (8 > 16) on one PE in one process. Each figure is the median over blocks of steps of a block's
time a step.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import gennaker as gk
from bench.targets import Figures, verdicts
from models.checkpoint import Model, save
from models.network import Array
from models.seeded import seeded_egru

_STEPS = 50


def measure() -> Figures:
    """Return milliseconds a step, by the keys of `TARGETS`."""
    with tempfile.TemporaryDirectory() as folder:
        gru, layer = Path(folder) / "gru.safetensors", Path(folder) / "layer.safetensors"
        save_file(drawn_gru(8, 24, 2), gru)
        save(layer, Model(seeded_egru(8, (16,), 1.0, seed=1, threshold=0.1)))
        gru_plan = gk.load(gru).fit(pes=8, mapping="balanced", format="dense")
        layer_plan = gk.load(layer).fit(pes=1, mapping="balanced", format="dense")
    figures = {
        "step_processes": _step_ms(gru_plan, "zmq"),
        "step_here": _step_ms(gru_plan, "mem"),
        "step_small": _step_ms(layer_plan, "mem"),
    }
    names = "GRU 8 > 24 > 24 on 8 PEs, processes", "the same in one process", "16 units on one PE in one process"
    for name, value in zip(names, figures.values(), strict=True):
        print(f"a step: {name:<38}{value:8.3f} ms")
    return figures


def drawn_gru(inputs: int, units: int, layers: int) -> dict[str, Array]:
    """Return a state_dict of a torch.nn.GRU with weights as torch draws them."""
    rng, state = np.random.default_rng(1), dict[str, Array]()
    for layer in range(layers):
        width = units if layer else inputs
        for name, shape in (
            ("weight_ih", (3 * units, width)),
            ("weight_hh", (3 * units, units)),
            ("bias_ih", 3 * units),
            ("bias_hh", 3 * units),
        ):
            state[f"{name}_l{layer}"] = rng.uniform(-(units**-0.5), units**-0.5, shape).astype(np.float32)
    return state


def _step_ms(plan: gk.Plan, transport: str) -> float:
    vectors = np.random.default_rng(2).standard_normal((_STEPS, 8)).astype(np.float32)
    with plan.session(transport=transport) as chip:
        return median_step_ms(chip, vectors)


def median_step_ms(chip: gk.Session, vectors: Array, blocks: int = 40, warm: int = 200) -> float:
    """Return what a step takes, (steps, inputs) vectors a block, in milliseconds: the median over blocks, behind `warm` steps."""
    for n in range(warm):
        chip.step(vectors[n % len(vectors)])
    steps_s = []
    for _ in range(blocks):
        began = time.perf_counter()
        for vector in vectors:
            chip.step(vector)
        steps_s.append((time.perf_counter() - began) / len(vectors))
    return 1e3 * statistics.median(steps_s)


if __name__ == "__main__":
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    print(verdicts(measure()))
