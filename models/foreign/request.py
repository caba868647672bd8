"""Import options and import results."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.network import SEGMENT_STATES, ModelError

if TYPE_CHECKING:  # the command line reads this file too, and must not load a compiler
    from models.checkpoint import Model

PROJECTIONS = ("linear", "relu")
GRUS = ("mirrored", "plain")
SEGMENT = 70  # the authors' evaluation length
MAX_SEGMENT = 1 << 31


@dataclass(frozen=True)
class ImportRequest:
    """What only the user knows or wants otherwise; None and empty: as the file has it, else the importer's default."""

    text: Path | None = None
    prefix: str = ""
    projection: str | None = None
    zoneout: float | None = None
    segment: int | None = None
    state: str | None = None
    licence: str = ""
    gru: str | None = None
    importer: str | None = None

    def check(self) -> None:
        """Raise ModelError for an invalid value."""
        for flag, known in (("projection", PROJECTIONS), ("state", SEGMENT_STATES), ("gru", GRUS)):
            value = getattr(self, flag)
            if value is not None and value not in known:
                raise ModelError(f"--{flag} {value!r}: needs {' or '.join(known)}")
        if self.zoneout is not None and not 0 <= self.zoneout <= 1:
            raise ModelError(f"--zoneout {self.zoneout}: needs 0 to 1")
        if self.segment is not None and not 0 < self.segment < MAX_SEGMENT:
            raise ModelError(f"--segment {self.segment}: needs at least 1")


@dataclass(frozen=True)
class Findings:
    """An imported state_dict: the model, its description (pairs of a name and a text), notes for the user, and its origin."""

    model: Model
    description: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]
