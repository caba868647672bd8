"""Which computer of a cluster runs which chips: contiguous blocks of them."""

from collections.abc import Sequence
from itertools import accumulate, pairwise


def deal_chips(chips: Sequence[int], capacities: Sequence[int]) -> list[list[int]]:
    """Return each worker's chips: contiguous blocks, as even as capacities allow, in the order of workers.

    Raises ValueError where there are more chips than room.
    """
    if sum(capacities) < len(chips):
        raise ValueError(f"{len(chips)} chips, room for {sum(capacities)}")
    sizes, left = [0] * len(capacities), len(chips)
    by_room = sorted(range(len(capacities)), key=lambda worker: capacities[worker])
    for turn, worker in enumerate(by_room):  # the smallest first: what they cannot take falls to the larger ones
        sizes[worker] = min(capacities[worker], -(-left // (len(capacities) - turn)))
        left -= sizes[worker]
    edges = accumulate(sizes, initial=0)
    return [list(chips[first:end]) for first, end in pairwise(edges)]
