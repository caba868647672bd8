"""What a run on recordings has to tell: the `dvs` block of the report, and its lines in the summary.

`dvs` classifies with the emulated chip; what torch made of the same samples comes from the checkpoint's record, where the
trainer has left it, so that no torch is needed here. Not known here: frames, scores and how they come about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Answered(Protocol):
    """A sample and what came out for it (`host.workloads.dvs.workload.Answer`)."""

    @property
    def name(self) -> str:
        """Recording, span and slice."""

    @property
    def subject(self) -> str:
        """Who is seen."""

    @property
    def label(self) -> int:
        """The true class."""

    @property
    def prediction(self) -> int:
        """The class that was found."""

    @property
    def scores(self) -> Any:
        """(classes,) float32."""


class Setting(NamedTuple):
    """What is known of a run on recordings before its first answer."""

    classes: tuple[str, ...]
    source: str
    terms: str
    split: str
    asked: int | None
    frames: int
    bin_us: int
    slice_us: int
    record: Mapping[str, Any]


def block(setting: Setting, answers: Sequence[Answered], damages: Sequence[str], frames: int, host_s: float) -> dict[str, Any]:
    """Return the `dvs` block; `frames` is how many frames of samples came through in all, partial samples included."""
    count = len(setting.classes)
    confusion = [[0] * count for _ in range(count)]
    for answer in answers:
        confusion[answer.label][answer.prediction] += 1
    correct = sum(answer.prediction == answer.label for answer in answers)
    theirs, note = _torch(setting, answers) if answers else (None, "no sample came through")
    pairs = [(theirs[number] if theirs else None, answer) for number, answer in enumerate(answers)]
    right = sum(other is not None and other.prediction == answer.label for other, answer in pairs)
    agree = sum(other is not None and other.prediction == answer.prediction for other, answer in pairs)
    return {
        "samples": len(answers),
        "samples_asked": setting.asked,
        "accuracy": correct / len(answers) if answers else None,
        "confusion": confusion,
        "classes": list(setting.classes),
        "baseline_accuracy": right / len(answers) if theirs else None,
        "baseline_agreement": agree if theirs else None,
        "baseline_score_difference": _farthest(theirs, answers) if theirs else None,
        "baseline_note": note or None,
        "mean_frame_accuracy": _number(setting.record.get("mean_frame_accuracy")),
        "predictions": [
            {
                "name": answer.name,
                "subject": answer.subject,
                "label": answer.label,
                "prediction": answer.prediction,
                "baseline": other.prediction if other else None,
                "scores": [_number(float(score)) for score in answer.scores],
            }
            for other, answer in pairs
        ],
        "damages": list(damages),
        "source": setting.source,
        "terms": setting.terms,
        "split": setting.split,
        "frames_per_sample": setting.frames,
        "frames": frames,
        "bin_us": setting.bin_us,
        "slice_us": setting.slice_us,
        "host_s": host_s,
    }


def per_sample(dvs: Mapping[str, Any], cost: Mapping[str, Any] | None) -> dict[str, float | None]:
    """Return modelled time and energy of a sample: those of the run over the samples that went through, by their frames."""
    if not cost or not dvs["frames"]:
        return {"time_per_sample_s": None, "energy_per_sample_j": None}
    samples = dvs["frames"] / dvs["frames_per_sample"]
    return {"time_per_sample_s": cost["time_s"] / samples, "energy_per_sample_j": cost["energy_j"] / samples}


def lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:
    """Return the summary's lines; `published` is Table III (`published.toml`)."""
    dvs, made = report["dvs"], []
    where = f"{dvs['source']}, {dvs['split']} split"
    short = f" of {dvs['samples_asked']} asked for" if dvs["samples"] < (dvs["samples_asked"] or 0) else ""
    if dvs["accuracy"] is not None:
        right = sum(row[i] for i, row in enumerate(dvs["confusion"]))
        made.append(f"accuracy     {100 * dvs['accuracy']:.1f} %: {right} of {dvs['samples']} samples{short}; {where}")
        made.append(f"beside it    {beside(dvs)}")
        pairs = "; ".join(f"{n} x {was} as {seen}" for n, was, seen in confused(dvs))
        made.append(f"confused     {pairs or 'no pair of classes'}")
    else:
        made.append(f"accuracy     none: no sample came through; {where}")
    made += [f"damaged      {line}" for line in dvs["damages"][:10]]
    if len(dvs["damages"]) > 10:
        made.append(f"damaged      and {len(dvs['damages']) - 10} more, in report.json")
    if dvs.get("time_per_sample_s"):
        chip, lanes = published["spinnaker2"], report["mapping"]["lanes"]
        paper = [
            f"{time:.2f} ms and {1e3 * energy:.0f} mJ at batch {batch}"
            for batch, time, energy in zip(published["batches"], chip["time_ms"], chip["energy_j"], strict=True)
        ]
        made.append(
            f"a sample     {1e3 * dvs['time_per_sample_s']:.2f} ms, {1e3 * dvs['energy_per_sample_j']:.1f} mJ on the chip at batch "
            f"{lanes} ({dvs['frames_per_sample']} frames; the paper's Table III: {', '.join(paper)})"
        )
    return made


def beside(dvs: Mapping[str, Any]) -> str:
    """Return in words what torch and a classifier of the mean frame make of it."""
    if dvs["baseline_accuracy"] is None:
        torch = f"the same network in torch: {dvs['baseline_note']}"
    else:
        agree, count = dvs["baseline_agreement"], dvs["samples"]
        same = "the same class for every sample" if agree == count else f"ANOTHER class for {count - agree} of {count} samples"
        apart = dvs["baseline_score_difference"]
        near = f", scores within {apart:.1g}" if apart is not None else ""
        torch = f"the same network in torch {100 * dvs['baseline_accuracy']:.1f} %, {same}{near}"
    mean = dvs["mean_frame_accuracy"]
    return torch + (f"; a logistic regression on the mean frame {100 * mean:.1f} % (whole test set)" if mean is not None else "")


def confused(dvs: Mapping[str, Any], most: int = 3) -> list[tuple[int, str, str]]:
    """Return the pairs that were taken for each other most: (how often, true class, class found)."""
    names, found = dvs["classes"], []
    for was, row in enumerate(dvs["confusion"]):
        found += [(count, names[was], names[seen]) for seen, count in enumerate(row) if count and seen != was]
    return sorted(found, key=lambda pair: -pair[0])[:most]


class _Torch(NamedTuple):
    """What torch made of one sample: its class, and the scores where they are on record."""

    prediction: int
    scores: Sequence[float] | None


def _torch(setting: Setting, answers: Sequence[Answered]) -> tuple[list[_Torch] | None, str]:
    """Return what the checkpoint's record says of these samples, which has the test set in its order; or None, and why."""
    record = setting.record
    predictions, labels, scores = (record.get(key) for key in ("torch_predictions", "labels", "torch_scores"))
    if not isinstance(predictions, list):
        return None, "the checkpoint has no record of torch"
    if record.get("events") != setting.terms or setting.split != "test":
        return None, f"the checkpoint's record of torch is of other samples ({record.get('events')}, test)"
    count = len(answers)
    if len(predictions) < count or not all(isinstance(value, int) for value in predictions[:count]):
        return None, f"the checkpoint's record of torch has {len(predictions)} samples"
    if not isinstance(labels, list) or labels[:count] != [answer.label for answer in answers]:
        return None, "the checkpoint's record of torch is of samples in another order"
    known = scores if isinstance(scores, list) and len(scores) >= count else [None] * count
    return [_Torch(*pair) for pair in zip(predictions[:count], known[:count], strict=True)], ""


def _farthest(theirs: Sequence[_Torch], answers: Sequence[Answered]) -> float | None:
    """Return the largest difference between a score here and torch's; None where those are not on record."""
    farthest = 0.0
    for other, answer in zip(theirs, answers, strict=True):
        if other.scores is None or len(other.scores) != len(answer.scores):
            return None
        farthest = max(farthest, *(abs(float(a) - float(b)) for a, b in zip(other.scores, answer.scores, strict=True)))
    return farthest if math.isfinite(farthest) else None


def _number(value: Any) -> float | None:
    """Return a number that JSON can hold, or None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
