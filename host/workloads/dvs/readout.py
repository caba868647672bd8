"""A class for each sample, read off the last layer: the one with the highest score, of equals the first."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from host.workloads.contract import Metric, Outputs, Progress, SaveRow, only_section
from host.workloads.dvs import METRICS
from host.workloads.dvs.results import Answer, Setting, compose_result, sample_cost
from host.workloads.dvs.source import SampleSource
from host.workloads.section_events import section_values
from models.heads.gesture import Gesture, Scores
from models.network import F32, Population


class ClassReadout:
    """Sums the scores of the samples that are running in `source`, and keeps the answers.

    `damages` returns one line for each file that could not be read; `output` is the population whose events it hears, None one of
    float32. For `--save logits` it has the `scores` (classes,) of each
    sample after each frame.
    """

    saves = ("logits",)

    def __init__(
        self, gesture: Gesture, source: SampleSource, setting: Setting, damages: Callable[[], list[str]],
        output: Population | None = None,
    ) -> None:  # fmt: skip
        self._gesture, self._source, self._setting, self._damages, self._output = gesture, source, setting, damages, output
        self._scores = [Scores(gesture, lane) for lane in range(source.lanes)]
        self.answers: list[Answer] = []
        self._save: SaveRow | None = None
        self._frames = 0  # of samples, that came through
        self._answered = 0  # positions
        self._shown = 0  # the sample on the screen
        self._top = 0.0  # the highest score that one has had there, the last half of it

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take the last layer's events at one position; after a sample's last frame, its class."""
        source, lanes, section = self._source, self._source.lanes, only_section(outputs)
        turn, frame = divmod(position, source.frames)
        keys, values = np.frombuffer(section.keys, "<u4"), section_values(section, self._output)
        running = min(lanes, len(source.loaded) - turn * lanes)
        self._answered = position + 1
        if self._shown != turn * lanes:
            source.pictures.pop(self._shown, None)
            self._shown = turn * lanes
        self._frames += running
        for lane in range(running):
            if frame == 0:
                self._scores[lane].reset()
            self._scores[lane].add(keys, values)
            if self._save is not None:
                self._save("logits", "scores", turn * lanes + lane, frame, self._scores[lane].scores())
            if frame == source.frames - 1:
                scores = self._scores[lane].scores()
                sample = source.loaded[turn * lanes + lane]
                self.answers.append(Answer(*sample, prediction=class_of(scores), scores=[float(score) for score in scores]))

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand the scores after every frame to `save`, too."""
        self._save = save

    def progress(self) -> Progress:
        """Return how many frames came through, the accuracy so far, and the sample that the first lane runs."""
        return Progress(self._frames, self._source.limit * self._source.frames, [self._accuracy()], self._watch())

    def result(self) -> dict[str, Any]:
        """Return classes, confusion and predictions, beside what torch made of the same samples."""
        gesture = self._gesture
        frames = f"{gesture.frames} frames of {gesture.bin_us / 1000:g} ms, {gesture.size} x {gesture.size}"
        reading = [f"{frames}, {gesture.polarity} of ON and OFF, divided by {gesture.scale:g}"]
        reading += [f"read as {how}" for how in self._source.readings]
        result = compose_result(self._setting, self.answers, self._damages(), frames=self._frames, host_s=self._source.host_s)
        return {**result, "reading": reading}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:
        """Return accuracy, torch's accuracy where it is on record, and modelled time and energy of a sample."""
        result, metrics = self.result(), [self._accuracy()]
        if result["baseline_accuracy"] is not None:
            note = f"{result['baseline_agreement']} of {result['samples']} samples get the same class"
            metrics.append(METRICS["torch_accuracy"]._replace(value=100 * result["baseline_accuracy"], note=note))
        if (each := sample_cost(result, cost)) is not None:
            note = f"{result['frames_per_sample']} frames"
            metrics += [METRICS["sample_time"]._replace(value=1e3 * each.time_s, note=note)]
            metrics += [METRICS["sample_energy"]._replace(value=1e3 * each.energy_j, note=note)]
        return metrics

    def snapshot(self) -> bytes:
        """Return the answers, the scores of the samples that are running, and the counts."""
        answers = [[*answer[:-1], answer.scores] for answer in self.answers]
        scores = [[lane.positions, *(array.tobytes().hex() for array in lane.sums())] for lane in self._scores]
        return json.dumps([answers, scores, self._frames, self._answered, self._shown, self._top]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot; the source goes first."""
        answers, scores, self._frames, self._answered, self._shown, self._top = json.loads(snapshot)
        self.answers = [Answer(*answer) for answer in answers]
        for lane, (positions, *arrays) in zip(self._scores, scores, strict=True):
            lane.resume(positions, *(np.frombuffer(bytes.fromhex(array), np.float32) for array in arrays))

    def _accuracy(self) -> Metric:
        count, correct = len(self.answers), sum(answer.prediction == answer.label for answer in self.answers)
        note = f"{correct} of {count} samples"
        return METRICS["accuracy"]._replace(value=100 * correct / count if count else None, note=note)

    def _watch(self) -> dict[str, Any]:
        """Return the first lane's sample as it is now: its frame, and how much each frame so far has added to its scores."""
        source, running = self._source, self._scores[0]
        frame = max(self._answered - 1, 0) % source.frames
        scores = running.scores()
        self._top = max(self._top, float(scores.max())) if running.positions * 2 > source.frames else self._top
        grown = scores * np.float32(running.positions / source.frames)
        return {
            "sample": self._shown + 1, "samples": source.limit, "name": source.loaded[self._shown].name,
            "label": source.loaded[self._shown].label, "frame": source.pictures[self._shown][frame].tobytes(),
            "size": self._gesture.size, "scores": [float(score) for score in grown],
            "top": max(self._top, float(grown.max())),
        }  # fmt: skip


def class_of(scores: F32) -> int:
    """Return the class with the highest score, of equals the first; a score that is no number is the lowest."""
    return int(np.argmax(np.where(np.isnan(scores), -np.inf, scores)))
