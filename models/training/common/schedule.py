"""The learning rate over a run, and the penalty that holds a layer's activity in its range."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def rate_at(iteration: int, iterations: int, lr: float, warm_up: float, cosine_from: float) -> float:
    """Return the learning rate at an iteration of so many: a linear rise, a plateau, a cosine to 0.

    `warm_up` and `cosine_from` are shares of the run: until the first the rate rises to `lr`, from the second it falls.
    """
    share = iteration / max(1, iterations)
    if warm_up and share < warm_up:
        return lr * (iteration + 1) / (warm_up * iterations + 1)
    if share < cosine_from:
        return lr
    return lr * 0.5 * (1 + math.cos(math.pi * (share - cosine_from) / (1 - cosine_from)))


def activity_penalty(activity: list[Tensor], floor: float, target: float, weight: float) -> Tensor | float:
    """Return weight times the squared distances of the layers' shares of events from the range floor to target."""
    if not activity or not weight:
        return 0.0
    shares = torch.stack(activity)
    outside = torch.clamp(shares - target, min=0) + torch.clamp(floor - shares, min=0)
    penalty: Tensor = weight * (outside**2).sum()
    return penalty
