"""Random numbers that are the same on every machine and with every numpy.

numpy keeps the raw bits of PCG64 and of SeedSequence fixed for ever, but neither its distributions nor, across
platforms, the logarithms inside some of them. So numbers are made here from raw bits by exact steps.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
_TWO_TO_MINUS_53 = 2.0**-53


class Draws:
    """A stream of random numbers; the same keys give the same stream, and different keys unrelated ones."""

    def __init__(self, *keys: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(keys))

    def uniforms(self, count: int) -> NDArray[np.float64]:
        """Return `count` numbers in [0, 1), multiples of 2**-53."""
        raw = np.asarray(self._bits.random_raw(count), np.uint64)
        return (raw >> np.uint64(11)).astype(np.float64) * _TWO_TO_MINUS_53

    def normals(self, count: int) -> NDArray[np.float64]:
        """Return `count` numbers of mean 0 and variance 1 within 6 of 0: sums of twelve uniform ones."""
        total = np.full(count, -6.0)
        for _ in range(12):
            total += self.uniforms(count)
        return total

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * float(self.uniforms(1)[0])

    def below(self, bound: int) -> int:
        """Return a whole number in [0, bound)."""
        return int(float(self.uniforms(1)[0]) * bound)

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of `choices`."""
        return choices[self.below(len(choices))]

    def chance(self, probability: float) -> bool:
        """Return True with `probability`."""
        return float(self.uniforms(1)[0]) < probability

    def shuffled(self, choices: Sequence[T]) -> list[T]:
        """Return `choices` in random order."""
        order = np.argsort(np.asarray(self._bits.random_raw(len(choices)), np.uint64), kind="stable")
        return [choices[int(place)] for place in order]
