"""Handwritten digits: scikit-learn's copy of 1,797 images, cut into training, validation and test by who wrote them.

Of the 43 people who wrote the UCI data set, these images are by 13. They lie in the order in which people wrote, so the last
ones, which are the test, are by people of whom training saw little or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from models.network import I64, U8
from models.training.digits.settings import DigitsSettings

ABOUT = "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI, CC BY 4.0), by scikit-learn (BSD-3-Clause)"
CLASSES = tuple("0123456789")
SIZE = 8  # pixels along a side
_TEST, _VALID = 360, 180  # the last ones, and those before them


@dataclass(frozen=True)
class Digits:
    """Images (n, 1, 8, 8), pixels from 0 to 16, and their labels (n,)."""

    images: U8
    labels: I64
    about: str = ABOUT

    def __len__(self) -> int:
        return len(self.labels)


def read_digits() -> dict[str, Digits]:
    """Return the splits "train", "valid" and "test"."""
    from sklearn.datasets import load_digits

    whole = load_digits()
    images, labels = whole.images.astype(np.uint8)[:, None], whole.target.astype(np.int64)
    ends = {"train": (0, -_TEST - _VALID), "valid": (-_TEST - _VALID, -_TEST), "test": (-_TEST, None)}
    return {name: Digits(images[first:last], labels[first:last]) for name, (first, last) in ends.items()}


def varied(images: torch.Tensor, settings: DigitsSettings, rng: np.random.Generator) -> torch.Tensor:
    """Return augmented images (n, 1, 8, 8): each shifted, turned and zoomed as a whole, never mirrored."""
    s, n = settings, len(images)
    angle, zoom = np.deg2rad(rng.uniform(-s.turn, s.turn, n)), 1 + rng.uniform(-s.zoom, s.zoom, n)
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    across, down = rng.uniform(-s.shift, s.shift, (2, n)) * 2 / SIZE  # an image spans -1 to 1
    maps = np.stack([np.stack([cos, -sin, across], axis=1), np.stack([sin, cos, down], axis=1)], axis=1)
    grid = torch.nn.functional.affine_grid(torch.from_numpy(maps.astype(np.float32)), list(images.shape), align_corners=False)
    return torch.nn.functional.grid_sample(images, grid.to(images.device), align_corners=False)
