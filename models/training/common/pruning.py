"""Gradual magnitude pruning: each weight matrix loses its smallest weights step by step until a target sparsity.

The schedule is the cubic one of Zhu and Gupta (arXiv:1710.01878, equation 1); the quota is per weight matrix, as in the
paper (section III-C: 95 % of each). A pruned weight stays zero: masks only shrink, and are applied after every step of
the optimiser. The embedding, biases and thresholds are not pruned.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def sparsity_at(progress: float, target: float, begin: float, end: float) -> float:
    """Return the sparsity due at `progress` (0 to 1) of a run: 0 before `begin`, cubic up to `target` at `end`."""
    if progress < begin or target == 0:
        return 0.0
    if progress >= end:
        return target
    left = 1 - (progress - begin) / (end - begin)
    return target * (1 - left**3)


class Pruner:
    """Masks of the matrices of a model; `masks` maps a name to a boolean tensor, True where a weight is kept.

    For the score `movement`, `moved` holds the running mean of |weight x gradient|.
    """

    def __init__(self, matrices: Mapping[str, nn.Parameter], score: str = "magnitude") -> None:
        self._matrices = dict(matrices)
        self._score = score
        self.masks: dict[str, Tensor] = {}
        self.moved: dict[str, Tensor] = {}

    @torch.no_grad()
    def observe(self) -> None:
        """Take in the gradients of a step, for the score `movement`."""
        if self._score != "movement":
            return
        for name, matrix in self._matrices.items():
            if matrix.grad is not None:
                change = (matrix * matrix.grad).abs()
                self.moved[name] = torch.lerp(self.moved[name], change, 0.02) if name in self.moved else change

    @torch.no_grad()
    def prune(self, sparsity: float) -> None:
        """Shrink every mask so that `sparsity` of its matrix is pruned, and zero what was."""
        for name, matrix in self._matrices.items():
            keep = matrix.numel() - round(sparsity * matrix.numel())
            scores = self.moved[name] if self._score == "movement" and name in self.moved else matrix.abs()
            scores = scores.clone()
            if name in self.masks:
                scores[~self.masks[name]] = -1.0
            mask = torch.zeros(matrix.numel(), dtype=torch.bool, device=matrix.device)
            mask[torch.topk(scores.flatten(), keep, sorted=False).indices] = True
            self.masks[name] = mask.view_as(matrix)
        self.apply()

    def reached(self, sparsity: float) -> bool:
        """Tell whether every matrix has been pruned that far already."""
        return bool(self.masks) and all(int(m.sum()) <= m.numel() - round(sparsity * m.numel()) for m in self.masks.values())

    @torch.no_grad()
    def apply(self) -> None:
        """Zero the pruned weights again after a step of the optimiser."""
        for name, mask in self.masks.items():
            self._matrices[name].masked_fill_(~mask, 0.0)  # a product would leave zeros of both signs

    def sparsity(self) -> dict[str, float]:
        """Return the share of zeros in each matrix."""
        return {name: float((matrix == 0).float().mean()) for name, matrix in self._matrices.items()}
