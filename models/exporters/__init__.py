"""Exporters: one file for each kind of file that other programs read, found by name (`models/families.py`).

Contract of an exporter's file:

- `SUFFIXES`: the suffixes of the names of its files, by which it is chosen (".pth");
- `write(path, model, notes)`: writes `model` into `path`, which is new and may have another suffix, and adds to `notes` what the
  user should know, a line each; ModelError, one line without the file's name, for what the kind of file cannot say.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from models.families import family_path, member, member_names
from models.network import ModelError

if TYPE_CHECKING:
    from models.checkpoint import Model

__path__ = family_path(__path__, __name__)
WORD = "exporter"


class Exporter(Protocol):
    """A module of this package."""

    SUFFIXES: Sequence[str]

    def write(self, path: Path, model: Model, notes: list[str]) -> None:
        """Write a model, and add to the notes."""


def exporter_for(path: Path) -> Exporter:
    """Return the exporter of a file's suffix; ModelError where there is none, or more than one."""
    all_of_them = {name: cast(Exporter, member(__name__, name, WORD)) for name in member_names(__name__)}
    suitable = [name for name, one in all_of_them.items() if path.suffix in one.SUFFIXES]
    if len(suitable) > 1:
        raise ModelError(f"export {path}: exporters {' and '.join(suitable)} both write {path.suffix}; rename a suffix of one")
    if not suitable:
        known = [suffix for one in all_of_them.values() for suffix in one.SUFFIXES]
        raise ModelError(f"export {path}: nothing writes files called so; needs a name that ends with {' or '.join(known)}")
    return all_of_them[suitable[0]]
