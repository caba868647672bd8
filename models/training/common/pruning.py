"""Gradual magnitude pruning: each weight matrix loses its smallest weights step by step until a target sparsity.

The schedule is the cubic one of Zhu and Gupta (arXiv:1710.01878, equation 1); the quota is per weight matrix, as in the
paper (section III-C: 95 % of each). A pruned weight stays zero: masks only shrink, and are applied after every step of
the optimiser. The embedding, biases and thresholds are not pruned.

With `height` above 1 vectors are pruned: so many outputs of one input together (`vector_layout.py` says which), by the norm of
their scores. The quota is then each group's, so that every group of rows keeps as many inputs.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.common.egru_layer import GATES
from models.training.common.vector_layout import VectorLayout, row_groups

WORTH_LAYING_OUT = 0.25
"""Share of vectors from which on products over them are slower than whole ones (measured at 4050 x 1350, one thread)."""


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

    For the score `movement`, `moved` holds the running mean of |weight x gradient|. A matrix named in `inputs_before` was
    widened from one of so many inputs: what is pruned is a share of those, so that a row keeps as many weights as before.
    """

    def __init__(self, matrices: Mapping[str, nn.Parameter], score: str = "magnitude", height: int = 1) -> None:
        self._matrices = dict(matrices)
        self._score = score
        self._groups = {name: row_groups(len(matrix), GATES, height) for name, matrix in matrices.items()} if height > 1 else {}
        self.inputs_before: dict[str, int] = {}
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
            scores = self.moved[name] if self._score == "movement" and name in self.moved else matrix.abs()
            keep, mask = self._left(name, sparsity), self.masks.get(name)
            self.masks[name] = self._of_vectors(name, scores, keep, mask) if self._groups else _of_weights(scores, keep, mask)
        self.apply()

    def _left(self, name: str, sparsity: float) -> int:
        """Return how many weights of a matrix stay, or how many inputs of each of its groups."""
        rows, inputs = self._matrices[name].shape
        inputs = self.inputs_before.get(name, inputs)
        if self._groups:
            return max(1, inputs - math.ceil(sparsity * inputs - 1e-9))
        return rows * inputs - round(sparsity * rows * inputs)

    def _of_vectors(self, name: str, scores: Tensor, keep: int, mask: Tensor | None) -> Tensor:
        """Return the mask of the vectors whose scores are the largest of their group's."""
        groups, rows = self._groups[name], len(scores)
        norms = functional.pad(scores.square(), (0, 0, 0, 1))[groups].sum(1)
        if mask is not None:
            norms[~mask[groups[:, 0]]] = -1.0
        kept = torch.zeros_like(norms, dtype=torch.bool).scatter_(1, torch.topk(norms, keep, sorted=False).indices, True)
        out = torch.empty_like(scores, dtype=torch.bool)
        out[groups.flatten()[:rows]] = kept.repeat_interleave(groups.shape[1], 0)[:rows]
        return out

    def layouts(self) -> dict[str, VectorLayout]:
        """Return where the vectors lie that are left of the matrices that are pruned so far that it is worth it."""
        few = {name: mask for name, mask in self.masks.items() if float(mask.float().mean()) < WORTH_LAYING_OUT}
        return {name: VectorLayout(mask, self._groups[name]) for name, mask in few.items()} if self._groups else {}

    def reached(self, sparsity: float) -> bool:
        """Tell whether every matrix has been pruned that far already."""
        each = {name: len(self._matrices[name]) if self._groups else 1 for name in self.masks}
        return bool(self.masks) and all(
            int(mask.sum()) <= self._left(name, sparsity) * each[name] for name, mask in self.masks.items()
        )

    @torch.no_grad()
    def apply(self) -> None:
        """Zero the pruned weights again after a step of the optimiser."""
        for name, mask in self.masks.items():
            self._matrices[name].masked_fill_(~mask, 0.0)  # a product would leave zeros of both signs

    def sparsity(self) -> dict[str, float]:
        """Return the share of zeros in each matrix."""
        return {name: float((matrix == 0).float().mean()) for name, matrix in self._matrices.items()}


def _of_weights(scores: Tensor, keep: int, mask: Tensor | None) -> Tensor:
    """Return the mask of the weights whose scores are the largest."""
    scores = scores.clone()
    if mask is not None:
        scores[~mask] = -1.0
    out = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    out[torch.topk(scores.flatten(), keep, sorted=False).indices] = True
    return out.view_as(scores)
