"""The ledger of a run: what every shard did at every sequence position, in integers, and where the shards were.

It is small enough for long runs: five uint32 a shard and position (events, multiply-accumulates and stored weights visited, by
port), and once a run what does not depend on activity. Entries are keyed by sequence position, not by tick, so a run that went
through the layers as a wavefront can be priced as one that did not. Packets, flits and bytes are not here: they follow from
events, placement and the price's message mode.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.cost.formats import PortCounts
from host.cost.twins import twin
from host.errors import HostError, need_file
from models.network import I64, U32, Array
from noc.chip import ChipError, ChipSpec, PeId, parse_pe, require_on_plan
from noc.machine import MOST_CHIPS, Machine
from noc.packet import LEDGER

COUNTS = LEDGER[:5]  # what depends on activity; units and exponentials are as many at every position
SCHEMA = 3
_WITHOUT_TRACES = 2  # the schema before: nothing kept a trace
FILE = "ledger.safetensors"
_LARGEST = 1 << 31  # of any size: no product of two overflows
_KEY = "gennaker-ledger"
SHARD_COLUMNS = (
    "pe", "layer", "units", "rows_input", "rows_recurrent", "weights_input", "weights_recurrent", "width_input", "width_recurrent",
    "trace_input", "exponentials",
)  # fmt: skip


@dataclass(frozen=True)
class Ledger:
    """What a run did.

    `counts` (positions, shards, 5) uint32 in the order of `COUNTS`; `input_events` (positions,) uint32; `table` maps
    each name of `SHARD_COLUMNS` to one int64 a shard: the index of its PE in `pes`, its layer from 1, units, rows and stored
    weights by port, how many units it listens to, whether its input keeps a trace (1 or 0), and exponentials a position.
    `layers` names the layers. `chip` holds the preset and the numbers that were overridden.

    `chips` is how many chips the machine has; `down_chips` and `down_links`, (chip, direction), are what it lacks. Where
    chips do the same to the last integer, one of them stands for all: `representatives` (chips,) int64 names the chip of `pes`
    that stands for each chip, -1 for one without a PE in use; None, as in every recorded run, where each stands for itself.
    `kernel` is the layers' neuron model; files name none, because all that were recorded are EGRUs.
    """

    counts: U32
    input_events: U32
    table: Mapping[str, I64]
    pes: tuple[PeId, ...]
    layers: tuple[str, ...]
    input_units: int
    lanes: int
    format: str
    chip: Mapping[str, Any] = field(default_factory=dict)
    chips: int = 1
    down_chips: tuple[int, ...] = ()
    down_links: tuple[tuple[int, int], ...] = ()
    representatives: I64 | None = None
    kernel: str = "egru"

    @cached_property
    def chip_of(self) -> I64:
        """The chip of each PE, (PEs,)."""
        return np.array([pe.chip for pe in self.pes], np.int64)

    @cached_property
    def representative_of(self) -> I64:
        """`representatives`, also where it is None: (chips,), -1 for chips without a PE in use."""
        if self.representatives is not None:
            return self.representatives
        representative_of = np.full(self.chips, -1, np.int64)
        representative_of[self.chip_of] = self.chip_of
        return representative_of

    @cached_property
    def chips_represented(self) -> I64:
        """How many chips each chip stands for, (chips,): at most 1 in every recorded run."""
        return np.bincount(self.representative_of[self.representative_of >= 0], minlength=self.chips)

    @cached_property
    def multiplicity(self) -> I64:
        """How many PEs of the machine each PE stands for, (PEs,): 1 in every recorded run."""
        return np.asarray(self.chips_represented[self.chip_of], np.int64)

    @cached_property
    def ports(self) -> Mapping[str, PortCounts]:
        """What the shards did and hold at each of their ports.

        Through `input` they hear the layer before at the same position; through `recurrent` their own layer one before.
        """
        table, layer = self.table, self.table["layer"]
        events = self.of("events") * self.multiplicity[table["pe"]]
        by_layer = [self.input_events, *(events[:, layer == n].sum(axis=1) for n in range(1, len(self.layers) + 1))]
        now = np.asarray(np.stack(by_layer, axis=1), np.int64)
        before = np.concatenate([np.zeros((min(1, len(now)), now.shape[1]), np.int64), now[:-1]])
        sources = {"input": (now, layer - 1, table["trace_input"]), "recurrent": (before, layer, np.zeros_like(layer))}
        return {
            port: PortCounts(
                macs=self.of(f"macs_{port}"), visited=self.of(f"visited_{port}"), events=heard, source=source,
                rows=table[f"rows_{port}"], weights=table[f"weights_{port}"], width=table[f"width_{port}"],
                traced=traced, lanes=self.lanes,
            )
            for port, (heard, source, traced) in sources.items()
        }  # fmt: skip

    @property
    def positions(self) -> int:
        """How many sequence positions went through every layer."""
        return len(self.counts)

    def of(self, name: str) -> U32:
        """Return one count, (positions, shards)."""
        return self.counts[:, :, COUNTS.index(name)]

    def save(self, folder: Path) -> None:
        """Write the ledger into a run folder."""
        about = {
            "schema": SCHEMA, "pes": [str(pe) for pe in self.pes], "layers": list(self.layers), "input_units": self.input_units,
            "lanes": self.lanes, "format": self.format, "chip": dict(self.chip),
            "machine": {"chips": self.chips, "down_chips": list(self.down_chips), "down_links": list(map(list, self.down_links))},
        }  # fmt: skip
        tensors = {"counts": np.ascontiguousarray(self.counts), "input_events": np.ascontiguousarray(self.input_events)}
        tensors |= {f"table.{name}": np.ascontiguousarray(self.table[name]) for name in SHARD_COLUMNS}
        if self.representatives is not None:
            tensors["alike"] = np.ascontiguousarray(self.representatives)
        about["crc32"] = _crc(tensors)
        (folder / FILE).write_bytes(save_tensors(tensors, {_KEY: json.dumps(about)}))


def machine_fields(chip: ChipSpec, machine: Machine) -> dict[str, Any]:
    """Return the fields of a ledger that say on what a run was."""
    return {
        "chip": {"preset": chip.name, "facts": {name: fact.value for name, fact in chip.facts.items() if fact.grade == "user"}},
        "chips": machine.chips, "down_chips": tuple(sorted(machine.down_chips)),
        "down_links": tuple(sorted(link for link in chip.down_links if link[0] < machine.chips)),
    }  # fmt: skip


def _crc(tensors: Mapping[str, Array]) -> int:
    """Return a checksum of names and bytes: the file format has none."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(np.ascontiguousarray(tensors[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return crc


def load_ledger(folder: Path) -> Ledger:
    """Read a run folder's ledger; HostError, one line, where it is missing, damaged, of another schema or inconsistent."""
    path = folder / FILE
    if not path.is_file():
        raise HostError(f"run {folder}: has no {FILE}; needs a finished run of `lm`, `dvs` or `verify`")
    need_file(path, f"run {folder}: {FILE}")
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
            schema = about.get("schema") if isinstance(about, dict) else "none"
            if schema not in (_WITHOUT_TRACES, SCHEMA):
                raise HostError(f"run {folder}: ledger of schema {schema!r}; needs {_WITHOUT_TRACES} or {SCHEMA}")
            names = [name for name in SHARD_COLUMNS if name != "trace_input" or schema == SCHEMA]
            tensors = {name: file.get_tensor(name) for name in ("counts", "input_events", *(f"table.{name}" for name in names))}
            tensors |= {name: file.get_tensor(name) for name in ("alike",) if name in file.keys()}  # noqa: SIM118 - no mapping
            if about.pop("crc32") != _crc(tensors):
                raise HostError(f"run {folder}: {FILE} is damaged (its checksum is another)")
            table = {name: tensors[f"table.{name}"] for name in names}
            table.setdefault("trace_input", np.zeros(len(table["pe"]), np.int64))
            # Older runs had one chip.
            chip, machine = about["chip"], about.get("machine", {"chips": 1, "down_chips": [], "down_links": []})
            ledger = Ledger(
                counts=tensors["counts"], input_events=tensors["input_events"], table=table,
                pes=tuple(parse_pe(name) for name in about["pes"]), layers=tuple(map(str, about["layers"])),
                input_units=int(about["input_units"]), lanes=int(about["lanes"]), format=str(about["format"]),
                chip={"preset": str(chip["preset"]), "facts": {str(k): float(v) for k, v in chip["facts"].items()}},
                chips=int(machine["chips"]), down_chips=tuple(map(int, machine["down_chips"])),
                down_links=tuple((int(number), int(way)) for number, way in machine["down_links"]),
                representatives=tensors.get("alike"),
            )  # fmt: skip
        _check(ledger, f"run {folder}: {FILE}")
    except HostError:
        raise
    except Exception as error:  # two libraries and a stranger's bytes: exceptions of a dozen kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"run {folder}: {FILE} is damaged ({why})") from error
    return ledger


def _check(ledger: Ledger, who: str) -> None:
    """Raise HostError where the parts of a ledger contradict each other."""
    shards, table = len(ledger.table["pe"]), ledger.table
    wanted: list[tuple[str, Array, tuple[int, ...], type]] = [
        ("counts", ledger.counts, (ledger.positions, shards, len(COUNTS)), np.uint32),
        ("input_events", ledger.input_events, (ledger.positions,), np.uint32),
        *((f"table.{name}", column, (shards,), np.int64) for name, column in table.items()),
    ]
    for name, array, shape, kind in wanted:
        if array.shape != shape or array.dtype != kind:
            raise HostError(f"{who}: {name} needs {shape} of {np.dtype(kind)}, has {array.shape} of {array.dtype}")
    if not ledger.positions or not shards:
        raise HostError(f"{who}: has {ledger.positions} positions of {shards} shards; needs at least 1")
    for column in table.values():
        if column.min() < 0 or column.max() > _LARGEST:
            raise HostError(f"{who}: has sizes outside of 0 to {_LARGEST}")
    if table["trace_input"].max() > 1:
        raise HostError(f"{who}: trace_input needs 0 or 1, has {int(table['trace_input'].max())}")
    if not 1 <= ledger.lanes <= _LARGEST or not 1 <= ledger.input_units <= _LARGEST:
        raise HostError(f"{who}: has {ledger.lanes} lanes and {ledger.input_units} input units; needs 1 to {_LARGEST}")
    for name, least, most in (("pe", 0, len(ledger.pes) - 1), ("layer", 1, len(ledger.layers))):
        if sorted(set(table[name].tolist())) != list(range(least, most + 1)):
            raise HostError(f"{who}: shards name other {name} numbers than {least} to {most}")
    pairs = set(zip(table["pe"].tolist(), table["layer"].tolist(), strict=True))
    if len(pairs) != shards or len(set(ledger.pes)) != len(ledger.pes) or len(set(ledger.layers)) != len(ledger.layers):
        raise HostError(f"{who}: has a PE twice, a layer twice, or a layer twice on one PE")
    if (np.diff(table["layer"]) < 0).any():
        raise HostError(f"{who}: shards are not in the order of their layers")
    try:
        for pe in ledger.pes:
            require_on_plan(pe)
    except ChipError as error:
        raise HostError(f"{who}: traffic for {error}") from None
    _check_machine(ledger, who)
    _check_counts(ledger, who)


def _check_machine(ledger: Ledger, who: str) -> None:
    """Raise HostError where PEs are on chips that the machine lacks, or chips are like chips that are not there."""
    chips = ledger.chips
    if not 1 <= chips <= MOST_CHIPS:
        raise HostError(f"{who}: has {chips} chips; needs 1 to {MOST_CHIPS}")
    for pe in ledger.pes:
        if pe.chip >= chips or pe.chip in ledger.down_chips:
            raise HostError(f"{who}: traffic for {pe}: not on the {chips} chips of its machine")
    if (stands := ledger.representatives) is None:
        return
    own = sorted({pe.chip for pe in ledger.pes})
    wrong = stands.shape != (chips,) or stands.dtype != np.int64 or not set(stands.tolist()) <= {-1, *own}
    host = next((chip for chip in range(chips) if chip not in ledger.down_chips), 0)
    if wrong or (stands[own] != own).any() or (stands[list(ledger.down_chips)] >= 0).any() or (stands == host).sum() > 1:
        raise HostError(f"{who}: chips are like others that are not there")


def _check_counts(ledger: Ledger, who: str) -> None:
    """Raise HostError where counts are more than the shards' sizes allow."""
    table, lanes = ledger.table, ledger.lanes
    limits = {"events": lanes * table["units"]}
    for name, port in ledger.ports.items():
        stored = limits[f"macs_{name}"] = lanes * port.weights
        limits[f"visited_{name}"] = twin("formats", ledger.format).visited(stored, lanes * port.width, stored, port.rows)
    for name, most in limits.items():
        for position, shard in np.argwhere(ledger.of(name) > most).tolist():
            have, pe = int(ledger.of(name)[position, shard]), ledger.pes[int(table["pe"][shard])]
            raise HostError(f"{who}: {name} of {pe} at position {position} is {have}, its shard allows {int(most[shard])}")
    if (ledger.input_events > lanes * ledger.input_units).any():
        raise HostError(f"{who}: has more input events than input units")
