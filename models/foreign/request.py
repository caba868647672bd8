"""Import options and import results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.network import SEGMENT_STATES, ModelError

if TYPE_CHECKING:  # the command line reads this file too, and must not load a compiler
    from models.checkpoint import Model
    from models.dnn.model import DnnModel

SEGMENT = 70  # the authors' evaluation length
MAX_SEGMENT = 1 << 31


@dataclass(frozen=True)
class ImportRequest:
    """What only the user knows or wants otherwise; None and empty: as the file has it, else the importer's default.

    `options` are those of the importer alone (its `add_flags`), by name; None: not given.
    """

    text: Path | None = None
    prefix: str = ""
    segment: int | None = None
    state: str | None = None
    licence: str = ""
    importer: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, **options: Any) -> ImportRequest:
        """Return a request from options by name, those of importers among the others, as Python has them."""
        own = {name: value for name, value in options.items() if name in cls.__dataclass_fields__ and name != "options"}
        return cls(**own, options={name: value for name, value in options.items() if name not in own})

    def check(self) -> None:
        """Raise ModelError for an invalid value; options are the importer's to check."""
        if self.state is not None and self.state not in SEGMENT_STATES:
            raise ModelError(f"--state {self.state!r}: needs {' or '.join(SEGMENT_STATES)}")
        if self.segment is not None and not 0 < self.segment < MAX_SEGMENT:
            raise ModelError(f"--segment {self.segment}: needs at least 1")

    @property
    def given(self) -> dict[str, Any]:
        """The options that were given."""
        return {name: value for name, value in self.options.items() if value is not None}

    def choice(self, name: str, known: Sequence[str]) -> str | None:
        """Return an option that is one of some words, None where it was not given; ModelError for another word."""
        value = self.options.get(name)
        if value is not None and value not in known:
            raise ModelError(f"--{name.replace('_', '-')} {value!r}: needs {' or '.join(known)}")
        return value

    def number(self, name: str, least: float, most: float) -> float | None:
        """Return an option that is a number from `least` to `most`, None where it was not given; ModelError for anything else."""
        value = self.options.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise ModelError(f"--{name.replace('_', '-')} {value}: needs {least:g} to {most:g}")
        return float(value)


@dataclass(frozen=True)
class Findings:
    """An imported state_dict: the model, its description (pairs of a name and a text), notes for the user, and its origin."""

    model: Model
    description: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    provenance: Mapping[str, Any]


@dataclass(frozen=True)
class DnnFindings:
    """An imported DNN: the model, its description (pairs of a name and a text), and notes for the user."""

    model: DnnModel
    description: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
