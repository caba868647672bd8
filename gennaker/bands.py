"""`Band`: a figure with its low and high end."""

from __future__ import annotations

from typing import NamedTuple


class Band(NamedTuple):
    """A modelled figure: its `value`, and what it is with the uncertain constants at their `low` and `high` ends.

    The value may lie at one end: most constants are uncertain to one side only (docs/costs.md).

    >>> Band(0.002, 0.0019, 0.0023)
    Band(value=0.002, low=0.0019, high=0.0023)
    >>> print(Band(0.002, 0.0019, 0.0023))
    0.002 (0.0019 to 0.0023)
    >>> float(Band(0.002, 0.0019, 0.0023))
    0.002
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.4g}" if self.low == self.high else f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"

    def __float__(self) -> float:
        return self.value
