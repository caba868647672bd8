"""Kinds of model that `fit` and `price` treat in a way of their own, one file each, found by name; what none takes is a network of
populations, or a run's folder.

Contract: `takes(model) -> bool`, of what a user typed; `works(model) -> (title, layers)`, a title and the layers in order
(`host/mapping/tiling.py`), errors in one line for what cannot be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from host.mapping.tiling import LayerWork
from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)


class ModelKind(Protocol):
    """A module of this package."""

    def takes(self, model: str) -> bool:
        """Tell whether what a user typed is of this kind."""

    def works(self, model: str) -> tuple[str, Sequence[LayerWork]]:
        """Return a title, and the layers in order."""


def kind_of(model: str | None) -> ModelKind | None:
    """Return the kind of model that a user named; None where it is none of these."""
    if model is None:
        return None
    kinds = (cast(ModelKind, member(__name__, name, "kind of model")) for name in member_names(__name__))
    return next((kind for kind in kinds if kind.takes(model)), None)
