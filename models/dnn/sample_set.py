"""Samples that a DNN's checkpoint may carry: what it is scored on where a user brings nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.network import I64, Array, ModelError


@dataclass(frozen=True, kw_only=True)
class SampleSet:
    """`inputs` by input's name, each (samples, ...) without the batch of one; `labels` (samples,), or (samples, *places) where the
    first output has shape (1, *places, classes): each the place of its name in `classes`, -1 for what is not judged. `about`: where
    the samples come from and under which licence, one line.
    """

    inputs: Mapping[str, Array]
    labels: I64
    classes: tuple[str, ...]
    about: str

    def __len__(self) -> int:
        return len(self.labels)


def check_sample_set(samples: SampleSet, shapes: Mapping[str, tuple[int, ...]], output: tuple[int, ...]) -> None:
    """Raise ModelError where samples do not fit the inputs of a network, whose `shapes` by name have the batch in front, or their
    labels the classes or its first output, of the shape `output`.
    """
    if set(samples.inputs) != set(shapes):
        raise ModelError(f"its samples are of {', '.join(samples.inputs)[:80]}; the network hears {', '.join(shapes)[:80]}")
    for name, array in samples.inputs.items():
        shape = shapes[name][1:] if shapes[name][:1] == (1,) else shapes[name]
        if array.shape != (len(samples), *shape):
            raise ModelError(f"its samples of {name[:60]!r} have shape {array.shape}; needs {(len(samples), *shape)}")
    if not len(samples) or not all(isinstance(name, str) for name in samples.classes):
        raise ModelError("its samples have no labels, or classes without a name")
    check_labels(samples.labels, len(samples.classes), output)


def check_labels(labels: I64, classes: int, output: tuple[int, ...]) -> None:
    """Raise ModelError where labels, int64, are neither (samples,) nor (samples, *places) for the first output's shape (1, *places,
    n), or not of the `classes`, of which a place has no more than n.
    """
    if labels.ndim == 0 or labels.shape[1:] not in ((), output[1:-1]):
        raise ModelError(f"its labels have shape {labels.shape}; needs (samples,) or one a place of the output {output}")
    least = 0 if labels.ndim == 1 else -1
    classes = classes if labels.ndim == 1 else min(classes, output[-1])
    if not least <= labels.min() <= labels.max() < classes:
        raise ModelError(f"its samples have labels beyond its {classes} classes")
