"""The network as a vision transformer: patches of 2 x 2 pixels and a token of their class, blocks of attention, ten scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.digits.images import CLASSES, SIZE
from models.training.digits.settings import DigitsSettings

PATCH = 2  # pixels along a side
_WIDER = 3  # how many times as wide the first dense layer of a block is
_BRIGHTEST = 16.0  # a pixel


class VisionTransformer(nn.Module):
    """Scores (n, 10) of images (n, 1, 8, 8) with pixels from 0 to 16."""

    def __init__(self, settings: DigitsSettings) -> None:
        super().__init__()
        width, places = settings.width, (SIZE // PATCH) ** 2 + 1
        self.patches = nn.Conv2d(1, width, PATCH, stride=PATCH)
        with torch.no_grad():
            self.patches.weight /= _BRIGHTEST
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.1 * torch.randn(1, places, width))
        self.blocks = nn.Sequential(*(Block(settings) for _ in range(settings.blocks)))
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, len(CLASSES))

    def forward(self, image: Tensor) -> Tensor:
        """Return the scores of images."""
        patches = self.patches(image).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(image), -1, -1), patches], 1) + self.places
        scores: Tensor = self.scores(self.norm(self.blocks(tokens)[:, 0]))
        return scores


class Block(nn.Module):
    """Attention between tokens, then two dense layers for each; both are added to what came in, which is normalised for them."""

    def __init__(self, settings: DigitsSettings) -> None:
        super().__init__()
        width = settings.width
        self.heads = settings.heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))
        self.dense = nn.Sequential(nn.Linear(width, _WIDER * width), nn.GELU(), nn.Linear(_WIDER * width, width))
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens (n, places, width)."""
        n, places, width = tokens.shape
        heard = self.first(tokens)
        query, key, value = (
            layer(heard).reshape(n, places, self.heads, width // self.heads).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.dropout(self.join(mixed.transpose(1, 2).reshape(n, places, width)))
        made: Tensor = tokens + self.dropout(self.dense(self.second(tokens)))
        return made
