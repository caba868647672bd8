"""Families: packages whose members are files or folders found by name, here and in a user's own folders.

`GENNAKER_PATH` names folders (separated as in PATH) that are laid out as the project is: a neuron model of a user's own is
`FOLDER/models/kernels/mine.py`, its cost twin `FOLDER/host/cost/kernels/mine.py`. Child processes inherit the variable, so a
member is there wherever a run needs it. Two members of one name are refused. A name that begins with an underscore is no member.

A package is a family by what it says of itself: `__path__ = family_path(__path__, __name__)`. Those that may not import this file
(`noc/`) need no such line: whoever looks for their members does it.
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from models.network import ModelError

VARIABLE = "GENNAKER_PATH"


def user_folders() -> list[Path]:
    """Return the folders that the variable names, as absolute paths."""
    return [Path(part).absolute() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def check_user_folders() -> None:
    """Raise ModelError, one line, where the variable names what is no folder."""
    for folder in user_folders():
        if not folder.is_dir():
            raise ModelError(f"{VARIABLE}: {folder} is no folder; needs folders that are laid out as the project is")


def user_sources(rooms: Iterable[str], suffixes: Iterable[str] = (".py",)) -> list[tuple[str, Path]]:
    """Return name (from the folder on) and path of every source file in these rooms ("models", "host/cost") of a user's folders."""
    found = [
        (path.relative_to(folder).as_posix(), path)
        for folder in user_folders()
        for room in rooms
        for path in (folder / room).rglob("*")
        if path.suffix in suffixes
    ]
    return sorted(found)


def family_path(own: Iterable[str], package: str) -> list[str]:
    """Return where the members of `package` lie: its own folder, and those of the same place in a user's folders."""
    folders = (str(folder.joinpath(*package.split("."))) for folder in user_folders())
    return list(dict.fromkeys([*own, *(folder for folder in folders if Path(folder).is_dir())]))


def member_names(package: ModuleType | str, *, folders: bool = False) -> list[str]:
    """Return the names of a family's members, ascending; ModelError where two have one name. `folders`: members are folders, and
    files beside them are none.
    """
    module = _family(package)
    files: dict[str, str] = {}
    for folder in module.__path__:
        for module_info in pkgutil.iter_modules([folder]):
            if module_info.name.startswith("_") or (folders and not module_info.ispkg):
                continue
            file = str(Path(folder, module_info.name)) + ("/" if module_info.ispkg else ".py")
            if module_info.name in files:
                where = f"{files[module_info.name]} and {file}"
                raise ModelError(f"{module.__name__}: two members are called {module_info.name!r}: {where}; rename one")
            files[module_info.name] = file
    return sorted(files)


def require_member(package: ModuleType | str, name: str, what: str) -> None:
    """Raise ModelError, with the nearest name, where no member is called `name`. `what` is the family's word for a member."""
    names = member_names(package)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1, cutoff=0.0)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ModelError(f"unknown {what} {name!r}: have {', '.join(names) or 'none'}{hint}")


def member(package: ModuleType | str, name: str, what: str) -> ModuleType:
    """Return a family's member; ModelError as `require_member`. A bug in the member's file is the member's own error.

    One that is loaded is not looked for again: each of hundreds of PEs would read the folders.
    """
    loaded = sys.modules.get(f"{package if isinstance(package, str) else package.__name__}.{name}")
    if loaded is not None:
        return loaded
    require_member(package, name, what)
    return importlib.import_module(f"{_family(package).__name__}.{name}")


def _family(package: ModuleType | str) -> ModuleType:
    """Return a family's package, with a user's folders on its path."""
    module = importlib.import_module(package) if isinstance(package, str) else package
    module.__path__ = family_path(module.__path__, module.__name__)
    return module
