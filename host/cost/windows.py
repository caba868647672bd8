"""What each position of a long run costs, some at a time: for whoever draws them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger, RunLedger
from host.cost.price import price_positions
from host.cost.priced import PricedPositions
from host.cost.schedule import margin_of
from noc.chip import ChipSpec


class Window(NamedTuple):
    """Positions of a run that follow each other, from number `first`; those of `own` belong to this window, the others are its
    neighbours'. `priced` says what each costs, in seconds since the run began, without bands.
    """

    ledger: Ledger
    priced: PricedPositions
    first: int
    own: slice


def windows(run: RunLedger, chip: ChipSpec, table: CostTable, positions: int | None = None) -> Iterator[Window]:
    """Yield the first `positions` of a run (None: all), `RunLedger.at_once` at a time, each with a neighbour or more."""
    margin = margin_of(run, table)
    last = run.positions if positions is None else min(positions, run.positions)
    began_s = None  # of the position that comes next
    for first in range(0, last, run.at_once):
        end = min(first + run.at_once, last)
        # Neighbours share ticks with the window's own positions, and others with them.
        begin, behind = max(first - margin - 1, 0), min(end + margin + 1, run.positions)
        outer, farther = max(begin - margin, 0), min(behind + margin, run.positions)
        priced = price_positions(
            run.part(outer, farther), chip, table, before=begin - outer, behind=farther - behind, bands=False
        )  # fmt: skip
        if began_s is not None:
            priced = replace(priced, began_s=priced.began_s + (began_s - priced.began_s[first - begin].min()))
        if end < behind:
            began_s = float(np.min(priced.began_s[end - begin]))
        yield Window(run.part(begin, behind), priced, begin, slice(first - begin, end - begin))
