"""A DNN that a user names: a checkpoint of ours, or a file that an importer of DNNs reads as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from models import importers
from models.families import member_names

if TYPE_CHECKING:
    from models.dnn.model import DnnModel


def holds_dnn(path: Path) -> bool:
    """Tell whether a file is a DNN's: by its suffix, or what it says of itself. False for what cannot be read."""
    if dnn_importer(path) is not None:
        return True
    if not path.is_file():
        return False
    from models.dnn.file import is_dnn

    return is_dnn(path)


def load_dnn_model(path: Path, options: dict[str, Any] | None = None) -> DnnModel:
    """Return the DNN in a file; ModelError, in one line, for what cannot be used."""
    importer = dnn_importer(path)
    if importer is None:
        from models.dnn.file import load_dnn

        return load_dnn(path)
    from models.foreign.import_dnn import import_dnn
    from models.foreign.request import ImportRequest

    return import_dnn(path, ImportRequest(importer=importer, options=options or {})).model


def dnn_importer(path: Path) -> str | None:
    """Return the name of the importer of DNNs that reads files of this suffix as they are; None where none does."""
    for name in member_names(importers):
        if importers.makes_dnn(name) and path.suffix in getattr(importers.named(name), "DIRECT", ()):
            return name
    return None
