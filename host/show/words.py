"""Words and units for the names that reports, ledgers and prices use: the one table of them.

A name that is not here (a stage or a count of a user's own neuron model) loses its underscores and is shown as it is.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from host.cost.twins import stage_words


class Words(NamedTuple):
    """What a name stands for, and its unit, "" where it is a plain number."""

    text: str
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.text}, {self.unit}" if self.unit else self.text


_ENERGY = {
    "floor": "chip with its PEs off", "sleep": "PEs powered", "compute": "PEs computing", "wait": "PEs waiting",
    "links": "links between chips",
}  # fmt: skip
_COUNTS = {
    "macs": Words("effective multiply-accumulates"), "weights_visited": Words("stored weights looked at"),
    "rows": Words("rows of products"), "units": Words("units stepped"), "exponentials": Words("exponentials"),
    "events": Words("events"), "event_copies": Words("copies of events between PEs"), "messages_sent": Words("messages sent"),
    "messages_received": Words("messages received"), "flits_sent": Words("flits sent"), "flits_received": Words("flits received"),
    "message_bytes": Words("messages, in whole flits", "B"), "dma_bytes": Words("moved by DMA", "B"),
    "sram_read_bytes": Words("SRAM read", "B"), "sram_written_bytes": Words("SRAM written", "B"),
    "dram_read_bytes": Words("DRAM read", "B"), "dram_written_bytes": Words("DRAM written", "B"),
    "link_flits": Words("flits times the links they crossed"), "busiest_link_flits": Words("flits on the busiest link"),
    "transfers": Words("transfers"), "spikes": Words("spikes"),
}  # fmt: skip
_NEUROBENCH = {
    "Footprint": Words("parameters as torch holds them", "B"), "DeployedFootprint": Words("weights and variables in SRAM", "B"),
    "ParameterCount": Words("parameters"), "ConnectionSparsity": Words("zeros among connections, share"),
    "ActivationSparsity": Words("zeros among outputs, share"), "ActivationSparsityByLayer": Words("zeros among outputs, share"),
    "SynapticOperations": Words("operations an execution"), "Effective_MACs": Words("effective multiply-accumulates"),
    "Effective_ACs": Words("effective accumulates"), "Dense": Words("all weights"), "GateMACs": Words("products of gates"),
    "Executions": Words("executions"), "Task": Words("task"), "Host": Words("on the host"),
}  # fmt: skip
_MAPPING = {
    "pes": Words("PEs"), "pes_by_chip": Words("PEs on each chip"), "layers": Words("PEs of each layer"),
    "strategy": Words("mapping"), "format": Words("weight format"), "lanes": Words("sequences side by side"),
    "sram": Words("SRAM"), "worst": Words("fullest PE", "B"), "program": Words("program"), "debug": Words("debug area"),
    "weights": Words("weights"), "variables": Words("variables"), "spill": Words("of them behind the program"),
    "free": Words("free"), "chips": Words("chips"), "advice": Words("advice"),
}  # fmt: skip
COLUMN_WORDS: Mapping[str, Words] = {
    "token_ms": Words("time", "ms a token"), "token_mj": Words("energy", "mJ a token"), "power_mw": Words("power", "mW"),
    "computation_ms": Words("computation", "ms a token"), "communication_ms": Words("communication", "ms a token"),
    "links_ms": Words("links between chips", "ms a token"), "broadcast_ms": Words("sending events", "ms a token"),
    "wait_ms": Words("waiting for DRAM", "ms a token"), "pointwise_ms": Words("units' own steps", "ms a token"),
}  # fmt: skip
"""Columns of a sweep's table, as a plot calls them."""
ENERGY = {name: Words(text) for name, text in _ENERGY.items()}
"""The parts of a run's energy."""
NAMES: dict[str, Words] = {**_MAPPING, **_NEUROBENCH, **_COUNTS}


def stages_of(kernels: Iterable[str]) -> dict[str, Words]:
    """Return the stages of layers of these neuron models by name."""
    return {name: Words(text.removeprefix("the ")) for name, text in stage_words(kernels).items()}


def name_of(key: str, names: Mapping[str, Words] = NAMES) -> str:
    """Return words, with their unit, for a name; of a dotted one part by part: "SRAM read, B: sending events"."""
    parts = key.split(".")
    return ": ".join(dict.fromkeys(str(names.get(part) or Words(part.replace("_", " "))) for part in parts))
