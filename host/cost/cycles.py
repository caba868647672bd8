"""Second pass of a price: the PE cycles of every shard at every position, by stage, from its ledger and its moves."""

from __future__ import annotations

import numpy as np

from host.cost.cost_table import CostTable, sends_vectors
from host.cost.formats import PortCounts
from host.cost.ledger import Ledger
from host.cost.moves import Moves
from host.cost.noc_traffic import NocTraffic
from host.cost.twins import twin
from models.network import F64
from noc.chip import ChipSpec

STAGES = ("egru_input", "egru_internal", "pointwise", "broadcast", "wait")
"""The paper's names: W x and the upkeep of the trace that x may be, R y, the units, messages and their transit, and DRAM."""
LINKS = "links"
"""One stage more, of a run on several chips."""


def shard_cycles(ledger: Ledger, moves: Moves, chip: ChipSpec, table: CostTable) -> F64:
    """Return the cycles of each shard, (positions, shards, stages but `wait`), wait states included."""
    form, kernel, wait_states = twin("formats", ledger.format), twin("kernels", ledger.kernel), float(chip.sram_wait_states)
    units = np.broadcast_to(kernel.cycles(ledger.lanes * ledger.table["units"], table), moves.noc.flits.shape)
    stages = {"pointwise": units, "broadcast": _message_cycles(moves.noc, chip, table)}
    for name, port in ledger.ports.items():
        stages[kernel.PORT_STAGES[name]] = form.cycles(port, table, wait_states) + _trace_cycles(port, table, wait_states)
    return np.stack([stages[name] for name in STAGES[:-1]], axis=2)


def _trace_cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return the cycles of the upkeep of a port's trace, (positions, shards) or (shards,): each PE keeps its own copy."""
    refill, elements = table["branch_refill_cycles"], port.traced * port.lanes * port.width
    if not elements.any():
        return np.zeros(len(elements))
    if sends_vectors(table.settings):
        element_cycles = table["trace_element_cycles"] + refill + wait_states * table["trace_element_loads"]
        return np.asarray(element_cycles * elements, np.float64)
    decay_cycles = table["trace_decay_cycles"] + refill + wait_states * table["trace_decay_loads"]
    event_cycles = table["trace_event_cycles"] + refill + wait_states * table["trace_event_loads"]
    return np.asarray(decay_cycles * elements + event_cycles * port.traced * port.heard, np.float64)


def _message_cycles(noc: NocTraffic, chip: ChipSpec, table: CostTable) -> F64:
    """Return the sender's cycles for its messages of a position, (positions, shards)."""
    flits, messages = noc.flits.astype(np.float64), table.settings["messages"]
    setups = table["packet_setup_cycles"] * noc.leaves if messages != "multicast" else 0.0
    elsewhere = table["packet_cycles"] * noc.outgoing + setups
    if messages == "dma":
        noc_cycles = flits + table["dma_wait_noc_cycles"]
        return (chip.dma_setup_cycles + noc_cycles * (chip.pe_clock_hz / chip.noc_clock_hz)) * noc.sends + elsewhere
    return (table["packet_setup_cycles"] + table["packet_cycles"] * flits) * noc.sends + elsewhere
