"""Families: packages whose members are files or folders found by name, here and in a user's own folders.

`GENNAKER_PATH` names folders (separated as in PATH) that are laid out as the project is: a neuron model of a user's own is
`FOLDER/models/kernels/mine.py`, its cost twin `FOLDER/host/cost/kernels/mine.py`. Child processes inherit the variable, so a
member is there wherever a run needs it. Two members of one name are refused.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from models.network import ModelError

VARIABLE = "GENNAKER_PATH"


def family_path(own: Iterable[str], package: str) -> list[str]:
    """Return where the members of `package` lie: its own folder, and those of the same place in a user's folders."""
    folders = [Path(part, *package.split(".")) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [*own, *(str(folder) for folder in folders if folder.is_dir())]


def member_names(package: ModuleType) -> list[str]:
    """Return the names of a family's members, ascending; ModelError where two have one name."""
    names: dict[str, str] = {}
    for module in pkgutil.iter_modules(package.__path__):
        if module.name.startswith("_"):
            continue
        folder = str(getattr(module.module_finder, "path", "?"))
        if module.name in names:
            raise ModelError(f"{package.__name__}: two members are called {module.name!r}: in {names[module.name]} and {folder}")
        names[module.name] = folder
    return sorted(names)


def member(package: ModuleType, name: str, what: str) -> ModuleType:
    """Return a family's member; ModelError, naming those there are, where none is called `name`. `what` is the family's word."""
    names = member_names(package)
    if name not in names:
        raise ModelError(f"unknown {what} {name!r}: have {', '.join(names)}")
    return importlib.import_module(f"{package.__name__}.{name}")
