"""Perplexity, which may be larger than any number: then it is infinite, and said in words."""

from __future__ import annotations

import math
import sys


def perplexity_of(nats: float, tokens: int) -> float:
    """Return exp(nats / tokens), `nats` the summed cross entropy: infinite beyond a double, NaN where `nats` is."""
    try:
        return math.exp(nats / tokens)
    except OverflowError:
        return math.inf


def overflow_in_words(nats: float, tokens: int) -> str:
    """Return what a perplexity is that no number holds, as in "more than 1.8e+308 (9.0e+03 nats a token)"; "" for any other."""
    perplexity = perplexity_of(nats, tokens)
    if math.isnan(perplexity):
        return "no number (logits beyond float32)"
    if math.isinf(perplexity):
        return f"more than {sys.float_info.max:.1e} ({nats / tokens:.1e} nats a token)"
    return ""
