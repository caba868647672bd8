"""Which worker of a cluster gets which chips: contiguous blocks."""

from __future__ import annotations

from collections.abc import Sequence


def deal(chips: Sequence[int], capacities: Sequence[int]) -> list[list[int]]:
    """Return each worker's chips: contiguous blocks, as even as capacities allow, in the order of workers.

    Raises ValueError where there are more chips than room.
    """
    if sum(capacities) < len(chips):
        raise ValueError(f"{len(chips)} chips, room for {sum(capacities)}")
    shares, left = [0] * len(capacities), len(chips)
    by_room = sorted(range(len(capacities)), key=lambda place: capacities[place])
    for turn, place in enumerate(by_room):  # the smallest first: what they cannot take falls to the larger ones
        shares[place] = min(capacities[place], -(-left // (len(capacities) - turn)))
        left -= shares[place]
    blocks, first = [], 0
    for share in shares:
        blocks.append(list(chips[first : first + share]))
        first += share
    return blocks
