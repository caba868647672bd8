"""Interpolated Kneser-Ney n-gram models: what counting alone reaches on a text, as a floor for a trained network.

Interpolated Kneser-Ney with one discount for all orders (Chen and Goodman, An Empirical Study of Smoothing Techniques
for Language Modeling, TR-10-98, section 4.1.6): the highest order uses counts, each lower one the number of distinct
words seen before, and the lowest is interpolated with the uniform distribution. The discount is not tuned.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from models.network import U32
from models.text.tokeniser import TextError

DISCOUNT = 0.75
_I64 = npt.NDArray[np.int64]


class KneserNey:
    """An n-gram model of `order` 1 or more over `words` words, counted on `ids`; TextError where that cannot be."""

    def __init__(self, ids: U32, words: int, order: int) -> None:
        if order < 1 or len(ids) < order or words**order >= 1 << 63:
            raise TextError(f"n-grams: order {order} of {words} words on a text of {len(ids)} cannot be counted")
        self._words = words
        codes, counts = np.unique(_codes(ids.astype(np.int64), order, words), return_counts=True)
        self._levels = [_Level(codes, counts, words)]
        for n in range(order - 1, 0, -1):
            codes, counts = np.unique(codes % words**n, return_counts=True)  # each longer n-gram counts once
            self._levels.append(_Level(codes, counts, words))

    def perplexity(self, ids: U32) -> float:
        """Return exp(summed cross entropy / tokens) over `ids`, whose first token nothing predicts, as for networks."""
        order, text = len(self._levels), ids.astype(np.int64)
        # The first words have a short past: the text's own first word stands in for what came before.
        padded = np.concatenate([np.full(max(order - 2, 0), text[0]), text])
        grams = _codes(padded, order, self._words) if order > 1 else text[1:]
        chance = np.full(len(grams), 1.0 / self._words)
        for level, n in zip(reversed(self._levels), range(1, order + 1), strict=True):
            chance = level.interpolate(grams % self._words**n, chance)
        return math.exp(-float(np.log(chance).sum()) / len(ids))


class _Level:
    """The n-grams of one order: `codes` ascending, with their counts, and what each context was followed by."""

    def __init__(self, codes: _I64, counts: _I64, words: int) -> None:
        self._codes, self._counts, self._words = codes, counts, words
        self._contexts, first = np.unique(codes // words, return_index=True)
        self._totals = np.add.reduceat(counts, first)
        self._kinds = np.diff(np.append(first, len(codes)))

    def interpolate(self, codes: _I64, lower: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the probability of each n-gram's last word; `lower` where the context was never seen."""
        counts = _look_up(self._codes, self._counts, codes)
        contexts = codes // self._words
        totals, kinds = (_look_up(self._contexts, what, contexts) for what in (self._totals, self._kinds))
        seen = np.maximum(totals, 1)
        chance = np.maximum(counts - DISCOUNT, 0) / seen + DISCOUNT * kinds / seen * lower
        return np.where(totals > 0, chance, lower)


def _codes(ids: _I64, order: int, words: int) -> _I64:
    """Return one number for each run of `order` ids."""
    count = len(ids) - order + 1
    codes = np.zeros(count, np.int64)
    for n in range(order):
        codes = codes * words + ids[n : n + count]
    return codes


def _look_up(keys: _I64, values: _I64, contexts: _I64) -> _I64:
    place = np.minimum(np.searchsorted(keys, contexts), len(keys) - 1)
    counts: _I64 = np.where(keys[place] == contexts, values[place], 0)
    return counts
