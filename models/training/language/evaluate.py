"""Perplexity and activity of a model on a split, in float32 and without dropout.

Perplexity as the authors define it, and as `launch.py lm` computes it: exp of the summed cross entropy over the number
of tokens of the streams, the first of each included although nothing predicts it (egru.md section 3).
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch.nn import functional

from models.network import U32
from models.text.perplexity import perplexity_of
from models.training.common.egru_layer import Egru
from models.training.language.network import LanguageModel
from models.training.language.text_streams import segments, streams

_WORTH_PACKING = 0.8  # share of zeros from which CSR products are the faster ones
SEGMENT = 70  # the authors evaluate in segments of 70, whatever the length trained with


class Score(NamedTuple):
    """Perplexity, and each layer's mean share of units that fire (empty for LSTM and GRU)."""

    perplexity: float
    activity: list[float]


@torch.no_grad()
def score(model: LanguageModel, ids: U32, sequences: int, state: str | None = None, tokens: int | None = None) -> Score:
    """Run `ids` as `sequences` streams; `state` overrides how the model treats c at a segment's beginning.

    With `tokens`, only so many positions of each stream are predicted, as `launch.py lm --tokens` does.
    """
    was, settings = model.training, model.settings
    model.eval()
    text = streams(ids, sequences)
    if tokens is not None:
        text = text[: tokens + 1]
    text = text.to(model.embedding.device)
    zeroed = (state or settings.state) == "zeroed"
    states, nats, fired, count = model.begin(sequences), 0.0, None, 0
    with ExitStack() as stack:
        for layer in model.layers:
            if isinstance(layer, Egru) and float((layer.recurrent == 0).float().mean()) > _WORTH_PACKING:
                stack.enter_context(layer.pruned_rows())
        for words, targets in segments(text, SEGMENT):
            if zeroed and settings.model == "egru":
                states = [(y, torch.zeros_like(c)) for y, c in states]
            answer = model(words, states)
            states = answer.states
            nats += float(functional.cross_entropy(answer.logits.flatten(0, 1), targets.flatten(), reduction="sum").double())
            if answer.activity:
                share = torch.stack(answer.activity).double() * len(words)
                fired = share if fired is None else fired + share
            count += len(words)
    model.train(was)
    perplexity = perplexity_of(nats, text.numel())
    return Score(math.inf if math.isnan(perplexity) else perplexity, [] if fired is None else [float(a) for a in fired / count])
