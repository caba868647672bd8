"""What a network's samples are scored on: the class of each, or of each place of each, as of each word of a text."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from host.workloads.contract import Metric
from host.workloads.dnn import METRICS
from models.dnn.integer import IntegerNetwork
from models.dnn.reference import dequantised
from models.network import Array
from models.text.perplexity import perplexity_of


def classes_of(output: Array, places: Sequence[int]) -> Array:
    """Return the class of a sample, the place of its largest number, int64 (); of each of its places (*places) where it has some,
    along the last axis.
    """
    numbers = output.reshape(*places, -1)
    return np.asarray(numbers.argmax(axis=-1), np.int64)


class Scores:
    """The classes of `count` samples by a network's first output. `labels`: (samples,), or (samples, *places) with -1 where nothing
    is judged; None where they are not known.
    """

    def __init__(self, network: IntegerNetwork, count: int, labels: Array | None) -> None:
        self._network, self._labels = network, labels
        self._places = () if labels is None else labels.shape[1:]
        self.classes = np.zeros((count, *self._places), np.int64)
        self._nats = np.zeros(count)  # of the labels of each sample's places

    def take(self, sample: int, output: Array) -> None:
        """Take what the first output says of a sample, int8."""
        self.classes[sample] = classes_of(output, self._places)
        if self._labels is not None and self._places:
            labels = self._labels[sample].reshape(-1)
            judged = np.flatnonzero(labels >= 0)
            logits = (
                dequantised(self._network, self._network.outputs[0], output).reshape(len(labels), -1)[judged].astype(np.float64)
            )
            highest = logits.max(axis=1, keepdims=True)
            sums = np.log(np.exp(logits - highest).sum(axis=1)) + highest[:, 0]
            self._nats[sample] = float((sums - logits[np.arange(len(judged)), labels[judged]]).sum())

    def metrics(self, done: Array) -> list[Metric]:
        """Return the accuracy of the samples `done` (n,), and where each place has a label their perplexity: e to the mean of what
        the labels' likelihoods lack, in nats; infinite where no number holds it.
        """
        if self._labels is None or not len(done):
            return []
        right, judged = right_of(self.classes[done], self._labels[done])
        if not judged:
            return [METRICS["accuracy"]._replace(note="no label is judged")]
        accuracy = METRICS["accuracy"]._replace(value=100 * right / judged, note=f"{right:,} of {judged:,}")
        if not self._places:
            return [accuracy]
        perplexity = perplexity_of(float(self._nats[done].sum()), judged)
        value = math.inf if math.isnan(perplexity) else perplexity
        return [accuracy, METRICS["perplexity"]._replace(value=value, note=f"{judged:,} labels")]


def reported(metrics: Sequence[Metric]) -> list[Metric]:
    """Return metrics as a report has them: None for what no number holds."""
    return [
        one._replace(value=None, note=f"beyond any number, {one.note}") if one.value is not None and math.isinf(one.value) else one
        for one in metrics
    ]


def right_of(classes: Array, labels: Array) -> tuple[int, int]:
    """Return how many of the labels that are judged are the classes', and how many are judged; both of one shape, int64."""
    judged = labels >= 0
    return int((classes == labels)[judged].sum()), int(judged.sum())
