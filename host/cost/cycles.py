"""Second pass of a price: the PE cycles of every shard in each of its turns, by stage, from its ledger and its moves."""

from __future__ import annotations

import numpy as np

from host.cost import twins
from host.cost.beside import early_ports, turn_of_ports
from host.cost.cost_table import CostTable, sends_vectors
from host.cost.formats import PortCounts
from host.cost.ledger import Ledger, RunLedger
from host.cost.moves import Moves
from host.cost.noc_traffic import NocTraffic
from host.cost.transfer_moves import TransferMoves
from host.cost.transit import port_noc_cycles
from models.network import F64, I64
from noc.chip import ChipSpec

TRANSFERS = "transfers"
"""One stage more, first of all, of a run whose PEs exchange any: what the core does for them."""
UNITS, SEND, WAIT = "pointwise", "broadcast", "wait"
"""The stages that every layer has, in the paper's words: the units, messages and their transit, and DRAM."""
LINKS = "links"
"""One stage more, of a run on several chips."""


def stages_of(run: RunLedger) -> tuple[str, ...]:
    """Return the stages of a run: those of its layers' ports (of EGRUs `egru_input`, W x and the upkeep of the trace that x may
    be, and `egru_internal`, R y), then units, messages and the wait.
    """
    kernels = list(dict.fromkeys(run.populations[n].kernel for n in run.layers))
    return (*([TRANSFERS] if run.has_transfers else []), *twins.port_stages(kernels), UNITS, SEND, WAIT)


def all_stages() -> tuple[str, ...]:
    """Return the stages that runs of any neuron model may have."""
    names = twins.names("kernels")
    return (*twins.port_stages(sorted(names, key=lambda name: (name != "egru", name))), UNITS, SEND, WAIT, TRANSFERS)


def shard_cycles(ledger: Ledger, moves: Moves, chip: ChipSpec, table: CostTable) -> F64:
    """Return the cycles of each turn of each shard, (positions, turns, stages but `wait`), wait states included."""
    stages, turn_of_port, wait_states = stages_of(ledger), turn_of_ports(ledger, table), float(chip.sram_wait_states)
    cycles = np.zeros((ledger.positions, len(ledger.turns.shard), len(stages) - 1))
    of_ports = port_cycles(ledger, table, wait_states)
    for stage, ports in ports_by_stage(ledger).items():
        np.add.at(np.moveaxis(cycles[:, :, stages.index(stage)], 1, 0), turn_of_port[ports], of_ports[:, ports].T)
    cycles[:, :, stages.index(UNITS)] = _unit_cycles(ledger, table)
    cycles[:, :, stages.index(SEND)] = _message_cycles(moves.noc, chip, table)
    if moves.transfers is not None:
        cycles[:, ledger.turns.first, stages.index(TRANSFERS)] = _transfer_cycles(moves.transfers, chip, table)
    return cycles


def early_cycles(ledger: Ledger, chip: ChipSpec, table: CostTable) -> F64:
    """Return what of each turn's cycles need not wait for layers that lie beside its own, (positions, turns)."""
    early, of_ports = early_ports(ledger), port_cycles(ledger, table, float(chip.sram_wait_states))
    cycles = np.zeros((ledger.positions, len(ledger.turns.shard)))
    for ports in ports_by_stage(ledger).values():
        chosen = ports[early[ports]]
        np.add.at(cycles.T, ledger.turns.first[ledger.ports["shard"][chosen]], of_ports[:, chosen].T)
    return cycles


def ports_by_stage(ledger: Ledger) -> dict[str, I64]:
    """Return the numbers of the ports on which layers work in each stage."""
    by_stage: dict[str, list[int]] = {}
    for number, (shard, name) in enumerate(zip(ledger.ports["shard"].tolist(), ledger.ports["name"].tolist(), strict=True)):
        stages = twins.twin("kernels", ledger.kernel_of(shard)).PORT_STAGES
        if stage := stages.get(ledger.port_names[name]):
            by_stage.setdefault(stage, []).append(number)
    return {stage: np.array(numbers, np.int64) for stage, numbers in by_stage.items()}


def turns_by_kernel(ledger: Ledger) -> dict[str, I64]:
    """Return the numbers of the turns of each neuron model."""
    by_kernel: dict[str, list[int]] = {}
    for turn, shard in enumerate(ledger.turns.shard.tolist()):
        by_kernel.setdefault(ledger.kernel_of(shard), []).append(turn)
    return {kernel: np.array(numbers, np.int64) for kernel, numbers in by_kernel.items()}


def port_cycles(ledger: Ledger, table: CostTable, wait_states: float) -> F64:
    """Return the cycles of each port at each position, (positions, ports)."""
    port = ledger.port_work
    cycles: F64 = twins.twin("formats", ledger.format).cycles(port, table, wait_states) + _trace_cycles(port, table, wait_states)
    if port.adds.any():
        sum_cycles = table["port_sum_cycles"] + table["branch_refill_cycles"] + wait_states * table["port_sum_loads"]
        cycles = cycles + sum_cycles * (port.adds * port.rows * port.lanes)
    return table["counted_cycles_ratio"] * cycles


def _unit_cycles(ledger: Ledger, table: CostTable) -> F64:
    """Return the cycles of the units' steps, (positions, turns)."""
    units = ledger.units_stepped
    cycles = np.zeros(units.shape)
    for kernel, turns in turns_by_kernel(ledger).items():
        twin = twins.twin("kernels", kernel)
        cycles[:, turns] = twin.cycles(units[:, turns], table)
        if hasattr(twin, "position_cycles"):
            first = turns[ledger.turns.phase[turns] == 0]
            cycles[:, first] += twin.position_cycles(units[:, first], table)
        if hasattr(twin, "active_cycles"):
            counts = {name: counts[:, turns] for name, counts in ledger.by_turn.items()}
            cycles[:, turns] += twin.active_cycles(counts, ledger.events[:, turns], table)
    return table["counted_cycles_ratio"] * cycles


def _trace_cycles(port: PortCounts, table: CostTable, wait_states: float) -> F64:
    """Return the cycles of the upkeep of ports' traces, (positions, ports): each PE keeps its own copy."""
    refill, elements = table["branch_refill_cycles"], port.traced * port.lanes * port.width
    if not elements.any():
        return np.zeros(elements.shape)
    whole = port.weight_bytes == 1  # of these a number is made of each element
    number_cycles = np.where(whole, table["trace_number_cycles"] + refill + wait_states, 0.0) * elements
    if sends_vectors(table.settings):
        counted = np.where(whole, table["int8_trace_element_cycles"], table["trace_element_cycles"])
        return np.asarray((counted + refill + wait_states * table["trace_element_loads"]) * elements + number_cycles, np.float64)
    decay_cycles = table["trace_decay_cycles"] + refill + wait_states * table["trace_decay_loads"]
    counted = np.where(whole, table["int8_trace_event_cycles"], table["trace_event_cycles"])
    event_cycles = counted + refill + wait_states * table["trace_event_loads"]
    return np.asarray(decay_cycles * elements + event_cycles * port.traced * port.heard + number_cycles, np.float64)


def _message_cycles(noc: NocTraffic, chip: ChipSpec, table: CostTable) -> F64:
    """Return the sender's cycles for its messages, (positions, turns)."""
    flits, messages = noc.flits.astype(np.float64), table.settings["messages"]
    setups = table["packet_setup_cycles"] * noc.leaves if messages != "multicast" else 0.0
    elsewhere = table["packet_cycles"] * noc.outgoing + setups
    if messages == "dma":
        noc_cycles = flits * port_noc_cycles(chip, table) + table["dma_wait_noc_cycles"]
        return (chip.dma_setup_cycles + noc_cycles * (chip.pe_clock_hz / chip.noc_clock_hz)) * noc.sends + elsewhere
    return (table["packet_setup_cycles"] + table["packet_cycles"] * flits) * noc.sends + elsewhere


def _transfer_cycles(transfers: TransferMoves, chip: ChipSpec, table: CostTable) -> F64:
    """Return the cycles of each shard for what it sends its peers, (positions, shards): as for messages, of DMA and of packets."""
    port, wait = port_noc_cycles(chip, table), table["dma_wait_noc_cycles"]
    noc_cycles = port * transfers.dma_flits + wait * transfers.dma_messages
    by_dma = chip.dma_setup_cycles * transfers.dma_messages + noc_cycles * (chip.pe_clock_hz / chip.noc_clock_hz)
    by_packets = table["packet_setup_cycles"] * transfers.packet_messages + table["packet_cycles"] * transfers.packets
    return np.asarray(by_dma + by_packets, np.float64)
