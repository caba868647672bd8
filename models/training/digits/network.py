"""The network: three convolutions with batch normalisation, a dense layer, and ten scores."""

from __future__ import annotations

import torch
from torch import nn

from models.training.digits.images import CLASSES, SIZE
from models.training.digits.settings import DigitsSettings


class DigitsModel(nn.Module):
    """Scores (n, 10) of images (n, 1, 8, 8) with pixels from 0 to 16."""

    def __init__(self, settings: DigitsSettings) -> None:
        super().__init__()
        first, second, third = settings.plan
        self.layers = nn.Sequential(
            *_convolution(1, first), *_convolution(first, second), nn.MaxPool2d(2), *_convolution(second, third), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(third * (SIZE // 4) ** 2, settings.hidden), nn.ReLU(), nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden, len(CLASSES)),
        )  # fmt: skip

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the scores of images."""
        scores: torch.Tensor = self.layers(image)
        return scores


def _convolution(channels: int, out: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(channels, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()
