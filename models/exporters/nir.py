"""NIR: a spiking network, quantised or not, as a file that other programs read (`docs/nir.md`)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.network import ModelError

if TYPE_CHECKING:
    from models.checkpoint import Model

SUFFIXES = (".nir",)


def write(path: Path, model: Model, notes: list[str]) -> None:
    """Write the model's network; `notes` gets lines for the user.

    ModelError, one line without the file's name, for a model that NIR has no primitives for; OSError where the file cannot be
    written.
    """
    from models.foreign.hdf5 import write as write_hdf5
    from models.foreign.nir_tree import tree_of

    if model.front or model.head or model.embedding is not None:
        raise ModelError("the model has parts around its network (front end, head or words), which NIR has no place for")
    write_hdf5(path, tree_of(model.network, notes), "NIR")
    notes.append("NIR has no words for step, reset and compare: they are noted in its metadata, other readers have to be told")
