"""The file of a ledger in a run folder, which is read in parts. Files of earlier schemas are read whole.

What is no array stands as JSON in the file's metadata: `gennaker-ledger` has the populations, the machine and so on; `columns`
names each column of the table `counts` (what is counted, PE, population, and port, tick or peer), `shards` the rows of the
arrays `shards.*` and `per_lane.*`, and `ports` and `peers` those of theirs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from host.cost import old_ledgers
from host.cost.ledger import KERNEL_COLUMNS, PEER_COLUMNS, PORT_COLUMNS, SHARD_COLUMNS, Ledger, PopulationFacts, RunLedger
from host.cost.ledger_checks import check_ledger, check_positions, check_run
from host.cost.ledger_columns import Columns
from host.cost.ledger_writer import ALIKE, COUNTS, FILE, KEY, PER_LANE, SCHEMA, checksum
from host.errors import HostError, need_file
from models.network import U32, Array
from noc.chip import parse_pe

_CHECKED_BYTES = 4 << 20  # at once
_BY_TURN = "step."  # of tensors of earlier schemas: what a kernel counted that depends on activity


@dataclass(frozen=True, kw_only=True)
class LedgerFile(RunLedger):
    """A run's ledger on disk: `rows` positions, whose table begins at byte `rows_at` of the file `path`; it has columns for the
    counts `by_turn`, of which those `in_use` are not all 0. `sends`: whether any transfer was sent.
    """

    path: Path
    rows: int
    rows_at: int
    by_turn: tuple[str, ...] = ()
    in_use: tuple[str, ...] = ()
    sends: bool = False

    @property
    def positions(self) -> int:
        """How many sequence positions went through every layer."""
        return self.rows

    @property
    def has_transfers(self) -> bool:
        """Whether any shard of the run sent a transfer."""
        return self.sends

    @cached_property
    def columns(self) -> Columns:
        """Which column of the table is what."""
        return Columns(self, self.by_turn)

    @cached_property
    def executions(self) -> int:
        """How many positions of sequences were run: an idle lane is none."""
        return sum(part.ledger.executions for part in self.parts())

    def part(self, first: int, last: int) -> Ledger:
        """Return the positions from `first` to `last` (exclusive), with what those before them sent that they hear.

        HostError where the file is not what it was. All of a short run is read once.
        """
        return self._whole if not first and last >= self.rows and self.rows <= self.at_once else self.read(first, last)

    @cached_property
    def _whole(self) -> Ledger:
        return self.read(0, self.rows)

    def read(self, first: int, last: int) -> Ledger:
        """As `part`, from the file."""
        begin = max(first - self.most_delay, 0)
        rows = read_rows(self.path, self.rows_at, self.columns.width, begin, min(last, self.rows))
        before = self._ledger_of(rows[: first - begin]).sent_before(first - begin)
        return self._ledger_of(rows[first - begin :], before=before)

    def _ledger_of(self, rows: U32, **more: Any) -> Ledger:
        return self.share(Ledger(**self.facts(), **self.columns.split(rows, self.in_use), **more))


def read_rows(path: Path, rows_at: int, width: int, first: int, last: int) -> U32:
    """Return rows of a table that begins at byte `rows_at`, (positions, columns); HostError where they are not there."""
    size = max(last - first, 0)
    try:
        rows = np.fromfile(path, "<u4", size * width, offset=rows_at + 4 * first * width)
    except OSError as error:
        raise HostError(f"run {path.parent}: {path.name} cannot be read ({error.strerror})") from error
    if len(rows) < size * width:
        raise HostError(f"run {path.parent}: {path.name} has become shorter; needs {last} positions")
    return rows.reshape(size, width)


def open_ledger(folder: Path) -> RunLedger:
    """Return a run folder's ledger for whoever goes through its positions, having looked at all of them once.

    HostError, one line, where it is missing, damaged, of another schema or inconsistent.
    """
    path = folder / FILE
    if not path.is_file():
        raise HostError(f"run {folder}: has no {FILE}; needs a finished run of `lm`, `dvs` or `verify`")
    need_file(path, f"run {folder}: {FILE}")
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {}).get(KEY, "null"))
            schema = about.get("schema") if isinstance(about, dict) else "none"
            if schema not in (*old_ledgers.SCHEMAS, SCHEMA):
                older = ", ".join(map(str, old_ledgers.SCHEMAS))
                raise HostError(f"run {folder}: ledger of schema {schema!r}; needs {older} or {SCHEMA}")
            names = [name for name in file.keys() if name != COUNTS or schema != SCHEMA]  # noqa: SIM118 - no mapping
            tensors = {name: file.get_tensor(name) for name in names}
            if schema == SCHEMA:
                counts = file.get_slice(COUNTS)
                shape, kind = tuple(counts.get_shape()), counts.get_dtype()
        run = _file_of(path, about, tensors, shape, kind) if schema == SCHEMA else _old_ledger(path, about, tensors)
    except HostError:
        raise
    except Exception as error:  # two libraries and a stranger's bytes: exceptions of a dozen kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"run {folder}: {FILE} is damaged ({why})") from error
    return run


def load_ledger(folder: Path) -> Ledger:
    """Return all of a run folder's ledger in memory; errors as of `open_ledger`."""
    run = open_ledger(folder)
    return run.part(0, run.positions)


def _file_of(path: Path, about: dict[str, Any], tensors: Mapping[str, Array], shape: tuple[int, ...], kind: str) -> RunLedger:
    """Return the ledger of a file of today's schema, whose table of counts has this shape and dtype."""
    who = f"run {path.parent}: {path.name}"
    per_lane = {name[len(PER_LANE) :]: tensor for name, tensor in tensors.items() if name.startswith(PER_LANE) and tensor.any()}
    rows, width = shape
    # It is the last array of the file, and safetensors has made sure that nothing is behind it.
    rows_at, at_once = path.stat().st_size - 4 * rows * width, max(_CHECKED_BYTES // max(4 * width, 1), 1)
    crc = zlib.crc32(COUNTS.encode(), checksum({name: tensor for name, tensor in tensors.items() if name < COUNTS}))
    for first in range(0, rows, at_once):
        crc = zlib.crc32(read_rows(path, rows_at, width, first, min(first + at_once, rows)).tobytes(), crc)
    if about["crc32"] != checksum({name: tensor for name, tensor in tensors.items() if name > COUNTS}, crc):
        raise HostError(f"{who} is damaged (its checksum is another)")
    by_turn = tuple(map(str, about["by_turn"]))
    run = LedgerFile(
        **_facts_of(about, tensors), per_lane=per_lane, path=path, rows=rows, rows_at=rows_at, by_turn=by_turn,
        in_use=tuple(name for name in by_turn if name in about["in_use"]), sends="peers.pe" in tensors,
    )  # fmt: skip
    check_run(run, who)
    if width != run.columns.width or kind != "U32":
        raise HostError(f"{who}: {COUNTS} needs {(rows, run.columns.width)} of uint32, has {shape} of {kind}")
    executions, sends = 0, False
    for part in run.parts():
        check_positions(part.ledger, who, part.first)
        executions, sends = executions + part.ledger.executions, sends or bool(part.ledger.transfers.any())
    vars(run).update(executions=executions, sends=sends)
    if "_whole" in vars(run):
        vars(run._whole).update(has_transfers=sends)
    return run


def _old_ledger(path: Path, about: dict[str, Any], tensors: dict[str, Array]) -> Ledger:
    """Return the ledger of a file of an earlier schema."""
    who = f"run {path.parent}: {path.name}"
    if about.pop("crc32") != checksum(tensors):
        raise HostError(f"{who} is damaged (its checksum is another)")
    if about["schema"] in old_ledgers.CHAINS:
        about, tensors = old_ledgers.translate(about, tensors)
    transfers: dict[str, Any] = {"transfers": tensors["transfers"]} if "transfers" in tensors else {}
    ledger = Ledger(
        **_facts_of(about, tensors), **transfers,
        per_lane={name[len(PER_LANE) :]: tensor for name, tensor in tensors.items() if name.startswith(PER_LANE)},
        events=tensors["events"], input_events=tensors["input_events"], port_counts=tensors["port_counts"],
        stepped=tensors["stepped"],
        by_turn={name[len(_BY_TURN) :]: tensor for name, tensor in tensors.items() if name.startswith(_BY_TURN)},
    )  # fmt: skip
    check_ledger(ledger, who)
    return ledger


def _facts_of(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Return the fields of a `RunLedger` but `per_lane`."""
    chip, machine = about["chip"], about["machine"]
    kinds = {"name": str, "kernel": str, "payload": str, "dense": bool}  # the others are integers
    # Where no port keeps a kernel the columns of kernels are left out, as in files from before there were any.
    columns = [*PORT_COLUMNS, *(name for name in KERNEL_COLUMNS if f"ports.{name}" in tensors)]
    later = {"beside": -1}  # what older files do not say
    populations = [
        {name: kinds.get(name, int)({**later, **one}[name]) for name in PopulationFacts._fields} for one in about["populations"]
    ]
    facts: dict[str, Any] = {
        "populations": tuple(PopulationFacts(**one) for one in populations), "outputs": tuple(map(int, about["outputs"])),
        "interval": int(about["interval"]), "shards": {name: tensors[f"shards.{name}"] for name in SHARD_COLUMNS},
        "ports": {name: tensors[f"ports.{name}"] for name in columns}, "port_names": tuple(map(str, about["port_names"])),
        "pes": tuple(parse_pe(name) for name in about["pes"]), "lanes": int(about["lanes"]), "format": str(about["format"]),
        "chip": {"preset": str(chip["preset"]), "facts": {str(k): float(v) for k, v in chip["facts"].items()}},
        "chips": int(machine["chips"]), "down_chips": tuple(map(int, machine["down_chips"])),
        "down_links": tuple((int(number), int(way)) for number, way in machine["down_links"]),
        "representatives": tensors.get(ALIKE),
    }  # fmt: skip
    if "peers.pe" in tensors:
        facts["peers"] = {name: tensors[f"peers.{name}"] for name in PEER_COLUMNS}
    return facts
