"""Engines: one file each, found by name. An engine carries the exchange of `bench/peers/exchange.py` between processes.

Contract of an engine file (`tests/test_peers.py` finds every member):

- `NAME`: how tables call it, one or two words.
- `version()`: names and versions of what carries the events; `NotInstalledError`, saying what lacks, where it cannot run here.
- `play(size, scratch)`: start `size.processes` processes (operating-system processes, each with a `Part`), let them
  exchange all ticks, and return their `Report`s, taken while all of them are alive. `scratch` is an empty folder with a short
  name for sockets and the like; it is removed afterwards, and so is whatever process is left. Any exception ends the trial.
- `ENVIRONMENT` (optional): variables to be set before the engine's processes start; `{shm}` in a value stands for a
  folder in shared memory that is removed afterwards.
- `MOST_TICKS` (optional): how many timed ticks are enough for an engine whose tick takes a tenth of a second or more.

A file must be importable where its library is not installed: it imports it inside its functions. Each engine is used as
its own documentation recommends for this; the module docstring says how.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from bench.peers.exchange import Report, Size


class NotInstalledError(RuntimeError):
    """The engine cannot run here; says in one line what lacks."""


class Engine(Protocol):
    """A module of this package."""

    NAME: str

    def version(self) -> str:
        """Return names and versions; NotInstalledError where something lacks."""

    def play(self, size: Size, scratch: Path) -> list[Report]:
        """Run one trial."""


def names() -> list[str]:
    """Return the names of all engines' files."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def named(name: str) -> Engine:
    """Return the engine in the file `name`."""
    return cast("Engine", importlib.import_module(f"{__name__}.{name}"))


def installed(*distributions: str) -> str:
    """Return the versions of installed distributions as one line; NotInstalledError for the first that lacks."""
    versions = []
    for name in distributions:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            raise NotInstalledError(f"{name} is not installed (pip install -e '.[peers]')") from None
    return ", ".join(versions)
