"""What is to be mapped and onto what: the request that every step of a mapping reads, and the share of units of one PE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from models.network import U32, Network
from noc.chip import ChipSpec
from pe.sram import SramSize


class UnitSet(NamedTuple):
    """Units of one population, ascending."""

    population: int
    units: U32


Share = tuple[UnitSet, ...]
"""What one PE runs."""
Deal = list[Share]
"""All units of a network, in shares."""
ChipShare = tuple[int, Share]
"""The number of a chip, and a share on it."""


@dataclass(frozen=True)
class Request:
    """A weight format, sequences side by side, and the PEs. `pes`: how many PEs to use, or None to choose; `available`: how
    many there are, on `chips` chips.
    """

    format: str
    lanes: int
    size: SramSize
    available: int
    pes: int | None = None
    chips: int = 1


def sram_size(chip: ChipSpec) -> SramSize:
    """Return the sizes of a PE's SRAM."""
    return SramSize(
        sram_bytes=chip.sram_bytes, bank_bytes=chip.bank_bytes, program_bytes=chip.program_bytes, debug_bytes=chip.debug_bytes
    )


def whole_layer(network: Network, layer: int) -> UnitSet:
    """Return all units of a layer."""
    return UnitSet(layer, np.arange(network.populations[layer].units, dtype=np.uint32))
