"""Importers: one file for each kind of checkpoint of other programs, found by name (`models/families.py`).

Contract of an importer's file:

- `KNOWN_BY`: what it looks for in a file, for the line that says that there is nothing ("GRU (weight_hh_l0)");
- `probe(head)`: how certain it is that the file is its own, from 0, not at all, to 100; the most certain one reads it;
- `read(path, request)`: the `Findings` (`models/foreign/request.py`); ModelError in one line where the file makes no model.

`models/foreign/state_dict.py` has `read_state` for those that read tensors by their keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from models.families import family_path

if TYPE_CHECKING:
    from models.foreign.request import Findings, ImportRequest

__path__ = family_path(__path__, __name__)
WORD = "importer"
HEAD_BYTES = 4096


class Head(NamedTuple):
    """What can be known of a file at a glance: its path, its first bytes, and the keys of its tensors where it is a state_dict.

    `keys` are those under the prefix that was asked for, without it and without what wrappers around modules add
    (`module.`, `_orig_mod.`); `keys_in_file` are the same ones, whole.
    """

    path: Path
    start: bytes
    keys: tuple[str, ...] = ()
    keys_in_file: tuple[str, ...] = ()


class Importer(Protocol):
    """A module of this package."""

    KNOWN_BY: str

    def probe(self, head: Head) -> int:
        """Return how certain it is that the file is the importer's own, from 0 to 100."""

    def read(self, path: Path, request: ImportRequest) -> Findings:
        """Return the model in a file, and what was found and done."""
