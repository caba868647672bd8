"""The documents about itself that every Python installation carries: language topics and docstrings.

It finds and reads them; what becomes of them (words, splits) is `corpus.py`'s business.
"""

import ast
import importlib
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from models.text.tokeniser import TextError

TOPICS = "pydoc_data.topics"

# Tests and applications: their docstrings are notes to colleagues, not documentation. The topics come in by import.
# Directories whose name is no module name (site-packages, dist-packages, lib-dynload) are not entered either.
_SKIPPED = frozenset({"test", "tests", "idle_test", "idlelib", "lib2to3", "turtledemo", "pydoc_data", "__pycache__"})
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def stdlib_folder() -> Path:
    """Return the folder with the standard library's sources; it need not exist."""
    return Path(sysconfig.get_path("stdlib"))


def documents() -> Iterator[tuple[str, str]]:
    """Yield (name, text): `pydoc_data.topics.assert`, ..., then `os.path`, ..., each kind sorted by name.

    Names carry no path of this machine, so that two machines with the same Python agree on them. Files that cannot be
    read or parsed are left out. Raises `TextError` where this Python has neither topics nor sources.
    """
    topics = _topics()
    modules = sorted(_modules(stdlib_folder()))
    if not topics and not modules:
        need = f"{TOPICS} or Python sources under {str(stdlib_folder())!r}"
        remedy = "install them (on Debian: libpython3-stdlib) or give a text file"
        raise TextError(f"standard_library: need {need}, have neither: {remedy}")
    yield from sorted((f"{TOPICS}.{name}", text) for name, text in topics.items())
    for name, path in modules:
        if text := _docstrings(path):
            yield name, text


def _topics() -> dict[str, str]:
    try:
        module: ModuleType = importlib.import_module(TOPICS)
    except ImportError:
        return {}
    return dict(getattr(module, "topics", {}))


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (dotted module name, file) for the sources under `folder`, in no order; a missing folder yields nothing."""
    waiting = [(folder, "")]
    while waiting:
        here, package = waiting.pop()
        try:
            entries = [(entry, entry.is_dir()) for entry in here.iterdir()]
        except OSError:
            continue
        for entry, is_folder in entries:
            if not is_folder and entry.suffix == ".py":
                yield (package.rstrip(".") if entry.stem == "__init__" else package + entry.stem), entry
            elif is_folder and entry.name.isidentifier() and entry.name not in _SKIPPED:
                waiting.append((entry, f"{package}{entry.name}."))


def _docstrings(path: Path) -> str:
    """Return the docstrings of one source file in the order they are written; nothing for a file that is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the standard library's invalid escapes are not our user's concern
            tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return ""
    nodes = [node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED)]
    nodes.sort(key=lambda node: getattr(node, "lineno", 0))
    return "\n\n".join(text for node in nodes if (text := ast.get_docstring(node)))
