"""torch's state_dict, as `torch.load(FILE, weights_only=True)` reads it: a torch.nn.GRU, or EvNN's layers, with what is around.

A mirrored GRU becomes the GRU that it is of again; every other line of EGRU layers has EvNN's keys (0.2.0). What the tensors do
not say (activations, segments, zoneout) lies beside them, in a member of the zip that torch does not look at and
`launch.py import` does. No torch is needed to write it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.foreign.torch_writer import write_torch

if TYPE_CHECKING:
    from models.checkpoint import Model

SUFFIXES = (".pth", ".pt")


def write(path: Path, model: Model, notes: list[str]) -> None:
    """Write the model's state_dict; ModelError for a model that torch's layers and EvNN's do not compute."""
    from models.foreign.state_of_model import state_of_model

    state = state_of_model(model)
    write_torch(path, state.tensors, state.facts)
    notes += state.notes
