"""`SavedSession`: the states of all PEs between two steps, in a file of safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from gennaker.errors import WrongInput
from host.mapping.placement import Placement
from host.run.machine_snapshots import Cut, Fed, Heard
from host.run.plan_digest import plan_sha256
from models.network import Array
from noc.packet import Snapshot

_KEY, _VERSION = "gennaker-session", 1


@dataclass(frozen=True)
class SavedSession:
    """Where a session was: everybody's state, where its lanes were (`StepSource.record`), and what inputs are still heard late
    (`LateFeed.record`).
    """

    cut: Cut
    source: Mapping[str, Any]
    late: Mapping[str, Any]

    def write(self, path: Path, placement: Placement) -> None:
        """Write it to a new file; WrongInput where that cannot be."""
        about = {
            "version": _VERSION, "plan": plan_sha256(placement), "tick": self.cut.tick, "fed": list(self.cut.fed),
            "answered": self.cut.heard.answered, "source": dict(self.source), "late": dict(self.late),
            "counts": {name: part.counts for name, part in self.cut.parts.items()},
        }  # fmt: skip
        tensors: dict[str, Array] = {}
        for name, part in self.cut.parts.items():
            tensors |= {
                f"{name}.memory": np.frombuffer(part.memory, np.uint8),
                f"{name}.batch": np.frombuffer(part.batch, np.uint8),
            }
        digest = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()
        raw = save_tensors(tensors, {_KEY: json.dumps({**about, "sha256": digest})})
        part_path = path.with_name(f".{path.name}.part")
        try:
            part_path.write_bytes(raw)
            part_path.replace(path)  # whoever looks sees all of it or nothing
        except OSError as error:
            part_path.unlink(missing_ok=True)
            raise WrongInput(f"save {path}: cannot be written ({error.strerror})") from None

    @classmethod
    def read(cls, path: Path, placement: Placement) -> SavedSession:
        """Read a file of a session with this placement; WrongInput, one line, where it is none."""
        who = f"restore {path}"
        if not path.is_file():
            raise WrongInput(f"{who}: no such file")
        try:
            with safe_open(path, "numpy") as file:
                about = json.loads((file.metadata() or {})[_KEY])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            digest = hashlib.sha256(b"".join(tensors[name].tobytes() for name in sorted(tensors))).hexdigest()
            if about["version"] != _VERSION or about["sha256"] != digest:
                raise ValueError("its version or its checksum is another")
            parts = {
                name: Snapshot(about["tick"], tensors[f"{name}.memory"].tobytes(), tensors[f"{name}.batch"].tobytes(), counts)
                for name, counts in about["counts"].items()
            }
            cut = Cut(about["tick"], Fed(*about["fed"]), Heard(about["answered"], {}), parts)
            saved = cls(cut, about["source"], about["late"])
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise WrongInput(f"{who}: is no saved session, or damaged ({why})") from None
        if about["plan"] != plan_sha256(placement):
            lanes = placement.request.lanes
            raise WrongInput(f"{who}: is of another model, plan or batch; needs the same fit() and a batch of {lanes}")
        return saved
