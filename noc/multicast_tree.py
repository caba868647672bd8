"""Multicast trees, and what packets add to the links that they cross: the one place where a tree is cut back to listeners.

A packet crosses each link of its source's tree once, as far as the link leads to a chip that listens. Streams of a run, expected
flows of a mapping and counts of a ledger are all added up here; `noc/machine.py` finds the trees.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class Tree(NamedTuple):
    """The routes from one chip to all others: (chips,) int32 each.

    `parent`: the chip before on the route; `direction`: of the link from it; `depth`: links crossed; `cables`: how many of
    those leave a board. All -1 for a chip that is down, and the first two for the source itself.
    """

    parent: I32
    direction: I32
    depth: I32
    cables: I32


def add_multicast(loads: Any, amount: Any, parent: I32, direction: I32, source: int, listeners: Iterable[int]) -> None:
    """Add `amount` to `loads` (chips, 6, ...), once on each link that a packet from `source` to `listeners` crosses.

    Plain loops over arrays, so that they can be compiled as they stand (`host/cost/link_trees.py`).
    """
    entered = np.zeros(len(parent), np.bool_)
    for listener in listeners:
        chip = listener
        while chip != source and not entered[chip]:
            entered[chip] = True
            loads[parent[chip], direction[chip]] += amount
            chip = parent[chip]


def add_multicasts(
    loads: npt.NDArray[Any], tree_of: Callable[[int], Tree], sources: Iterable[int], listeners: I64,
    amounts: Iterable[Any], add: Callable[..., None] = add_multicast,
) -> tuple[int, int]:  # fmt: skip
    """Add what many chips send to the same listeners to `loads`; return the most links, and the most cables, on any route.

    `loads` is (chips, 6, ...) by chip and direction, as in `add_multicast` (`add`: the same, or compiled). `tree_of` returns
    the tree of a source, such as `Machine.tree`; `amounts` are what each source's packets add to a link, a number or an
    array. A source may be among the listeners.
    """
    links = cables = 0
    for source, amount in zip(sources, amounts, strict=True):
        tree = tree_of(source)
        add(loads, amount, tree.parent, tree.direction, source, listeners)
        links = max(links, int(tree.depth[listeners].max(initial=0)))
        cables = max(cables, int(tree.cables[listeners].max(initial=0)))
    return links, cables
