"""A trained EGRU widened: each unit that is added begins as a copy of one there is, so that the wider network says the same words.

Who heard a unit hears one of its copies, with the weight of before; which one is drawn for each block of rows and each unit. So
copies hear and are heard differently from the first step on, and learn different things (Chen, Goodfellow and Shlens, Net2Net,
arXiv:1511.05641, share a weight between the copies instead; here each matrix keeps as many weights a row as it had, so that one
that is pruned stays so).
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.training.common.egru_layer import GATES, Egru

_BLOCK = 16  # units whose rows, of all gates, are whole vectors of 16 or 8 (`vector_layout.py`)


def sources_of(units: int, wanted: int) -> Tensor:
    """Return of each unit of a layer of `wanted` whose copy it is, (wanted,) int64; the first `units` are themselves.

    Copies lie in the same place of a block of sixteen as their original, so that their vectors are those of the original; but for
    the block in which the first copies follow the last originals: groups there hear what both heard, and are cut when pruned.
    """
    period = units - units % _BLOCK or units
    numbers = torch.arange(wanted)
    return torch.where(numbers < units, numbers, numbers % period)


@torch.no_grad()
def widen(layer: Egru, have: Egru, heard: Tensor, generator: torch.Generator) -> Tensor:
    """Give a layer the numbers of a narrower one, whose inputs became those of `heard` (`sources_of`); return its own sources."""
    own = sources_of(have.units, layer.units)
    rows = torch.cat([own + gate * have.units for gate in range(GATES)])
    for name, columns in (("kernel", heard), ("recurrent", own)):
        getattr(layer, name).copy_(_spread(getattr(have, name)[rows], columns, layer.units, generator))
    for name in ("bias", "recurrent_bias"):
        getattr(layer, name).copy_(getattr(have, name)[rows])
    layer.threshold.copy_(have.threshold[own])
    return own


def _spread(rows: Tensor, sources: Tensor, units: int, generator: torch.Generator) -> Tensor:
    """Return rows (gates * units, old inputs) over the new inputs: each weight at a copy of its input, drawn a block of units."""
    drawn = sources + torch.rand(-(-units // _BLOCK), len(sources), generator=generator, dtype=torch.float64)
    first_copies = torch.nn.functional.pad(torch.bincount(sources).cumsum(0)[:-1], (1, 0))  # of each old input, in order of them
    columns = torch.argsort(drawn, 1)[:, first_copies]
    of_rows = columns[torch.arange(units) // _BLOCK].repeat(GATES, 1)
    return rows.new_zeros(len(rows), len(sources)).scatter_(1, of_rows, rows)
