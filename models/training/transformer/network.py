"""The transformer: words and their places, blocks of causal attention, a decoder tied to the embedding.

And one step of it, for which what earlier words left is there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.transformer.settings import TransformerSettings

_SPREAD = 0.02  # of initial embeddings, and of what a block adds
_WIDER = 4


class Transformer(nn.Module):
    """Logits (n, steps, words) of the words that follow ids (n, steps)."""

    def __init__(self, words: int, settings: TransformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.settings = settings
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(settings.context, width)
        self.drop = nn.Dropout(settings.dropout)
        self.blocks = nn.ModuleList(Block(settings) for _ in range(settings.blocks))
        self.norm = nn.LayerNorm(width)
        self.decoder_bias = nn.Parameter(torch.zeros(words))
        for embedding in (self.words, self.places):
            nn.init.normal_(embedding.weight, std=_SPREAD)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits of every place."""
        y = self.drop(self.words(ids) + self.places(torch.arange(ids.shape[1], device=ids.device)))
        for block in self.blocks:
            y = block(y)
        return self.decode(y)

    def decode(self, y: Tensor) -> Tensor:
        """Return the logits of what the last block made."""
        return functional.linear(self.norm(y), self.words.weight, self.decoder_bias)


class Block(nn.Module):
    """Attention between words, then two dense layers for each; both are added to what came in, which is normalised for them."""

    def __init__(self, settings: TransformerSettings) -> None:
        super().__init__()
        width = settings.width
        self.heads = settings.heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.join = (nn.Linear(width, width) for _ in range(4))
        self.wide, self.narrow = nn.Linear(width, _WIDER * width), nn.Linear(_WIDER * width, width)
        self.drop = nn.Dropout(settings.dropout)
        for layer in (self.join, self.narrow):
            nn.init.normal_(layer.weight, std=_SPREAD / settings.blocks**0.5)

    def heard(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value of each head, (n, heads, steps, width / heads)."""
        n, steps, width = y.shape
        heard, shape = self.first(y), (n, steps, self.heads, width // self.heads)
        query, key, value = (layer(heard).reshape(shape).transpose(1, 2) for layer in (self.query, self.key, self.value))
        return query, key, value

    def after(self, y: Tensor, mixed: Tensor) -> Tensor:
        """Return what the block makes of what came in and of what its heads mixed."""
        y = y + self.drop(self.join(mixed.transpose(1, 2).reshape(y.shape)))
        made: Tensor = y + self.drop(self.narrow(functional.gelu(self.wide(self.second(y)))))
        return made

    def forward(self, y: Tensor) -> Tensor:
        """Return numbers (n, steps, width)."""
        query, key, value = self.heard(y)
        return self.after(y, functional.scaled_dot_product_attention(query, key, value, is_causal=True))


class DecodeStep(nn.Module):
    """The last word of a full context: logits (1, 1, words), and its key and value of each block, of the word and of keys and
    values (1, heads, context - 1, width / heads) that the words before it left.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, *cache: Tensor) -> tuple[Tensor, ...]:
        """Return logits, then key and value of each block."""
        model, made = self.model, list[Tensor]()
        y = model.words(ids) + model.places.weight[-1:]
        for number, block in enumerate(model.blocks):
            assert isinstance(block, Block)
            query, key, value = block.heard(y)
            made += [key, value]
            keys, values = (
                torch.cat([before, new], 2) for before, new in zip(cache[2 * number : 2 * number + 2], (key, value), strict=True)
            )
            y = block.after(y, functional.scaled_dot_product_attention(query, keys, values))
        return (model.decode(y), *made)


@torch.no_grad()
def cache_of(model: Transformer, ids: Tensor) -> list[Tensor]:
    """Return what all words of ids (n, context) but the last leave: key and value of each block."""
    y, made = model.words(ids) + model.places(torch.arange(ids.shape[1], device=ids.device)), list[Tensor]()
    for block in model.blocks:
        assert isinstance(block, Block)
        query, key, value = block.heard(y)
        made += [key[:, :, :-1], value[:, :, :-1]]
        y = block.after(y, functional.scaled_dot_product_attention(query, key, value, is_causal=True))
    return made
