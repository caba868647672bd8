"""A tile of a product of two things that arrive: rows of one, columns of the other, and the depth or a part of it."""

from __future__ import annotations

from models.compute.bound_calls import call
from models.tile_steps._product import make_product


@call
def step(memory: int, configuration: int, block: int, scratch: int) -> int:
    """Make the tile's sums; where they are complete, int8 of them."""
    return make_product(memory, configuration, block, scratch, False)  # type: ignore[no-any-return]  # an integer, once compiled
