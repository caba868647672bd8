"""The confusion of a classifier: how often each class was taken for which. Its figure is in a file of its own, so that a run
loads no matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable


def confusion_of(pairs: Iterable[tuple[int, int]], classes: int) -> list[list[int]]:
    """Return how often each class (row) was taken for which (column); `pairs` are (class, class found) of each sample."""
    counts = [[0] * classes for _ in range(classes)]
    for known, prediction in pairs:
        counts[known][prediction] += 1
    return counts
