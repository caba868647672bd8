"""What a run on snapshots found: against the truth, the CNN that it was converted from, and ISTA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.network import Array
from models.retrieval.grid import C64
from models.retrieval.network import Unrolled
from models.retrieval.scores import detected, nmse_db

ISTA_WEIGHT = 0.05  # lambda of ISTA's 1-norm where a model's record has none
STEPS = (6, 200)
_MOST_LISTED, _LEAST_PART = 20, 0.25  # peaks of a snapshot; of the largest amplitude
_MOST_SHOWN = 200  # snapshots whose frequencies the report lists
_LEAST = 1e-30
_SWEPT, _MOST_SWEPT = (1, 2, 4, 6, 8, 10, 12, 16), 50  # K; snapshots


@dataclass(frozen=True, eq=False)
class Compared:
    """What a run's answers are held against: `filtered` (many, *cells), `truth` or None, `snr` (many,) and the K-bit setting."""

    model: Unrolled
    filtered: C64
    truth: C64 | None
    snr: Sequence[int]
    bits: int
    rounds: bool
    int8: bool

    def rows(self, answers: C64) -> list[dict[str, Any]]:
        """Return a row of errors and detections for each SNR, of the snapshots that came through."""
        if self.truth is None or not len(answers):
            return []
        done, weight = len(answers), float(self.model.record.get("ista_weight", ISTA_WEIGHT))
        filtered, truth = self.filtered[:done], self.truth[:done]
        methods = {"run": answers, "cnn": self.model.values(filtered)[-1]}
        methods |= {f"ista{steps}": self.model.grid.solve(filtered, steps, weight) for steps in STEPS}
        rows, snr = [], np.array(self.snr[:done])
        for level in dict.fromkeys(self.snr[:done]):
            chosen = snr == level
            row: dict[str, Any] = {"snr": int(level), "snapshots": int(chosen.sum())}
            for name, found in methods.items():
                hits = np.array([detected(x, t) for x, t in zip(found[chosen], truth[chosen], strict=True)]).sum(axis=0)
                row[name] = {"nmse_db": nmse_db(found[chosen], truth[chosen]), "detected": int(hits[0]), "targets": int(hits[1])}
            rows.append(row)
        return rows

    def by_layer(self, done: int) -> list[dict[str, float]]:
        """Return the error of each layer of the integer CNN against that of float32: in dB, the largest of a part, and the bound of
        one value alone; and its saturations.
        """
        if not self.int8 or not done:
            return []
        values = self.model.values(self.filtered[:done])
        layers = self.model.quantised_layers(self.filtered[:done], self.bits, rounds=self.rounds)
        rows = []
        for layer, (want, have) in enumerate(zip(values, layers, strict=True)):
            error = self.model.of_steps(have.steps, layer, self.bits) - want
            step = float(self.model.alphas[layer]) / 2**self.bits
            largest = max(float(np.abs(error.real).max()), float(np.abs(error.imag).max()))
            bound = step / (2 if self.rounds else 1)
            rows.append({"db": _decibel(error, want), "largest": largest, "bound": bound, "saturations": have.saturations})
        return rows

    def sweep(self, done: int) -> list[dict[str, float | None]]:
        """Return what integer CNNs of other K make of the first snapshots: its error against the CNN of float32 and the truth."""
        done = min(done, _MOST_SWEPT)
        if not done:
            return []
        want, rows = self.model.values(self.filtered[:done])[-1], list[dict[str, float | None]]()
        for bits in _SWEPT:
            have = self.model.steps(self.filtered[:done], bits, rounds=self.rounds)[-1]
            estimates = self.model.of_steps(have, self.model.layers - 1, bits)
            nmse = nmse_db(estimates, self.truth[:done]) if self.truth is not None else None
            rows.append({"k": bits, "conversion_db": _decibel(estimates - want, want), "nmse_db": nmse})
        return rows

    def conversion_db(self, answers: C64) -> float | None:
        """Return the error of the run against the CNN of float32 that it was converted from, in dB; None without answers."""
        if not len(answers):
            return None
        want = self.model.values(self.filtered[: len(answers)])[-1]
        return _decibel(answers - want, want)

    def differing(self, steps: Array) -> int | None:
        """Return how many of the run's numbers, (many, 2 cells) steps, differ from the integer CNN's; None with float weights."""
        if not self.int8:
            return None
        want = self.model.steps(self.filtered[: len(steps)], self.bits, rounds=self.rounds)[-1] if len(steps) else steps
        return int(np.count_nonzero(want != steps))


def _decibel(error: C64, want: C64) -> float:
    """Return the power of an error over that of what is wanted, in dB."""
    power, of = (float(np.sum(np.abs(x.astype(np.complex128)) ** 2)) for x in (error, want))
    return float(10 * np.log10(max(power, _LEAST) / max(of, _LEAST)))


def frequencies(answers: C64) -> list[list[dict[str, Any]]]:
    """Return the largest cells of each snapshot: frequency of each dimension in cycles a sample, amplitude and phase."""
    listed = []
    for x in answers[:_MOST_SHOWN]:
        sizes, peaks = np.abs(x), list[dict[str, Any]]()
        order = np.argsort(-sizes, axis=None, kind="stable")[:_MOST_LISTED]
        for place in order.tolist():
            cell = np.unravel_index(place, x.shape)
            if sizes[cell] <= 0 or sizes[cell] < _LEAST_PART * sizes.max():
                break
            at = [float(c) / n for c, n in zip(cell, x.shape, strict=True)]
            peaks.append({"frequency": at, "amplitude": float(sizes[cell]), "phase": float(np.angle(x[cell]))})
        listed.append(peaks)
    return listed
