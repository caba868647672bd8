"""Dealing units so that every phase of their work is even over PEs, and not the sum alone.

A PE that waits for the slowest in every exchange loses time in each, however even all its work together is. Units go one by
one, heaviest first, to the PE whose fullest phase stays lowest; then PEs exchange units for as long as the fullest ones gain.
"""

from __future__ import annotations

import numpy as np

from models.network import F64, I64, Array

_EXCHANGES = 4_000  # at most: a layer of the paper's takes some hundreds
_AT_ONCE = 1 << 17  # exchanges that are compared at once: their numbers stay in a cache


def deal_evenly(work: I64, pes: int, even: bool, *, exchanges: bool = True) -> list[list[int]]:
    """Return the units of each of so many PEs, ascending; `work` (phases, units) is what each unit adds to each phase.

    `even`: no PE takes more than one unit more than another. Without `exchanges` it is a first deal, in a fraction of the time.
    """
    loads = work / np.maximum(work.sum(axis=1, keepdims=True), 1)
    hands = _dealt(loads, pes, even)
    if exchanges:
        _exchange(loads, hands)
    return [sorted(hand) for hand in hands]


def _dealt(loads: F64, pes: int, even: bool) -> list[list[int]]:
    """Return the units of each PE, dealt heaviest first to the PE whose fullest phase stays lowest."""
    units = loads.shape[1]
    full, larger = divmod(units, pes)
    room = np.full(pes, full if even else units)
    sums, hands = np.zeros((pes, len(loads))), [list[int]() for _ in range(pes)]
    for unit in np.argsort(-loads.sum(axis=0), kind="stable").tolist():
        if even and not room.any():  # every PE has its full number: some take one more
            room[np.argsort(sums.max(axis=1), kind="stable")[:larger]] = 1
        height = np.where(room > 0, (sums + loads[:, unit]).max(axis=1), np.inf)
        pe = int(np.argmin(height))
        hands[pe].append(unit)
        sums[pe] += loads[:, unit]
        room[pe] -= 1
    return hands


def _exchange(loads: F64, hands: list[list[int]]) -> None:
    """Let the PE with the fullest phase exchange a unit with another, while that lowers the fuller of the two."""
    sums = np.stack([loads[:, hand].sum(axis=1) for hand in hands])
    for _ in range(_EXCHANGES):
        worst = int(np.argmax(sums.max(axis=1)))
        exchange = _best_exchange(loads, hands, sums, worst)
        if exchange is None:
            return
        of_worst, other, of_other = exchange
        hands[worst][of_worst], hands[other][of_other] = taken, given = hands[other][of_other], hands[worst][of_worst]
        moved = loads[:, taken] - loads[:, given]
        sums[worst] += moved
        sums[other] -= moved


def _best_exchange(loads: F64, hands: list[list[int]], sums: F64, worst: int) -> tuple[int, int, int] | None:
    """Return which of its units PE `worst` should give, to whom, and for which of theirs; None where no exchange is a gain.

    Of equals the first one, by the height of the other PE.
    """
    own = loads[:, hands[worst]]  # (phases, units of it)
    best, exchange = float(sums[worst].max()) * (1 - 1e-9), None
    others = [other for other in np.argsort(sums.max(axis=1), kind="stable").tolist() if other != worst]
    most = max((len(hands[other]) for other in others), default=0)
    at_once = max(_AT_ONCE // max(own.shape[1] * most, 1), 1)
    for first in range(0, len(others), at_once):
        some = others[first : first + at_once]
        theirs = np.full((len(loads), len(some), most), np.inf)  # (phases, other, units of it); where it has none, none is low
        for place, other in enumerate(some):
            theirs[:, place, : len(hands[other])] = loads[:, hands[other]]
        moved = theirs[:, :, None, :] - own[:, None, :, None]  # (phases, other, given, got)
        after = sums[worst][:, None, None, None] + moved, sums[some].T[:, :, None, None] - moved
        heights: Array = np.maximum(*(one.max(axis=0) for one in after))
        at = int(np.argmin(heights))
        if heights.flat[at] < best:
            best = float(heights.flat[at])
            place, given, got = (int(index) for index in np.unravel_index(at, heights.shape))
            exchange = given, some[place], got
    return exchange
