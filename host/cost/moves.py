"""First pass of a price: what a run moves, on meshes, over links between chips, and out of DRAM, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from host.cost.chip_streams import chip_streams
from host.cost.cost_table import CostTable
from host.cost.ledger import Ledger
from host.cost.link_traffic import LinkTraffic, link_traffic, machine_for
from host.cost.noc_traffic import NocTraffic, noc_traffic
from models.network import I64
from noc.chip import ChipSpec
from noc.machine import Machine


@dataclass(frozen=True)
class Moves:
    """What a run moves on `machine`, by the `settings` of a price.

    `dram_readers` are the PEs that fetch each position's input vector, of `input_bytes`, from DRAM: those of the first layer
    on the host's chip, where it lies. `dram_bytes` is all that is read for a position: if the input goes to other chips, it is
    read once more for them.
    """

    settings: Mapping[str, str]
    machine: Machine
    noc: NocTraffic
    links: LinkTraffic
    dram_readers: I64
    input_bytes: int
    dram_bytes: int


def moves_of(ledger: Ledger, chip: ChipSpec, table: CostTable) -> Moves:
    """Return what the run in `ledger` moves on `chip`; MachineError where the chip's broken links leave no route."""
    machine = machine_for(ledger, chip)
    streams = chip_streams(ledger, machine)
    first = ledger.table["pe"][ledger.table["layer"] == 1]
    readers = np.unique(first[ledger.chip_of[first] == ledger.representative_of[machine.host_chip]])
    input_bytes = ledger.lanes * ledger.input_units * int(table["value_bytes"])
    return Moves(
        settings=table.settings, machine=machine,
        noc=noc_traffic(ledger, streams, chip, table), links=link_traffic(streams, machine),
        dram_readers=readers, input_bytes=input_bytes,
        dram_bytes=(len(readers) + int(streams.leaves[0].any())) * input_bytes,
    )  # fmt: skip
