"""The result of a run of a spiking network: classes, confusion and predictions, beside the network before quantising, and how its
steps go with the chip's timer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from host.show.confusion import confusion_of
from host.show.status import finite
from models.network import F64

PUBLISHED = {"step_mj": 0.765, "accuracy": 94.13, "pes": 147, "steps": 600, "weights": 25_504}
"""Arfa et al. (arXiv:2504.06748), second-hand: 459 mJ for 600 steps of 1 ms at 300 MHz, and the accuracy of 8 bits on chip."""


class Answer(NamedTuple):
    """What came out for a sample: its name, who is seen, its class where it is known, the class it got, whether another class was
    as high, and the scores of all classes.
    """

    name: str
    subject: str
    label: int | None
    prediction: int
    tie: bool
    scores: Sequence[float]


class Setting(NamedTuple):
    """What is known of a run before its first answer; `lines` and `damages` grow as files are read; `record` is the trainer's."""

    classes: tuple[str, ...]
    source: str
    terms: str
    split: str
    asked: int | None
    steps: int
    how: str
    timer_us: float
    bits: str
    weights: int
    lines: Sequence[str]
    damages: Sequence[str]
    record: Mapping[str, Any]


class StepTimes:
    """How long positions last on the chip, and how many of them longer than its timer's step."""

    def __init__(self, timer_us: float) -> None:
        self._timer_us = timer_us
        self.steps = self.overruns = 0
        self.total_s = self.longest_s = 0.0

    def add(self, seconds: F64) -> None:
        """Take the next positions."""
        self.steps += len(seconds)
        self.overruns += int((1e6 * seconds > self._timer_us).sum())
        self.total_s += float(seconds.sum())
        self.longest_s = max(self.longest_s, float(seconds.max(initial=0.0)))

    @property
    def mean_s(self) -> float:
        """Seconds of a position on average."""
        return self.total_s / self.steps if self.steps else 0.0


def compose_result(
    setting: Setting, answers: Sequence[Answer], *, beside: Sequence[int] | None, steps: int, layers: Sequence[str],
    raster: Mapping[str, Any], membrane: Mapping[str, Any] | None, times: StepTimes, host_s: float,
) -> dict[str, Any]:  # fmt: skip
    """Return the `result` block of the report; `steps` counts those of all samples, of one that broke off, too."""
    known = [one for one in answers if one.label is not None]
    confusion = confusion_of(((one.label, one.prediction) for one in answers if one.label is not None), len(setting.classes))
    others = list(beside[: len(answers)]) if beside is not None else [None] * len(answers)
    pairs = list(zip(answers, others, strict=True))
    right = [other == one.label for one, other in pairs if one.label is not None]
    return {
        "samples": len(answers), "samples_asked": setting.asked,
        "accuracy": sum(one.prediction == one.label for one in known) / len(known) if known else None,
        "float_accuracy": sum(right) / len(right) if beside is not None and right else None,
        "float_agreement": sum(one.prediction == other for one, other in pairs) if beside is not None else None,
        "ties": sum(one.tie for one in answers), "answer": setting.how, "confusion": confusion, "classes": list(setting.classes),
        "predictions": [
            {
                "name": one.name, "subject": one.subject, "label": one.label, "prediction": one.prediction, "tie": one.tie,
                "float": other, "scores": [finite(score) for score in one.scores],
            }
            for one, other in pairs
        ],
        "damages": list(setting.damages), "reading": list(setting.lines), "source": setting.source, "terms": setting.terms,
        "split": setting.split, "steps_per_sample": setting.steps, "steps": steps, "layers": list(layers), "bits": setting.bits,
        "weights": setting.weights,
        "timer": {
            "timer_us": setting.timer_us, "overruns": times.overruns, "steps": times.steps, "longest_s": times.longest_s,
            "mean_s": times.mean_s,
        },
        "raster": dict(raster), "membrane": None if membrane is None else dict(membrane),
        "trained": _trained(setting.record), "host_s": host_s, "note": "",
    }  # fmt: skip


def _trained(record: Mapping[str, Any]) -> list[str]:
    """Return what the trainer measured on its own test set, a line each."""
    shares = record.get("accuracy")
    known = {str(name): finite(share) for name, share in shares.items()} if isinstance(shares, Mapping) else {}
    known["a regression on the mean of the spikes"] = finite(record.get("mean_frame_accuracy"))
    return [f"{name}: {100 * share:.1f} %" for name, share in known.items() if share is not None]


def sleep_w(cost: Mapping[str, Any]) -> float:
    """Return the watts that the chip draws while all PEs sleep, out of a run's price."""
    parts = cost["energy_parts_j"]
    return float((parts.get("floor", 0.0) + parts.get("sleep", 0.0)) / cost["time_s"]) if cost["time_s"] else 0.0


def by_layer(report: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """Return each layer's name, spikes and synaptic events, a step of a sample; a membrane that answers is no spike."""
    result, steps = report["result"], max(report["result"]["steps"], 1)
    spikes = list(report["events"]["by_layer"])
    if result["answer"] != "counts":
        spikes[-1] = 0
    columns = result["layers"], spikes, report["counters"]["macs_by_layer"]
    return [(name, spikes / steps, macs / steps) for name, spikes, macs in zip(*columns, strict=True)]


def beside_published(report: Mapping[str, Any]) -> list[str]:
    """Return in sentences what the published network spent and got, and what of it can be compared."""
    result, cost = report["result"], report.get("modelled")
    lines = [
        f"published: {PUBLISHED['step_mj']} mJ a step and {PUBLISHED['accuracy']} % (8 bits on {PUBLISHED['pes']} PEs, 300 MHz, "
        f"{PUBLISHED['steps']} steps of 1 ms, {PUBLISHED['weights']:,} weights; second-hand)"
    ]
    same = result["weights"] == PUBLISHED["weights"]
    size = "the same number of weights" if same else f"{result['weights']:,} weights"
    if cost:
        mesh = f"{report['mapping']['pes']} PEs"
        lines.append(
            f"comparable: energy a step in order of magnitude, {size}, {mesh}; not: its step waits for a 1 ms timer, and its "
            f"spikes a step are not published"
        )
    lines.append("not comparable: accuracy, which is of DVS128 Gesture there; weights and rates there are not public")
    return lines
