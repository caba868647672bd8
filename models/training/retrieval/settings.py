"""What a training of S-LISTA is told."""

from __future__ import annotations

from dataclasses import dataclass

from models.network import ModelError
from models.retrieval.grid import Grid
from models.retrieval.network import MOST_LAYERS
from models.training.common.settings import flag, need_above_zero, need_from, need_shares

SIZES = {1: ((32,), (64,)), 2: ((8, 8), (16, 16)), 3: ((4, 4, 4), (8, 8, 8))}
"""Dimensions -> samples and cells."""


@dataclass(frozen=True)
class RetrievalSettings:
    """The hyperparameters; each field is a flag."""

    dims: int = flag(1, "dimensions of the grid, 1 to 3")
    seeds: int = flag(3, "how many trainings, one after another, from --seed on; the best by its validation is written")
    seed: int = flag(1, "of the snapshots of the first training")
    layers: int = flag(10, "layers of the unrolled algorithm")
    updates: int = flag(3000, "updates of the weights")
    batch: int = flag(128, "snapshots of an update")
    targets: int = flag(4, "most targets of a snapshot")
    lr: float = flag(4e-3, "learning rate of Adam at the start; it falls as a cosine")
    step: float = flag(1.0, "mu, the step with which each layer begins as one of ISTA")
    weight: float = flag(0.2, "lambda of the 1-norm that each layer begins with")
    inner: float = flag(0.02, "weight of the loss of each inner layer")
    clear: float = flag(0.3, "how much more a snapshot of less noise counts: its error is multiplied by 10^(this SNR / 10 dB)")

    def check(self) -> None:
        """Raise ModelError, one line, for a value that cannot be."""
        if self.dims not in SIZES:
            raise ModelError(f"--dims {self.dims}: needs 1, 2 or 3")
        need_from(self, 1, "seeds", "layers", "updates", "batch", "targets")
        need_from(self, 0, "seed", "inner", "clear")
        need_above_zero(self, "lr", "step", "weight")
        need_shares(self, "lr")
        for name, most in (("layers", MOST_LAYERS), ("targets", 16), ("batch", 100_000)):
            if getattr(self, name) > most:
                raise ModelError(f"--{name} {getattr(self, name)}: needs at most {most:,}")

    @property
    def grid(self) -> Grid:
        """The grid of these dimensions."""
        return Grid(*SIZES[self.dims])
