"""The language model that is trained: embedding, recurrent layers, a decoder tied to the embedding, and the dropouts.

EGRU layers are `egru_layer.py` (with the reset gate inside the product, `egru_inside.py`), LSTM ones `lstm_layer.py`, GRU
ones torch's own, all of the same sizes, for comparison.
Initial values are set here, because which ones learn is a property of the whole stack: with the authors' (xavier, uniform
embeddings) the signal fades through three layers and a short run stays at the unigram level; `scaled` keeps pre-activations
at unit variance.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.quantise.egru import fitted_scale, largest_number
from models.training.common.coarse_numbers import rounded
from models.training.common.egru_inside import EgruInside
from models.training.common.egru_layer import Egru, LayerState
from models.training.common.lstm_layer import Lstm
from models.training.common.products import linear
from models.training.language.settings import LanguageSettings

EMBEDDING_SCALE = 0.03
"""Standard deviation of initial embeddings under `scaled`. Small, so that the tied decoder's first logits are small too:
with 0.15 the last layer first learns to be silent (3 % of its units fire) and learning is slower (docs/model.md)."""
EVENT_RMS = 0.35
"""Of a layer's y over all units, at the beginning: what the next layer's initial weights allow for (measured)."""

INPUT_BITS = 8  # of the words' vectors, whatever the layers' events have


class Answer(NamedTuple):
    """Decoder logits (steps, batch, words), the states to carry on, and each layer's share of events per step."""

    logits: Tensor
    states: list[tuple[Tensor, Tensor]]
    activity: list[Tensor]


class LanguageModel(nn.Module):
    """Embedding (words, units), layers, tied decoder with a bias."""

    def __init__(self, words: int, settings: LanguageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embedding = nn.Parameter(torch.empty(words, settings.embedding))
        self.decoder_bias = nn.Parameter(torch.zeros(words))
        widths = (settings.embedding, *settings.layers)
        self.layers = nn.ModuleList()
        for inputs, units in pairwise(widths):
            if settings.model == "egru":
                form = EgruInside if settings.gate == "inside" else Egru
                layer = form(inputs, units, settings.dampening, settings.support, settings.zoneout)
                layer.bits = settings.bits
                self.layers.append(layer)
            else:
                self.layers.append((Lstm if settings.model == "lstm" else nn.GRU)(inputs, units))
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        scaled = self.settings.init == "scaled"
        if scaled:
            nn.init.normal_(self.embedding, 0, EMBEDDING_SCALE)
        else:
            nn.init.uniform_(self.embedding, -0.1, 0.1)
        for number, layer in enumerate(self.layers):
            rms = EMBEDDING_SCALE if number == 0 else EVENT_RMS
            if isinstance(layer, nn.GRU):
                kernel, recurrent, bias, recurrent_bias = layer.all_weights[0]
                nn.init.zeros_(bias)
                nn.init.zeros_(recurrent_bias)
                _weights(kernel, recurrent, rms, scaled)
                continue
            assert isinstance(layer, Egru | Lstm)
            _weights(layer.kernel, layer.recurrent, rms, scaled)
            if isinstance(layer, Lstm):
                layer.bias[layer.units : 2 * layer.units] = 1.0  # the forget gate keeps, as is usual
                continue
            if scaled:
                layer.bias[: layer.units] = self.settings.keep_bias
            mean = self.settings.threshold_mean
            shape = torch.distributions.Beta(3 * mean / (1 - mean), 3.0)
            layer.threshold.copy_(shape.sample((layer.units,)))

    def begin(self, batch: int) -> list[tuple[Tensor, Tensor]]:
        """Return every layer's state at the beginning of a sequence."""
        # torch's own layer carries a leading dimension, for the layers that one module may hold.
        lead = (1,) if self.settings.model == "gru" else ()
        shapes = [(*lead, batch, units) for units in self.settings.layers]
        return [(self.embedding.new_zeros(shape), self.embedding.new_zeros(shape)) for shape in shapes]

    def next_segment(self, states: list[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
        """Return the states that a new segment begins with: detached, and c zeroed where the settings say so."""
        zeroed = self.settings.state == "zeroed" and self.settings.model == "egru"
        return [(y.detach(), torch.zeros_like(c) if zeroed else c.detach()) for y, c in states]

    def forward(self, words: Tensor, states: list[tuple[Tensor, Tensor]]) -> Answer:
        """Run `words` (steps, batch) of ids on from `states`."""
        s, low = self.settings, self.settings.precision == "bfloat16" and self.training
        table = self._table()
        if self.training and s.drop_word:
            table = table * functional.dropout(table.new_ones(len(table), 1), s.drop_word)
        x = self._drop(functional.embedding(words, table), s.drop_input)
        after, activity = [], []
        for number, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if isinstance(layer, Egru):
                x, fired, last = layer(x, LayerState(*state), s.drop_connect, low)
                after.append((last.y, last.c))
                activity.append(fired.mean())
            elif isinstance(layer, Lstm):
                x, last = layer(x, LayerState(*state), s.drop_connect, low)
                after.append((last.y, last.c))
            else:
                x, hidden = layer(x, state[0])
                after.append((hidden, state[1]))
            x = self._drop(x, s.drop_output if number == len(self.layers) - 1 else s.drop_between)
        return Answer(linear(x, self.embedding, low) + self.decoder_bias, after, activity)

    def _table(self) -> Tensor:
        """Return the words' vectors as the first layer hears them: with `bits`, on the grid of 8 that fits them."""
        if not self.settings.bits:
            return self.embedding
        values = self.embedding.detach().cpu().numpy()
        scale = fitted_scale("embedding", values, INPUT_BITS, powers_of_two=True)
        return rounded(self.embedding, torch.tensor(scale), largest_number(INPUT_BITS))

    def _drop(self, x: Tensor, share: float) -> Tensor:
        """Drop units of x (steps, batch, units) with one mask over the steps or over the batch."""
        if not (self.training and share):
            return x
        steps, batch, units = x.shape
        shape = (1, batch, units) if self.settings.mask_over == "sequence" else (steps, 1, units)
        return x * functional.dropout(x.new_ones(shape), share)

    def matrices(self) -> dict[str, nn.Parameter]:
        """Return the weight matrices that are pruned, by name: those of the layers, not the embedding."""
        return {name: value for name, value in self.named_parameters() if name.startswith("layers.") and value.dim() == 2}


def _weights(kernel: Tensor, recurrent: Tensor, rms: float, scaled: bool) -> None:
    """Draw a layer's initial weights, (gates * units, inputs) and (gates * units, units), for inputs of size `rms`."""
    if not scaled:
        # Fused as the authors hold them: fan-out is all gates.
        nn.init.xavier_normal_(kernel)
        nn.init.xavier_normal_(recurrent)
        return
    nn.init.normal_(kernel, 0, 1 / (math.sqrt(kernel.shape[1]) * rms))
    for gate in torch.split(recurrent, recurrent.shape[1]):
        nn.init.orthogonal_(gate)
