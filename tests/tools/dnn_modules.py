"""Small torch modules of our own: a convolutional net, a vision transformer and a causal language model."""

import torch
from torch import nn


class Cnn(nn.Module):
    """Convolutions with batch normalisation, a depthwise one, and activations of several kinds."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 6, 3, groups=6, padding=1, bias=False), nn.BatchNorm2d(6), nn.Hardswish(),
            nn.Conv2d(6, 8, 1, stride=2), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.1), nn.Linear(8, 5),
        )  # fmt: skip

    def forward(self, x):
        """(1, 1, 8, 8) to (1, 5)."""
        return self.body(x)


class Lm(nn.Module):
    """One block of a causal transformer over twelve words."""

    def __init__(self, width=8, heads=2, words=11, length=6):
        super().__init__()
        self.heads = heads
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(length, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix, self.join = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.out = nn.Linear(width, words)

    def forward(self, x):
        """(1, 6) whole numbers to (1, 6, 11)."""
        batch, length = x.shape
        y = self.words(x) + self.places(torch.arange(length))
        parts = self.mix(self.first(y)).chunk(3, -1)
        query, key, value = (part.reshape(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        heard = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        y = y + self.join(heard.transpose(1, 2).reshape(batch, length, -1))
        return self.out(y + self.wide(self.second(y)))


class Vit(nn.Module):
    """A vision transformer with torch's own encoder layer."""

    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Linear(4, width)
        self.token, self.places = nn.Parameter(torch.randn(1, 1, width)), nn.Parameter(torch.randn(1, 5, width))
        self.block = nn.TransformerEncoderLayer(width, 2, 16, batch_first=True, activation="gelu", norm_first=True, dropout=0.0)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, 3)

    def forward(self, x):
        """(1, 4, 4) to (1, 3)."""
        x = x.reshape(x.shape[0], 2, 2, 2, 2).transpose(2, 3).reshape(x.shape[0], 4, 4)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), self.patches(x)], 1) + self.places
        return self.out(self.norm(self.block(x)[:, 0]))


MODULES = {
    "cnn": (Cnn, lambda: torch.randn(1, 1, 8, 8)),
    "lm": (Lm, lambda: torch.randint(0, 11, (1, 6))),
    "vit": (Vit, lambda: torch.randn(1, 4, 4)),
}
