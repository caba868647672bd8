"""Rows of the table of single settings that another placement makes: formats, mappings and chips, priced from expected counts."""

from __future__ import annotations

from dataclasses import replace

from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger
from host.cost.price import Priced, price
from host.cost.what_if import Answer, compared
from host.errors import HostError
from host.mapping.alternatives import Alternative, alternatives
from host.mapping.placement import Placement
from host.run.replaced_ledger import replaced_ledger
from noc.chip import ChipError, ChipSpec


def placed_answers(ledger: Ledger, placement: Placement, priced: Priced, *, chip: ChipSpec, table: CostTable) -> list[Answer]:
    """Return a row for each other format, mapping and number of chips; one that does not fit says so in its note.

    `placement` is that of the ledger, `priced` its price on `chip` under `table`.
    """
    return [_answer(one, ledger, placement, priced, chip=chip, table=table) for one in alternatives(placement)]


def sram_bytes(placement: Placement) -> int:
    """Return the bytes of weights and variables of a placement's fullest PE."""
    worst = placement.worst()
    return worst["weights"] + worst["variables"]


def _answer(one: Alternative, ledger: Ledger, placement: Placement, priced: Priced, *, chip: ChipSpec, table: CostTable) -> Answer:
    row = Answer(group=one.group, value=one.value, was=one.was, flags=one.flags)
    try:
        placed = one.place()
        other, expected = replaced_ledger(ledger, placement, placed)
        after = price(other, chip, table)
    except (HostError, ChipError) as error:
        return replace(row, note=str(error))
    count = f"{len(placed.pes)} PEs" if len(placed.pes) != len(placement.pes) else ""
    return compared(replace(row, sram_bytes=sram_bytes(placed), expected=expected, note=count), after, priced)
