"""Importers: one file for each kind of checkpoint of other programs, found by name (`models/families.py`).

Contract of an importer's file:

- `KNOWN_BY`: what it looks for in a file, for the line that says that there is nothing ("GRU (weight_hh_l0)");
- `probe(head)`: how certain it is that the file is its own, from 0, not at all, to 100; the most certain one reads it;
- `read(path, request)`: the `Findings` (`models/foreign/request.py`); ModelError in one line where the file makes no model;
- `add_flags(parser)`, where it has options of its own: calls `parser.add_argument` for each, as a command does. The values come in
  `request.options`, by name and without those that nobody gave, from the command line and from Python, so `read` checks them;
- `DIRECT`, where its files need no import: suffixes that commands take as MODEL, read with the importer's defaults;
- `MAKES = "dnn"`, where its files hold layered networks: `read` then returns `DnnFindings`;
- `read_tensors(state, request)`, where it reads tensors by their keys: the same as `read` of a state_dict that is at hand.

The command line reads these files for their flags, so they load what compiles code only when they read a file.
`models/foreign/state_dict.py` has `read_state` for those that read tensors by their keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from models.families import family_path, member, member_names
from models.network import ModelError

if TYPE_CHECKING:
    from models.foreign.request import Findings, ImportRequest
    from models.foreign.state_dict import StateDict

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


class Flag(NamedTuple):
    """One option of an importer: its name in `ImportRequest.options`, as it is typed, and the settings of `add_argument`."""

    name: str
    typed: str
    settings: Mapping[str, Any]


class Flags:
    """Takes what an importer's `add_flags` adds, as a parser does."""

    def __init__(self) -> None:
        self.all: list[Flag] = []

    def add_argument(self, typed: str, **settings: Any) -> None:
        """Take an option; its value is None where nobody gave it."""
        self.all.append(Flag(typed.lstrip("-").replace("-", "_"), typed, {"default": None, **settings}))


class Importer(Protocol):
    """A module of this package."""

    KNOWN_BY: str

    def probe(self, head: Head) -> int:
        """Return how certain it is that the file is the importer's own, from 0 to 100."""

    def read(self, path: Path, request: ImportRequest) -> Findings:
        """Return the model in a file, and what was found and done."""


class TensorImporter(Importer, Protocol):
    """An importer that reads tensors by their keys."""

    def read_tensors(self, state: StateDict, request: ImportRequest) -> Findings:
        """Return what `read` does, of a state_dict at hand."""


def named(name: str) -> Importer:
    """Return an importer by its name; ModelError, with the nearest name, for another."""
    return cast(Importer, member(__name__, name, WORD))


def makes_dnn(name: str) -> bool:
    """Tell whether an importer's files hold layered networks (DNNs)."""
    return getattr(named(name), "MAKES", "") == "dnn"


def flags_of(name: str) -> list[Flag]:
    """Return the options that an importer has of its own."""
    flags = Flags()
    add = getattr(named(name), "add_flags", None)
    if add is not None:
        add(flags)
    return flags.all


def all_flags() -> list[tuple[Flag, list[str]]]:
    """Return every importer's options, each with the names of the importers that have it.

    Importers may share an option; ModelError where two have different ones of one name.
    """
    flags: dict[str, tuple[Flag, list[str]]] = {}
    for name in member_names(__name__):
        for flag in flags_of(name):
            known, importers = flags.setdefault(flag.name, (flag, []))
            if known != flag:
                raise ModelError(f"importers {importers[0]!r} and {name!r} both have an option {flag.typed}; rename one")
            importers.append(name)
    return list(flags.values())


def check_options(who: str, name: str, options: Mapping[str, Any]) -> None:
    """Raise ModelError, beginning with `who`, for an option that the importer `name` does not have."""
    have = [flag.name for flag in flags_of(name)]
    for option, value in options.items():
        if option not in have:
            own = ", ".join(f"--{flag.replace('_', '-')}" for flag in have) or "none"
            given = f"--{option.replace('_', '-')} {str(value)[:40]!r}"
            raise ModelError(f"{who}: {given}: the importer {name!r}, which reads this file, has no such option; has {own}")
