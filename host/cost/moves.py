"""First pass of a price: what a run moves, on meshes, over links between chips, and out of DRAM, in exact integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from host.cost.chip_streams import chip_streams
from host.cost.cost_table import CostTable
from host.cost.dram_reads import InputReads, input_reads
from host.cost.ledger import Ledger
from host.cost.link_traffic import LinkTraffic, link_traffic, machine_for
from host.cost.noc_traffic import NocTraffic, noc_traffic
from host.cost.placement_waits import PlacementWaits
from host.cost.transfer_moves import TransferMoves, transfer_moves
from noc.chip import ChipSpec
from noc.machine import Machine


@dataclass(frozen=True)
class Moves:
    """What a run moves on `machine`, by the `settings` of a price. `inputs`: one for each input of the network; `waits` of its
    placement.
    """

    settings: Mapping[str, str]
    machine: Machine
    noc: NocTraffic
    waits: PlacementWaits
    links: LinkTraffic
    inputs: tuple[InputReads, ...]
    transfers: TransferMoves | None = None


def moves_of(ledger: Ledger, chip: ChipSpec, table: CostTable, waits: PlacementWaits | None = None) -> Moves:
    """Return what the run in `ledger`, whose placement has `waits` (None: to be reckoned), moves on `chip`; MachineError
    where the chip's broken links leave no route.
    """
    machine = machine_for(ledger, chip)
    streams, transfers = chip_streams(ledger, machine), transfer_moves(ledger, machine, chip.payload_bits // 8)
    return Moves(
        settings=table.settings, machine=machine, waits=waits or PlacementWaits(ledger, machine, table), transfers=transfers,
        noc=noc_traffic(ledger, streams, chip, table, transfers),
        links=link_traffic(streams, machine, crossings=transfers.crossings if transfers else ()),
        inputs=tuple(
            input_reads(ledger, machine, streams, table, number, chip.payload_bits // 8) for number in ledger.inputs
        ),
    )  # fmt: skip
