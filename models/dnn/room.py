"""How large a tensor and how long an operator of a file may be: a file of a few bytes can ask for any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.network import ModelError

MOST_ELEMENTS = 1 << 27  # of a tensor: half a gigabyte of float32; a chip's DRAM has 2 GB
MOST_PRODUCTS = 1 << 38  # of an operator; a layer of OPT-125M at 512 tokens has 2^30


def check_room(shape: Sequence[int], products: int = 0) -> None:
    """Raise ModelError for a tensor of too many elements, a negative length, or an operator of too many products."""
    if any(length < 0 for length in shape):
        raise ModelError(f"makes a tensor of shape {tuple(shape)[:8]}, which cannot be")
    if (elements := math.prod(shape)) > MOST_ELEMENTS:
        raise ModelError(f"makes a tensor of {elements:,} elements; at most {MOST_ELEMENTS:,}")
    if products > MOST_PRODUCTS:
        raise ModelError(f"makes {products:,} products; at most {MOST_PRODUCTS:,}")
