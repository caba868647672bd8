"""How large the sums of integer weights can become, and whether the MAC array's accumulators hold them."""

from __future__ import annotations

import numpy as np

from models.dnn.integer import ACCUMULATOR_BITS
from models.network import ModelError, Weights

MOST = (1 << (ACCUMULATOR_BITS - 1)) - 1
LARGEST_EVENT = 128  # an int8, either side


def largest_row_sum(weights: Weights) -> int:
    """Return the largest sum of a row's magnitudes."""
    rows = weights.to_rows()
    sums = np.add.reduceat(np.append(np.abs(rows.values.astype(np.int64)), 0), rows.extents[:-1])
    return int(np.where(rows.row_nonzeros > 0, sums, 0).max(initial=0))


def check_sums(who: str, weights: Weights) -> None:
    """Raise ModelError, beginning with `who`, where some int8 events would make a sum that an accumulator does not hold."""
    largest = LARGEST_EVENT * largest_row_sum(weights)
    if largest > MOST:
        have = f"a sum may reach {largest:,}, and accumulators of {ACCUMULATOR_BITS} bits hold {MOST:,}"
        raise ModelError(f"{who}: {have}; needs smaller weights: fewer bits, or larger scales")
