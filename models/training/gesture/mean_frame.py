"""The baseline that sees no motion: logistic regression on the average frame of a sample.

A gesture classifier is worth its recurrence only where it beats this. It knows frames and labels, not where they come
from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from models.network import F32

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # L2 penalties tried, per sample, on standardised pixels
_HELD_OUT, _STEPS = 4, 200


def mean_frame_accuracy(
    train_frames: Iterable[F32], train_labels: Sequence[int], test_frames: Iterable[F32], test_labels: Sequence[int],
    train_subjects: Sequence[str] | None = None,
) -> float:  # fmt: skip
    """Return the share of test samples that logistic regression on the mean frame gets right.

    Pixels are standardised; the L2 penalty is the one that does best on a quarter of the training set (every fourth
    subject, or the last quarter of the samples where no subjects are given), then all of it is fitted again.

    A sample's frames are (frames, ...) float32, of which only averages over the first axis are kept; a label is its class.
    ValueError, one line, where there are no samples, or not as many labels.
    """
    x, y = _averages(train_frames, train_labels, "train")
    test_x, test_y = _averages(test_frames, test_labels, "test")
    if x.shape[1] != test_x.shape[1]:
        raise ValueError(f"mean_frame_accuracy: need frames of one size, have {x.shape[1]} and {test_x.shape[1]} pixels")
    middle, spread = x.mean(0), x.std(0, correction=0)
    spread[spread < 1e-8] = 1.0
    x, test_x = (x - middle) / spread, (test_x - middle) / spread
    classes = int(torch.cat([y, test_y]).max()) + 1
    if train_subjects is None:
        held = torch.arange(len(y)) >= len(y) - len(y) // _HELD_OUT
    else:
        who = {name: place for place, name in enumerate(sorted(set(train_subjects)))}
        held = torch.tensor([who[name] % _HELD_OUT == _HELD_OUT - 1 for name in train_subjects])
    best = PENALTIES[len(PENALTIES) // 2]
    if held.any() and not held.all():
        scores = [_accuracy(_fit(x[~held], y[~held], classes, penalty), x[held], y[held]) for penalty in PENALTIES]
        best = PENALTIES[int(np.argmax(scores))]
    return _accuracy(_fit(x, y, classes, best), test_x, test_y)


def _averages(frames: Iterable[F32], labels: Sequence[int], which: str) -> tuple[torch.Tensor, torch.Tensor]:
    rows = [np.asarray(sample, np.float32).mean(0, dtype=np.float64).ravel() for sample in frames]
    if not rows or len(rows) != len(labels):
        have = f"{len(rows)} and {len(labels)}"
        raise ValueError(f"mean_frame_accuracy: {which}: need a label for each of one or more samples, have {have}")
    return torch.from_numpy(np.stack(rows)), torch.tensor([int(label) for label in labels])


def _fit(x: torch.Tensor, y: torch.Tensor, classes: int, penalty: float) -> torch.Tensor:
    """Return weights (pixels + 1, classes) that minimise cross-entropy + penalty / 2 |w|**2; the bias goes free."""
    x = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    weights = torch.zeros(x.shape[1], classes, dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights], max_iter=_STEPS, tolerance_grad=1e-5, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = cross_entropy(x @ weights, y) + 0.5 * penalty * weights[:-1].square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return weights.detach()


def _accuracy(weights: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> float:
    scores = x @ weights[:-1] + weights[-1]
    return float((scores.argmax(1) == y).double().mean())
