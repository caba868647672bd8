"""A class for each sample, read off the output: the one that fired most, or whose membrane was highest; ties are told.

Of the first lane it keeps what is shown while a run goes on, and of the first sample what the page shows: a layer's spikes and,
where one is asked for, a membrane.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from host.workloads.contract import Metric, Outputs, Progress, SaveRow, only_section
from host.workloads.section_events import sending_of
from host.workloads.snn import METRICS
from host.workloads.snn.results import Answer, Setting, StepTimes, compose_result, sleep_w
from host.workloads.snn.source import SpikeSource
from models.network import F64, Array, Network
from noc.packet import Section

_MOST_DRAWN = 60_000  # spikes of the page's raster
_WINDOW = 64  # steps of the raster that the monitor shows
_BANDS = 48  # rows of it: units next to each other share one


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What is shown of a run: a layer's spikes, and where there is one the membrane of a unit of a layer."""

    layer: int
    membrane: tuple[int, int] | None = None


class SpikeReadout:
    """Adds up what the output says of each sample of `source`, and keeps the answers.

    `how`: "counts", or of a membrane "mean", "last" or "max". `beside` returns the classes that the network before quantising gave
    each sample, None without it; `damages` one line for each file that could not be read. For `--save logits` it has the
    `scores` (classes,) of each sample after each step.
    """

    saves = ("logits",)

    def __init__(
        self, network: Network, source: SpikeSource, setting: Setting, shown: Shown, how: str,
        beside: Callable[[], list[int]] | None,
    ) -> None:  # fmt: skip
        self._source, self._setting, self._shown, self._how, self._beside = source, setting, shown, how, beside
        self._sending, self._network = sending_of(network.populations[network.output], source.lanes), network
        self._scores = np.zeros((source.lanes, self._sending.units))
        self._steps = self._answered = 0
        self._save: SaveRow | None = None
        self.answers: list[Answer] = []
        self.watched = frozenset({shown.layer})
        self._drawn: list[list[int]] = []  # of the first sample: units that fired, by step
        self._traced: list[float] = []
        self._recent: dict[int, Array] = {}  # position -> units that fired in the first lane
        self._v: dict[int, float] = {}
        self.times = StepTimes(setting.timer_us)

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take what the output says at one position; after a sample's last step, its class."""
        source, lanes = self._source, self._source.lanes
        turn, step = divmod(position, source.steps)
        rows = self._sending.spread(only_section(outputs), lanes).astype(np.float64)
        running = min(lanes, len(source.known) - turn * lanes)
        self._answered = position + 1
        self._steps += running
        if step == 0:
            self._scores[:] = -np.inf if self._how == "max" else 0.0
        self._scores = self._added(rows)
        for lane in range(running):
            number, scores = turn * lanes + lane, self._scores[lane]
            if self._how == "mean":
                scores = scores / (step + 1)
            if self._save is not None:
                self._save("logits", "scores", number, step, scores)
            if step == source.steps - 1:
                best = class_of(scores)
                tied = bool((scores == scores[best]).sum() > 1)
                self.answers.append(
                    Answer(*source.known[number], prediction=best, tie=tied, scores=[float(score) for score in scores])
                )

    def _added(self, rows: F64) -> F64:
        if self._how == "last":
            return rows
        return np.maximum(self._scores, rows) if self._how == "max" else self._scores + rows

    def see_events(self, section: Section) -> None:
        """Take the spikes of the layer that is shown at a position, and keep them."""
        units = self._network.populations[section.population].units
        keys = np.frombuffer(section.keys, "<u4")
        fired = keys[: np.searchsorted(keys, units)]  # of the first lane
        turn, step = divmod(section.position, self._source.steps)
        self._recent[section.position] = fired
        self._recent.pop(section.position - _WINDOW, None)
        if turn == 0 and step == len(self._drawn):
            room = _MOST_DRAWN - sum(map(len, self._drawn))
            self._drawn.append(fired[:room].tolist())

    def observe(self, position: int, layer: int, fields: Mapping[str, Array]) -> None:
        """Take the membranes of a layer at a position."""
        if self._shown.membrane is None or layer != self._shown.membrane[0]:
            return
        value = float(fields["v"][0, self._shown.membrane[1]])
        self._v[position] = value
        self._v.pop(position - _WINDOW, None)
        if position < self._source.steps and position == len(self._traced):
            self._traced.append(value)

    def begin_step_times(self) -> Callable[[F64], None]:
        """Return what takes how long the positions last on the chip, in order from the first."""
        self.times = StepTimes(self._setting.timer_us)
        return self.times.add

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand the scores after every step to `save`, too."""
        self._save = save

    def progress(self) -> Progress:
        """Return how many steps came through, the accuracy so far, and the sample that the first lane runs."""
        return Progress(self._steps, self._source.limit * self._source.steps, [self._accuracy()], self._watch())

    def result(self) -> dict[str, Any]:
        """Return classes, confusion and predictions, the raster of the first sample, and what was printed of the events."""
        populations, shown = self._network.populations, self._shown
        raster = {
            "layer": populations[shown.layer].name, "units": populations[shown.layer].units, "spikes": self._drawn,
            "cut": sum(map(len, self._drawn)) >= _MOST_DRAWN,
        }  # fmt: skip
        membrane = None
        if shown.membrane is not None:
            layer, unit = shown.membrane
            threshold = populations[layer].vectors.get("threshold")
            membrane = {
                "layer": populations[layer].name, "unit": unit, "v": self._traced,
                "threshold": None if threshold is None else float(threshold[unit]),
            }  # fmt: skip
        return compose_result(
            self._setting, self.answers, beside=self._beside() if self._beside else None, steps=self._steps,
            layers=[populations[n].name for n in self._network.layers], raster=raster, membrane=membrane,
            times=self.times, host_s=self._source.host_s,
        )  # fmt: skip

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:
        """Return accuracy and ties, spikes a step, and modelled time and energy of a step and a sample."""
        result, steps, ties = self.result(), self._steps, sum(one.tie for one in self.answers)
        metrics = [self._accuracy(), METRICS["ties"]._replace(value=float(ties), note=f"of {len(self.answers)} samples")]
        if result["float_accuracy"] is not None:
            agree = f"{result['float_agreement']} of {result['samples']} samples get the same class"
            metrics.append(METRICS["float_accuracy"]._replace(value=100 * result["float_accuracy"], note=agree))
        if not steps or not cost:
            return metrics
        membranes = 0 if self._how == "counts" else self._sending.units
        spikes = cost["work"]["events"] / steps - membranes
        metrics.append(METRICS["spikes"]._replace(value=spikes, note="of all neurons, a sample"))
        metrics.append(METRICS["synaptic_events"]._replace(value=cost["work"]["macs"] / steps))
        energy_j = cost["energy_j"] / steps
        metrics.append(
            METRICS["sample_energy"]._replace(value=1e3 * energy_j * self._source.steps, note=f"{self._source.steps} steps")
        )
        timer_s = self._setting.timer_us * 1e-6
        asleep_j = max(timer_s - self.times.mean_s, 0.0) * sleep_w(cost) / self._source.lanes
        metrics.append(METRICS["timer_energy"]._replace(value=1e3 * (energy_j + asleep_j), note=f"{self._setting.timer_us:g} us"))
        note = f"of {self.times.steps:,}, the longest {1e3 * self.times.longest_s:.3f} ms"
        return [*metrics, METRICS["overruns"]._replace(value=float(self.times.overruns), note=note)]

    def snapshot(self) -> bytes:
        """Return the answers, the scores of the samples that run, and what is shown."""
        state = [
            [list(one) for one in self.answers], self._scores.tobytes().hex(), self._steps, self._answered, self._drawn,
            self._traced, {at: fired.tolist() for at, fired in self._recent.items()}, self._v,
        ]  # fmt: skip
        return json.dumps(state).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot; the source goes first."""
        answers, scores, self._steps, self._answered, self._drawn, self._traced, recent, v = json.loads(snapshot)
        self._recent = {int(at): np.array(fired, np.uint32) for at, fired in recent.items()}
        self._v = {int(at): value for at, value in v.items()}
        self.answers = [Answer(*one) for one in answers]
        self._scores = np.frombuffer(bytes.fromhex(scores)).reshape(self._scores.shape).copy()

    def _accuracy(self) -> Metric:
        known = [one for one in self.answers if one.label is not None]
        correct = sum(one.prediction == one.label for one in known)
        value = 100 * correct / len(known) if known else None
        return METRICS["accuracy"]._replace(value=value, note=f"{correct} of {len(known)} samples")

    def _watch(self) -> dict[str, Any]:
        """Return the first lane's sample as it is now."""
        source, last = self._source, max(self._answered - 1, 0)
        turn, step = divmod(last, source.steps)
        number = min(turn * source.lanes, len(source.known) - 1)
        first = last - step
        scores = self._scores[0] / (step + 1) if self._how == "mean" else self._scores[0]
        shown: dict[str, Any] = {
            "sample": number + 1, "samples": source.limit, "name": source.known[number].name, "label": source.known[number].label,
            "step": step + 1, "steps": source.steps, "scores": [float(x) if np.isfinite(x) else 0.0 for x in scores],
            "raster": [self._shares_of(self._recent[at]) for at in sorted(self._recent) if first <= at <= last],
        }  # fmt: skip
        if self._shown.membrane is not None:
            shown["membrane"] = [self._v[at] for at in sorted(self._v) if first <= at <= last]
        return shown

    def _shares_of(self, fired: Array) -> list[float]:
        """Return the share of each band's units that fired."""
        units = self._network.populations[self._shown.layer].units
        bands = min(_BANDS, units)
        shares: Array = np.bincount(fired.astype(np.int64) * bands // units, minlength=bands) * (bands / units)
        return [float(share) for share in shares]


def class_of(scores: F64) -> int:
    """Return the class with the highest score, of equals the first; a score that is no number is the lowest."""
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
