"""The ledger of a run: what every shard did at every sequence position, in integers, and where the shards were.

Kernels count and `host/cost/price.py` prices; this file keeps what lies between, small enough for long runs: five uint32 a
shard and position (events, multiply-accumulates and stored weights visited, by port), and once a run what does not
depend on activity (rows, units, stored weights, the PE each shard ran on). Entries are keyed by sequence position, not
by tick, so a run that went through the layers as a wavefront can be priced as one that did not. Packets, flits and bytes
are not here: they follow from events, placement and the price's message mode. So does what links between chips carry:
the machine that a run had can be built again from its ledger.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.errors import HostError
from models.network import U32, Array
from noc.chip import ChipError, PeId, parse_pe, require_on_plan
from noc.machine import MOST_CHIPS
from noc.packet import LEDGER, Section

if TYPE_CHECKING:  # who only prices a ledger needs no mapping
    from host.mapping.placement import Placement

I64 = npt.NDArray[np.int64]
COUNTS = LEDGER[:5]  # what depends on activity; units and exponentials are as many at every position
SCHEMA = 3
_WITHOUT_TRACES = 2  # the schema before: nothing kept a trace
FILE = "ledger.safetensors"
_LARGEST = 1 << 31  # of any size: no product of two overflows
_KEY = "gennaker-ledger"
_TABLE = (
    "pe", "layer", "units", "rows_input", "rows_recurrent", "weights_input", "weights_recurrent", "width_input", "width_recurrent",
    "trace_input", "exponentials",
)  # fmt: skip


@dataclass(frozen=True)
class Ledger:
    """What a run did.

    `counts` (positions, shards, 5) uint32 in the order of `COUNTS`; `input_events` (positions,) uint32; `table` maps
    each name of `_TABLE` to one int64 a shard: the index of its PE in `pes`, its layer from 1, units, rows and stored
    weights by port, how many units it listens to, whether its input keeps a trace (1 or 0), and exponentials a position.
    `layers` names the layers. `chip` holds the preset and the numbers that were overridden.

    `chips` is how many chips the machine has; `down_chips` and `down_links`, (chip, direction), are what it lacks. Where
    chips do the same to the last integer, one of them stands for all: `alike` (chips,) int64 names the chip of `pes` that
    each chip is like, -1 for one without a PE in use; None, as in every recorded run, where each is only like itself.
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
    alike: I64 | None = None

    @cached_property
    def chip_of(self) -> I64:
        """The chip of each PE, (PEs,)."""
        return np.array([pe.chip for pe in self.pes], np.int64)

    @cached_property
    def like(self) -> I64:
        """`alike`, also where it is None: (chips,), -1 for chips without a PE in use."""
        if self.alike is not None:
            return self.alike
        like = np.full(self.chips, -1, np.int64)
        like[self.chip_of] = self.chip_of
        return like

    @cached_property
    def times(self) -> I64:
        """How many PEs of the machine each PE stands for, (PEs,): 1 in every recorded run."""
        return np.asarray(np.bincount(self.like[self.like >= 0], minlength=self.chips)[self.chip_of], np.int64)

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
        tensors |= {f"table.{name}": np.ascontiguousarray(self.table[name]) for name in _TABLE}
        if self.alike is not None:
            tensors["alike"] = np.ascontiguousarray(self.alike)
        about["crc32"] = _crc(tensors)
        (folder / FILE).write_bytes(save_tensors(tensors, {_KEY: json.dumps(about)}))


def _crc(tensors: Mapping[str, Array]) -> int:
    """Return a checksum of names and bytes: the file format has none."""
    crc = 0
    for name in sorted(tensors):
        crc = zlib.crc32(np.ascontiguousarray(tensors[name]).tobytes(), zlib.crc32(name.encode(), crc))
    return crc


class Recorder:
    """Collects a run's ledger as its sections arrive, each layer in ascending position."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._parts: dict[int, list[bytes]] = {n: [] for n in placement.network.layers}
        self._input: list[int] = []

    def fed(self, events: int) -> None:
        """Take in the number of input events of the next position."""
        self._input.append(events)

    def add(self, section: Section) -> None:
        """Take in a layer's counts at the next position."""
        self._parts[section.population].append(section.ledger)

    def ledger(self) -> Ledger:
        """Return the ledger of the positions that every layer has finished."""
        placement = self._placement
        layers = placement.network.layers
        done = min(len(parts) for parts in self._parts.values())
        counts = [
            np.frombuffer(b"".join(self._parts[n][:done]), "<u4").reshape(done, len(placement.senders(n)), len(LEDGER))
            for n in layers
        ]
        everything = np.concatenate(counts, axis=1)
        # As many at every position, by the kernels' contract (models/kernels), so kept once.
        exponentials = everything[:1, :, LEDGER.index("exponentials")].sum(axis=0, dtype=np.int64)
        return assembled(placement, everything[:, :, : len(COUNTS)], np.array(self._input[:done], np.uint32), exponentials)


def shards_of(placement: Placement) -> list[tuple[int, int, U32]]:
    """Return (index of the PE, layer, units) of each shard, in the order of a ledger."""
    found: dict[int, list[tuple[int, int, U32]]] = {n: [] for n in placement.network.layers}
    for number, placed in enumerate(placement.pes):
        for layer, units in placed.share:
            found[layer].append((number, layer, units))
    return [shard for shards in found.values() for shard in shards]


def assembled(placement: Placement, counts: U32, input_events: U32, exponentials: I64) -> Ledger:
    """Return the ledger of a network placed so, from (positions, shards, 5) counts and (shards,) exponentials a position."""
    network, chip, machine = placement.network, placement.chip, placement.machine
    rows = [_row(placement, pe, layer, units) for pe, layer, units in shards_of(placement)]
    table = {name: np.array([row[i] for row in rows], np.int64) for i, name in enumerate(_TABLE[:-1])}
    return Ledger(
        np.ascontiguousarray(counts),
        input_events,
        {**table, "exponentials": exponentials},
        tuple(placed.pe for placed in placement.pes),
        tuple(network.populations[n].name for n in network.layers),
        network.populations[0].units,
        placement.request.lanes,
        placement.request.format,
        {"preset": chip.name, "facts": {name: fact.value for name, fact in chip.facts.items() if fact.grade == "user"}},
        machine.chips,
        tuple(sorted(machine.down_chips)),
        tuple(sorted(link for link in chip.down_links if link[0] < machine.chips)),
    )


def _row(placement: Placement, pe: int, layer: int, units: U32) -> tuple[int, ...]:
    population = placement.network.populations[layer]
    weights, widths, rows = [], [], []
    for projection in population.projections:
        gates = projection.weights.shape[0] // population.units
        lengths = projection.weights.row_nonzeros.reshape(gates, population.units)
        weights.append(int(lengths[:, units].sum()))
        widths.append(placement.network.populations[projection.source].units)
        rows.append(gates * len(units))
    traced = any(projection.trace for projection in population.projections)  # the recurrent one never has one (`pe/core.py`)
    return (pe, layer, len(units), *rows, *weights, *widths, int(traced))


def load(folder: Path) -> Ledger:
    """Read a run folder's ledger; HostError, one line, where it is missing, damaged, of another schema or inconsistent."""
    path = folder / FILE
    if not path.is_file():
        raise HostError(f"run {folder}: has no {FILE}; needs a finished run of `lm`, `dvs` or `verify`")
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get(_KEY, "null"))
            schema = about.get("schema") if isinstance(about, dict) else "none"
            if schema not in (_WITHOUT_TRACES, SCHEMA):
                raise HostError(f"run {folder}: ledger of schema {schema!r}; needs {_WITHOUT_TRACES} or {SCHEMA}")
            names = [name for name in _TABLE if name != "trace_input" or schema == SCHEMA]
            tensors = {name: file.get_tensor(name) for name in ("counts", "input_events", *(f"table.{name}" for name in names))}
            tensors |= {name: file.get_tensor(name) for name in ("alike",) if name in file.keys()}  # noqa: SIM118 - no mapping
            if about.pop("crc32") != _crc(tensors):
                raise HostError(f"run {folder}: {FILE} is damaged (its checksum is another)")
            table = {name: tensors[f"table.{name}"] for name in names}
            table.setdefault("trace_input", np.zeros(len(table["pe"]), np.int64))
            machine = about.get("machine", {"chips": 1, "down_chips": [], "down_links": []})  # older runs had one chip
            ledger = Ledger(
                tensors["counts"], tensors["input_events"], table, tuple(parse_pe(name) for name in about["pes"]),
                tuple(map(str, about["layers"])), int(about["input_units"]), int(about["lanes"]), str(about["format"]),
                {"preset": str(about["chip"]["preset"]), "facts": {str(k): float(v) for k, v in about["chip"]["facts"].items()}},
                int(machine["chips"]), tuple(map(int, machine["down_chips"])),
                tuple((int(chip), int(way)) for chip, way in machine["down_links"]), tensors.get("alike"),
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
    alike = ledger.alike
    if alike is None:
        return
    own = sorted({pe.chip for pe in ledger.pes})
    wrong = alike.shape != (chips,) or alike.dtype != np.int64 or not set(alike.tolist()) <= {-1, *own}
    host = next((chip for chip in range(chips) if chip not in ledger.down_chips), 0)
    if wrong or (alike[own] != own).any() or (alike[list(ledger.down_chips)] >= 0).any() or (alike == host).sum() > 1:
        raise HostError(f"{who}: chips are like others that are not there")


def _check_counts(ledger: Ledger, who: str) -> None:
    """Raise HostError where counts are more than the shards' sizes allow."""
    table, lanes = ledger.table, ledger.lanes
    limits = {"events": lanes * table["units"]}
    for port in ("input", "recurrent"):
        stored = table[f"weights_{port}"]
        if ledger.format == "dense":  # which visits zeros too
            stored = table[f"rows_{port}"] * table[f"width_{port}"]
        limits[f"macs_{port}"] = lanes * table[f"weights_{port}"]
        limits[f"visited_{port}"] = lanes * stored
    for name, most in limits.items():
        over = np.argwhere(ledger.of(name) > most)
        if len(over):
            position, shard = over[0].tolist()
            have, pe = int(ledger.of(name)[position, shard]), ledger.pes[int(table["pe"][shard])]
            raise HostError(f"{who}: {name} of {pe} at position {position} is {have}, its shard allows {int(most[shard])}")
    if (ledger.input_events > lanes * ledger.input_units).any():
        raise HostError(f"{who}: has more input events than input units")
