"""The file of a ledger in a run folder: tensors, and as metadata what is no array. Files of earlier schemas are read, too."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.cost import old_ledgers
from host.cost.ledger import KERNEL_COLUMNS, PEER_COLUMNS, PORT_COLUMNS, SHARD_COLUMNS, Ledger, PopulationFacts, RunLedger
from host.cost.ledger_checks import check_ledger
from host.errors import HostError, need_file
from models.network import Array
from noc.chip import parse_pe

SCHEMA = 4
FILE = "ledger.safetensors"
_KEY = "gennaker-ledger"
_PER_LANE, _BY_TURN = "per_lane.", "step."  # of a kernel's counts: those that do not depend on activity, and those that do


def save_ledger(ledger: Ledger, folder: Path) -> None:
    """Write the ledger into a run folder."""
    about = {
        "schema": SCHEMA, "pes": [str(pe) for pe in ledger.pes], "populations": [one._asdict() for one in ledger.populations],
        "outputs": list(ledger.outputs), "interval": ledger.interval, "port_names": list(ledger.port_names),
        "lanes": ledger.lanes, "format": ledger.format, "chip": dict(ledger.chip),
        "machine": {"chips": ledger.chips, "down_chips": list(ledger.down_chips), "down_links": list(map(list, ledger.down_links))},
    }  # fmt: skip
    tensors: dict[str, Array] = {
        "events": ledger.events,
        "input_events": ledger.input_events,
        "port_counts": ledger.port_counts,
        "stepped": ledger.stepped,
    }
    tensors |= {f"shards.{name}": ledger.shards[name] for name in SHARD_COLUMNS}
    tensors |= {f"ports.{name}": ledger.ports[name] for name in (*PORT_COLUMNS, *KERNEL_COLUMNS) if name in ledger.ports}
    tensors |= {_BY_TURN + name: counts for name, counts in ledger.by_turn.items()}
    tensors |= {_PER_LANE + name: counts for name, counts in ledger.per_lane.items()}
    if ledger.transfers.size:
        tensors |= {f"peers.{name}": ledger.peers[name] for name in PEER_COLUMNS} | {"transfers": ledger.transfers}
    if ledger.representatives is not None:
        tensors["alike"] = ledger.representatives
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    about["crc32"] = _crc(tensors)
    (folder / FILE).write_bytes(save_tensors(tensors, {_KEY: json.dumps(about)}))


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
            if schema not in (*old_ledgers.SCHEMAS, SCHEMA):
                older = ", ".join(map(str, old_ledgers.SCHEMAS))
                raise HostError(f"run {folder}: ledger of schema {schema!r}; needs {older} or {SCHEMA}")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if about.pop("crc32") != _crc(tensors):
                raise HostError(f"run {folder}: {FILE} is damaged (its checksum is another)")
        if schema != SCHEMA:
            about, tensors = old_ledgers.translate(about, tensors)
        ledger = _ledger_of(about, tensors)
        check_ledger(ledger, f"run {folder}: {FILE}")
    except HostError:
        raise
    except Exception as error:  # two libraries and a stranger's bytes: exceptions of a dozen kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"run {folder}: {FILE} is damaged ({why})") from error
    return ledger


def open_ledger(folder: Path) -> RunLedger:
    """Return a run folder's ledger for whoever goes through its positions; errors as of `load_ledger`."""
    return load_ledger(folder)


def _transfers_of(tensors: Mapping[str, Array]) -> dict[str, Any]:
    """Return the fields of transfers, where a file has them."""
    if "transfers" not in tensors:
        return {}
    return {"peers": {name: tensors[f"peers.{name}"] for name in PEER_COLUMNS}, "transfers": tensors["transfers"]}


def _ledger_of(about: Mapping[str, Any], tensors: Mapping[str, Array]) -> Ledger:
    chip, machine = about["chip"], about["machine"]
    kinds = {"name": str, "kernel": str, "payload": str, "dense": bool}  # the others are integers
    # Where no port keeps a kernel the columns of kernels are left out, as in files from before there were any.
    columns = [*PORT_COLUMNS, *(name for name in KERNEL_COLUMNS if f"ports.{name}" in tensors)]
    later = {"beside": -1}  # what older files of this schema do not say
    populations = [
        {name: kinds.get(name, int)({**later, **one}[name]) for name in PopulationFacts._fields} for one in about["populations"]
    ]
    return Ledger(
        populations=tuple(PopulationFacts(**one) for one in populations), outputs=tuple(map(int, about["outputs"])),
        interval=int(about["interval"]), events=tensors["events"], input_events=tensors["input_events"],
        port_counts=tensors["port_counts"], stepped=tensors["stepped"],
        by_turn={name[len(_BY_TURN) :]: tensor for name, tensor in tensors.items() if name.startswith(_BY_TURN)},
        per_lane={name[len(_PER_LANE) :]: tensor for name, tensor in tensors.items() if name.startswith(_PER_LANE)},
        shards={name: tensors[f"shards.{name}"] for name in SHARD_COLUMNS},
        ports={name: tensors[f"ports.{name}"] for name in columns}, port_names=tuple(map(str, about["port_names"])),
        **_transfers_of(tensors),
        pes=tuple(parse_pe(name) for name in about["pes"]), lanes=int(about["lanes"]), format=str(about["format"]),
        chip={"preset": str(chip["preset"]), "facts": {str(k): float(v) for k, v in chip["facts"].items()}},
        chips=int(machine["chips"]), down_chips=tuple(map(int, machine["down_chips"])),
        down_links=tuple((int(number), int(way)) for number, way in machine["down_links"]),
        representatives=tensors.get("alike"),
    )  # fmt: skip
