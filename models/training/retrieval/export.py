"""From a trained S-LISTA to a file that `launch.py retrieval` runs: alphas from calibration, and what was measured beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from models.network import ModelError
from models.retrieval.file import load_unrolled, save_unrolled
from models.retrieval.network import Unrolled, alphas_for
from models.retrieval.scores import nmse_db
from models.retrieval.snapshots import make_snapshots
from models.training.retrieval.trainer import SNR_DB, Training

MODEL = "model.safetensors"
_CALIBRATED, _TUNED = 500, 100  # snapshots
_CALIBRATION_SEED, _TUNING_SEED = 1_000_001, 1_000_002  # of no training that has a seed below
_WEIGHTS = (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.12)  # lambda that ISTA is tried with
_TUNING_DB = 15.0


def finish(training: Training, seeds: list[dict[str, float]], out: Path, say: Callable[[str], object]) -> Path:
    """Write the model of a finished training, beside what came of all seeds; return its path."""
    settings, grid = training.settings, training.settings.grid
    model = Unrolled(grid, *training.arrays(), np.ones(settings.layers, np.float32))
    made = make_snapshots(grid, _CALIBRATED, targets=settings.targets, snr_db=SNR_DB, seed=_CALIBRATION_SEED)
    alphas = alphas_for(model.values(grid.matched_filter(made.received)))
    tuning = make_snapshots(grid, _TUNED, targets=settings.targets, snr_db=_TUNING_DB, seed=_TUNING_SEED)
    filtered = grid.matched_filter(tuning.received)
    errors = {weight: nmse_db(grid.solve(filtered, 200, weight), tuning.truth) for weight in _WEIGHTS}
    best = min(errors, key=lambda weight: errors[weight])
    record = {
        "settings": asdict(settings), "seed": training.seed, "seeds": seeds, "ista_weight": best, "ista_db": errors[best],
    }  # fmt: skip
    model = replace(model, alphas=alphas, record=record)
    save_unrolled(out / MODEL, model)
    say(f"alphas {', '.join(f'{alpha:g}' for alpha in alphas)}; ISTA: {errors[best]:.2f} dB with lambda {best:g}")
    say(f"wrote {out / MODEL}: seed {training.seed}")
    return out / MODEL


def measure(path: Path, samples: int, bits: list[int], say: Callable[[str], object]) -> None:
    """Say errors of a model's CNN, its conversions with K bits, and ISTA, on and off the grid."""
    model = load_unrolled(path)
    grid, weight = model.grid, float(model.record.get("ista_weight", 0.03))
    for off_grid in (False, True):
        for snr in (5.0, 10.0, 15.0, 20.0, 25.0):
            made = make_snapshots(grid, samples, targets=4, snr_db=snr, seed=1_000, off_grid=off_grid)
            filtered = grid.matched_filter(made.received)
            found = {"CNN": model.values(filtered)[-1]}
            for k in bits:
                for rounds in (True, False):
                    name = f"int8 K{k} {'half-up' if rounds else 'floor'}"
                    found[name] = model.of_steps(model.steps(filtered, k, rounds=rounds)[-1], model.layers - 1, k)
                found[f"float K{k} half-up"] = model.quantised_values(filtered, k)[-1]
            found |= {f"ISTA {steps}": grid.solve(filtered, steps, weight) for steps in (6, 200)}
            say(f"{'off' if off_grid else 'on'} grid, {snr:g} dB, {samples} snapshots")
            for name, x in found.items():
                say(f"  {name:18} {nmse_db(x, made.truth):7.2f} dB, detected {_share(x, made.truth):.1f} %")


def _share(found: np.ndarray, truth: np.ndarray) -> float:  # type: ignore[type-arg]
    from models.retrieval.scores import detected

    hits = np.array([detected(x, t) for x, t in zip(found, truth, strict=True)]).sum(axis=0)
    return 100 * float(hits[0]) / float(hits[1])


def check_bits(bits: list[int]) -> None:
    """Raise ModelError for a K that no neuron has."""
    if not bits or not all(1 <= k <= 16 for k in bits):
        raise ModelError(f"--k {bits}: needs whole numbers from 1 to 16")
