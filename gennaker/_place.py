"""Whether the packages that this one stands on are ours: a folder `models` of a user's own goes before them in a notebook."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_LAUNCHERS = ("launch.py", "gennaker", "gennaker.exe")
_PACKAGES = ("host", "models", "noc", "pe")


def is_the_program() -> bool:
    """Return whether this process is our command line, and not a program of a user's that imports us."""
    name = sys.argv[0] if sys.argv else ""
    # While Python looks for what `-m` names, "-m" stands in the program's place.
    return (name == "-m" and "gennaker" in sys.orig_argv) or Path(name).name in _LAUNCHERS


def go_first() -> None:
    """Put our folder first on the import path."""
    if sys.path[:1] != [str(_ROOT)]:
        sys.path.insert(0, str(_ROOT))


def check_neighbours() -> None:
    """Raise ImportError, in one line, where a package that we import is another one of this name.

    Ours lie beside this package, wherever that is installed; Python takes what it has imported already, or finds first.
    """
    for name in _PACKAGES:
        own_folder, other_folder = _ROOT / name, _folder_of(name)
        if other_folder is not None and other_folder.resolve() != own_folder:
            how = "is imported already" if name in sys.modules else "comes first on the import path"
            mend = f"rename it, or put {_ROOT} first on sys.path before anything else is imported"
            raise ImportError(
                f"gennaker: its package {name!r} is hidden by {other_folder}, which {how}; {mend}",
                name=name,
                path=str(other_folder),
            )


def _folder_of(name: str) -> Path | None:
    """Return where Python finds a package; None where it finds none, which is then said by whoever imports it."""
    loaded = sys.modules.get(name)
    try:
        spec = getattr(loaded, "__spec__", None) if loaded else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        file = getattr(loaded, "__file__", None)
        return Path(file).parent if file else None
    if spec.submodule_search_locations:
        # A folder of a user's own may be on the path too, behind ours (`models/families.py`).
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None
