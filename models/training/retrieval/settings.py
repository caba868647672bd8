"""What a training of S-LISTA is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from models.network import ModelError
from models.retrieval.grid import Grid

SIZES = {1: ((32,), (64,)), 2: ((8, 8), (16, 16)), 3: ((4, 4, 4), (8, 8, 8))}
"""Dimensions -> samples and cells."""


def _help(text: str) -> dict[str, Any]:
    return {"help": text}


@dataclass(frozen=True)
class RetrievalSettings:
    """The hyperparameters; each field is a flag."""

    dims: int = field(default=2, metadata=_help("dimensions of the grid, 1 to 3"))
    layers: int = field(default=6, metadata=_help("layers of the unrolled algorithm"))
    updates: int = field(default=3000, metadata=_help("updates of the weights"))
    batch: int = field(default=128, metadata=_help("snapshots of an update"))
    targets: int = field(default=4, metadata=_help("most targets of a snapshot"))
    rate: float = field(default=2e-3, metadata=_help("learning rate of Adam at the start; it falls as a cosine"))
    inner: float = field(default=0.1, metadata=_help("weight of the loss of each inner layer"))
    seed: int = field(default=1, metadata=_help("of snapshots"))

    def check(self) -> None:
        """Raise ModelError, one line, for a value that cannot be."""
        if self.dims not in SIZES:
            raise ModelError(f"--dims {self.dims}: needs 1, 2 or 3")
        for name, most in (("layers", 32), ("updates", 10_000_000), ("batch", 100_000), ("targets", 16)):
            if not 1 <= getattr(self, name) <= most:
                raise ModelError(f"--{name} {getattr(self, name)}: needs a whole number from 1 to {most:,}")
        if not 0 < self.rate < 1 or not 0 <= self.inner <= 1 or self.seed < 0:
            raise ModelError("--rate needs a number between 0 and 1, --inner one from 0 to 1, --seed a whole number from 0")

    @property
    def grid(self) -> Grid:
        """The grid of these dimensions."""
        return Grid(*SIZES[self.dims])
