"""The emulator's arithmetic against torch, on a gesture checkpoint and every sample of a test split.

The emulator's side is `models/heads/gesture.py` for features and scores and `models/reference.py` for the layers, to which every
run of the chip is equal bit for bit (`launch.py verify` and the one-answer tests hold that). The torch side is the model as
it was trained, in evaluation mode, in float32. Both run freely: a unit that lies within the rounding of another order of
sums from its threshold fires in one and not in the other, and how many do is reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from models.checkpoint import Model
from models.heads.gesture import Scores, features_of
from models.network import F32
from models.reference import Reference
from models.training.gesture.export import torch_model_of
from models.training.gesture.frames import Frames

TOLERANCE = 1e-4  # of a class score


@dataclass(frozen=True)
class Emulated:
    """A sample by the emulator's arithmetic: scores (classes,) and each layer's y (steps, units)."""

    scores: F32
    outputs: list[F32]


def emulate(model: Model, frames: F32) -> Emulated:
    """Run frames (steps, size, size) float32 through head, layers and read-out."""
    gesture = model.gesture
    assert gesture is not None
    reference, scores = Reference(model.network), Scores(gesture)
    steps = []
    for x in features_of(gesture, frames):
        steps.append([y[0] for y in reference.step({0: x}).values()])
        y = steps[-1][-1]
        keys = np.flatnonzero(y).astype(np.uint32)
        scores.add(keys, y[keys])
    return Emulated(scores.scores(), [np.stack(ys) for ys in zip(*steps, strict=True)])


@dataclass(frozen=True)
class GestureConformance:
    """What a comparison over all samples gave."""

    samples: int
    same: int  # classes
    right: int  # of the emulator's classes
    farthest: list[float]  # largest difference of a score, sample by sample
    events: int  # of the emulator
    differing: int  # events in one and not in the other
    updates: int  # units times steps

    @property
    def holds(self) -> bool:
        """Tell whether every class is the same and every score within `TOLERANCE`."""
        return self.same == self.samples and all(size <= TOLERANCE for size in self.farthest)


@torch.no_grad()
def compare(model: Model, frames: Frames, on_progress: Callable[[int], object] = lambda _: None) -> GestureConformance:
    """Classify every sample on both sides; `on_progress` hears how many are done."""
    trained, gesture = torch_model_of(model), model.gesture
    assert gesture is not None
    same = right = events = differing = updates = 0
    farthest = []
    for number in range(len(frames)):
        seen = frames.scaled(np.array([number]), gesture.scale)
        have = emulate(model, seen[0].numpy())
        want = trained(seen.transpose(0, 1))
        scores = want.scores[0].numpy()
        farthest.append(float(np.abs(have.scores - scores).max()))
        same += int(have.scores.argmax() == scores.argmax())
        right += int(have.scores.argmax() == frames.labels[number])
        for ys, fired in zip(have.outputs, want.fired, strict=True):
            events += int(np.count_nonzero(ys))
            differing += int(((ys != 0) != (fired[:, 0].numpy() != 0)).sum())
            updates += ys.size
        on_progress(number + 1)
    return GestureConformance(
        samples=len(frames), same=same, right=right, farthest=farthest, events=events, differing=differing, updates=updates
    )


def report(outcome: GestureConformance, say: Callable[[str], object]) -> None:
    """Say what came out."""
    beyond = sum(not size <= TOLERANCE for size in outcome.farthest)
    share = outcome.right / outcome.samples
    say(f"samples      {outcome.samples:,}, of which the emulator's arithmetic has {outcome.right:,} right ({share:.2%})")
    say(f"classes      {outcome.same:,} of {outcome.samples:,} the same as torch's")
    say(f"scores       largest difference {max(outcome.farthest):.1e}; {beyond:,} samples beyond {TOLERANCE:g}")
    say(f"events       {outcome.events:,} of {outcome.updates:,} updates; {outcome.differing:,} fire in one and not in the other")
    say("             agrees" if outcome.holds else "             DOES NOT AGREE")
