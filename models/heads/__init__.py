"""Heads: from the last population's events to an answer, on the host. One file each; its `warm()` compiles what it calls."""

import importlib
import pkgutil


def warm_all() -> None:
    """Compile every head, or load it from the cache."""
    for file in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{file.name}").warm()
