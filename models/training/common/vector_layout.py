"""A pruned matrix as vectors: so many outputs of one input, kept or pruned together, and products with those that are left.

Outputs are put side by side unit after unit, all gates of a unit together, and cut into groups of the vectors' height; so sixteen
rows of three gates are those of five or six neighbouring units, and sixteen units fill three groups. Whoever gives a PE whole
sixteens of units gives it whole vectors (`models/formats/vectors.py`). Every group keeps as many vectors, so that PEs of as many
units have as much to do, and a product is one batch of small ones: at 5 % about a tenth of the dense product's time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_COLUMNS = 128  # of the right factor at once: what is gathered for them stays in the cache


def row_groups(rows: int, gates: int, height: int) -> Tensor:
    """Return the rows of each group, (groups, height) int64: unit after unit, gate after gate; `rows` where a group has no more."""
    numbers = torch.arange(rows).view(gates, -1).t().reshape(-1)
    return functional.pad(numbers, (0, -rows % height), value=rows).view(-1, height)


class VectorLayout:
    """Where the vectors of a mask (rows, inputs) lie; every group of `groups` keeps as many inputs.

    A product's right factor is (inputs, n) and its result (rows, n), with a column a sample; values are (groups, height, kept).
    """

    def __init__(self, mask: Tensor, groups: Tensor) -> None:
        self.rows, self.inputs = mask.shape
        self.groups, self.height = groups.shape
        self.columns = mask[groups[:, 0]].nonzero()[:, 1].view(self.groups, -1)
        self.kept = self.columns.shape[1]
        flat = groups.flatten()
        self._order = flat.clamp(max=self.rows - 1)
        self._places = torch.argsort(flat)[: self.rows]  # of each row among the groups'; what fills the last group is behind
        self._cells = self._order[: self.rows, None] * self.inputs + self.columns.repeat_interleave(self.height, 0)[: self.rows]
        self._flat_columns = heard = self.columns.flatten()
        self._by_input = torch.argsort(heard, stable=True)
        counts = torch.bincount(heard, minlength=self.inputs)
        self._offsets = functional.pad(counts.cumsum(0)[:-1], (1, 0))

    def values(self, matrix: Tensor) -> Tensor:
        """Return a matrix's (rows, inputs) values at the vectors; zeros in rows that only fill a group."""
        values = matrix.new_zeros(self.groups * self.height, self.kept)
        values[: self.rows] = matrix.reshape(-1)[self._cells]
        return values.view(self.groups, self.height, self.kept)

    def spread(self, values: Tensor) -> Tensor:
        """Return the matrix (rows, inputs) with these values, and zeros elsewhere."""
        flat = values.new_zeros(self.rows * self.inputs)
        flat[self._cells] = values.reshape(self.groups * self.height, self.kept)[: self.rows]
        return flat.view(self.rows, self.inputs)

    def times(self, values: Tensor, right: Tensor) -> Tensor:
        """Return matrix @ right."""
        parts = [torch.bmm(values, self._heard(part)).flatten(0, 1) for part in torch.split(right, _COLUMNS, 1)]
        return torch.cat([part.index_select(0, self._places) for part in parts], 1)

    def back(self, values: Tensor, right: Tensor) -> Tensor:
        """Return matrix.T @ right."""
        turned = values.transpose(1, 2)
        parts = [torch.bmm(turned, self._grouped(part)).flatten(0, 1) for part in torch.split(right, _COLUMNS, 1)]
        return torch.cat([functional.embedding_bag(self._by_input, part, self._offsets, mode="sum") for part in parts], 1)

    def outer(self, left: Tensor, right: Tensor) -> Tensor:
        """Return the values of left (rows, n) @ right.T (n, inputs) at the vectors."""
        total = left.new_zeros(self.groups, self.height, self.kept)
        for part, heard in zip(torch.split(left, _COLUMNS, 1), torch.split(right, _COLUMNS, 1), strict=True):
            total.baddbmm_(self._grouped(part), self._heard(heard).transpose(1, 2))
        return total

    def _heard(self, right: Tensor) -> Tensor:
        return right.index_select(0, self._flat_columns).view(self.groups, self.kept, -1)

    def _grouped(self, right: Tensor) -> Tensor:
        return right.index_select(0, self._order).view(self.groups, self.height, -1)
