"""The result of a run on recordings: classes, confusion and predictions, beside what torch made of the same samples.

`dvs` classifies with the emulated chip; what torch made of the same samples comes from the checkpoint's record, where the
trainer has left it, so that no torch is needed here.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from host.show.confusion import confusion_of
from host.show.status import finite


class Answer(NamedTuple):
    """What came out for a sample: its name, who is seen, its true class, the class it got, and the scores of all classes."""

    name: str
    subject: str
    label: int
    prediction: int
    scores: Sequence[float]


class SampleCost(NamedTuple):
    """Modelled time and energy of a sample."""

    time_s: float
    energy_j: float


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


def compose_result(
    setting: Setting, answers: Sequence[Answer], damages: Sequence[str], *, frames: int, host_s: float
) -> dict[str, Any]:
    """Return the `result` block of the report; `frames` counts those of all samples, of a sample that broke off, too."""
    confusion = confusion_of(((answer.label, answer.prediction) for answer in answers), len(setting.classes))
    correct = sum(answer.prediction == answer.label for answer in answers)
    by_torch, note = _torch(setting, answers) if answers else (None, "no sample came through")
    pairs = [(by_torch[number] if by_torch else None, answer) for number, answer in enumerate(answers)]
    overflowed = sum(any(not math.isfinite(score) for score in answer.scores) for answer in answers)
    right = sum(other is not None and other.prediction == answer.label for other, answer in pairs)
    agree = sum(other is not None and other.prediction == answer.prediction for other, answer in pairs)
    return {
        "samples": len(answers),
        "samples_asked": setting.asked,
        "accuracy": correct / len(answers) if answers else None,
        "confusion": confusion,
        "classes": list(setting.classes),
        "baseline_accuracy": right / len(answers) if by_torch else None,
        "baseline_agreement": agree if by_torch else None,
        "baseline_score_difference": _farthest(by_torch, answers) if by_torch else None,
        "baseline_note": note or None,
        "mean_frame_accuracy": finite(setting.record.get("mean_frame_accuracy")),
        "predictions": [
            {
                "name": answer.name,
                "subject": answer.subject,
                "label": answer.label,
                "prediction": answer.prediction,
                "baseline": other.prediction if other else None,
                "scores": [finite(score) for score in answer.scores],
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
        "note": f"{overflowed} of {len(answers)} samples have scores that are no finite numbers" if overflowed else "",
    }


def sample_cost(result: Mapping[str, Any], cost: Mapping[str, Any] | None) -> SampleCost | None:
    """Return what a sample costs: the run over the samples that went through, by their frames; None where nothing is known."""
    if not cost or not result["frames"]:
        return None
    samples = result["frames"] / result["frames_per_sample"]
    return SampleCost(cost["time_s"] / samples, cost["energy_j"] / samples)


def compare_in_words(result: Mapping[str, Any]) -> str:
    """Return in words what torch and a classifier of the mean frame make of it."""
    if result["baseline_accuracy"] is None:
        torch = f"the same network in torch: {result['baseline_note']}"
    else:
        agree, count = result["baseline_agreement"], result["samples"]
        same = "the same class for every sample" if agree == count else f"ANOTHER class for {count - agree} of {count} samples"
        apart = result["baseline_score_difference"]
        near = f", scores within {apart:.1g}" if apart is not None else ""
        torch = f"the same network in torch {100 * result['baseline_accuracy']:.1f} %, {same}{near}"
    mean = result["mean_frame_accuracy"]
    return torch + (f"; a logistic regression on the mean frame {100 * mean:.1f} % (whole test set)" if mean is not None else "")


def confused_pairs(result: Mapping[str, Any], most: int = 3) -> list[tuple[int, str, str]]:
    """Return the pairs that were taken for each other most: (how often, true class, class found)."""
    names, pairs = result["classes"], []
    for was, row in enumerate(result["confusion"]):
        pairs += [(count, names[was], names[seen]) for seen, count in enumerate(row) if count and seen != was]
    return sorted(pairs, key=lambda pair: -pair[0])[:most]


class _Torch(NamedTuple):
    """What torch made of one sample: its class, and the scores where they are on record."""

    prediction: int
    scores: Sequence[float] | None


def _torch(setting: Setting, answers: Sequence[Answer]) -> tuple[list[_Torch] | None, str]:
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


def _farthest(by_torch: Sequence[_Torch], answers: Sequence[Answer]) -> float | None:
    """Return the largest difference between a score here and torch's; None where those are not on record."""
    farthest = 0.0
    for other, answer in zip(by_torch, answers, strict=True):
        if other.scores is None or len(other.scores) != len(answer.scores):
            return None
        farthest = max(farthest, *(abs(a - float(b)) for a, b in zip(other.scores, answer.scores, strict=True)))
    return finite(farthest)
