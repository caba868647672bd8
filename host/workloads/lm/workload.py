"""The language-model workload: tokens in, perplexity or text out.

A workload feeds the network and reads its answers; `Run` decides when. Embeddings stream from the emulated DRAM row by
row, one row a lane and position. The decoder and the softmax run on the host (where the paper ran them is not stated).

Perplexity as the authors define it: the exponential of the summed cross entropy divided by the number of tokens of the
stream, its first token included although nothing predicts it (`data.numel()` in their code; the difference fades with
length).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.checkpoint import DecoderProjection
from models.heads.language import log_likelihood, logits_of, project, sample
from models.network import F32, U32
from noc.dram import Dram
from noc.packet import FRESH, RESET, VALID, Section

_MAX_MEAN_NATS = 700.0  # beyond, a float64 cannot hold the perplexity


class Feed(NamedTuple):
    """One position's input events for all lanes."""

    position: int
    flags: int
    keys: bytes
    values: bytes


class Workload(Protocol):
    """What `Run` drives."""

    @property
    def positions(self) -> int:
        """How many positions there are to run in all, as far as that is known."""

    def next(self) -> Feed | None:
        """Return the next position's input; None while it depends on answers that are not in yet."""

    def exhausted(self) -> bool:
        """Tell whether every position has been handed out."""

    def answer(self, section: Section) -> None:
        """Take the output population's events at one position."""

    def progress(self) -> dict[str, Any]:
        """Return what the monitor shows: tokens, perplexity, text."""

    def report(self) -> dict[str, Any]:
        """Return the workload's block of the report."""


@dataclass
class Readout:
    """The tied decoder: `columns` (units, words) float32, `bias` (words,) float32, behind a projection if there is one."""

    columns: F32
    bias: F32
    projection: DecoderProjection | None = None
    logits: F32 = field(init=False)

    def __post_init__(self) -> None:
        self.logits = np.empty_like(self.bias)
        if self.projection is not None:
            self._into, self._hidden = np.ascontiguousarray(self.projection.weight.T), np.empty_like(self.projection.bias)

    def of(self, section: Section, lane: int) -> F32:
        """Return the logits (words,) that one lane's output events make; valid until the next call."""
        units = len(self.columns if self.projection is None else self._into)
        keys, values = np.frombuffer(section.keys, "<u4"), np.frombuffer(section.values, "<f4")
        first, last = np.searchsorted(keys, (lane * units, (lane + 1) * units))
        # Copies, because a compiled kernel would be built a second time for the wire's read-only arrays.
        keys, values, first_key = keys[first:last].copy(), values[first:last].copy(), lane * units
        if self.projection is not None:
            project(keys, values, first_key, self._into, self.projection.bias, self.projection.activation, self._hidden)
            keys, first_key = np.flatnonzero(self._hidden).astype(np.uint32), 0
            values = self._hidden[keys]
        logits_of(keys, values, first_key, self.columns, self.bias, self.logits)
        return self.logits


class EmbeddingStore:
    """The embedding table in DRAM, and the events that a row of it makes."""

    def __init__(self, dram: Dram, table: F32) -> None:
        self._dram = dram
        self._units = table.shape[1]
        self._row_bytes = 4 * self._units
        self._stride = dram.row_stride(self._row_bytes)
        self._region = dram.allocate("embedding", self._stride * len(table))
        dram.write_rows(self._region, table)

    def feed(self, words: U32) -> tuple[bytes, bytes]:
        """Return keys and values of one word a lane; a zero element is no event."""
        rows = b"".join([self._dram.read(self._region, int(word) * self._stride, self._row_bytes) for word in words])
        values = np.frombuffer(rows, "<f4")
        keys = np.flatnonzero(values).astype("<u4")
        return keys.tobytes(), rows if len(keys) == len(values) else values[keys].tobytes()


def _flags(position: int, segment: int) -> int:
    if position == 0:
        return VALID | FRESH | RESET
    return VALID | RESET if segment and position % segment == 0 else VALID


def _perplexity(cross_entropy_nats: float, tokens: int) -> float | None:
    """Return exp(cross entropy / tokens); None where a model's logits overflow float32."""
    mean = cross_entropy_nats / tokens
    return math.exp(mean) if mean < _MAX_MEAN_NATS else None  # also None for NaN


class Evaluation:
    """Scores a text: each token predicts the next one.

    Args:
        store: the embeddings in DRAM.
        readout: the decoder.
        streams: (lanes, tokens) word numbers; the last column is only predicted.
        segment: positions after which cell states are zeroed, or 0 to carry them.

    """

    def __init__(self, store: EmbeddingStore, readout: Readout, streams: U32, segment: int) -> None:
        self._store, self._readout, self._streams, self._segment = store, readout, streams, segment
        self.positions = streams.shape[1] - 1
        self._next = 0
        self._scored = 0
        self._cross_entropy = 0.0

    def next(self) -> Feed | None:
        """Return the next position's input."""
        if self.exhausted():
            return None
        position = self._next
        self._next += 1
        return Feed(position, _flags(position, self._segment), *self._store.feed(self._streams[:, position]))

    def exhausted(self) -> bool:
        """Tell whether every position has been handed out."""
        return bool(self._next >= self.positions)

    def answer(self, section: Section) -> None:
        """Score the prediction of each lane at one position."""
        for lane, target in enumerate(self._streams[:, section.position + 1]):
            self._cross_entropy -= log_likelihood(self._readout.of(section, lane), int(target))
            self._scored += 1

    def perplexity(self) -> float | None:
        """Return the authors' perplexity so far."""
        if not self._scored:
            return None
        lanes = len(self._streams)
        return _perplexity(self._cross_entropy, self._scored + lanes)

    def progress(self) -> dict[str, Any]:
        """Return tokens and perplexity so far."""
        return {
            "tokens": self._scored,
            "tokens_total": self.positions * len(self._streams),
            "perplexity": self.perplexity(),
            "text": "",
        }

    def report(self) -> dict[str, Any]:
        """Return tokens, cross entropy and perplexity."""
        per_token = _perplexity(self._cross_entropy, self._scored) if self._scored else None
        return {
            "tokens": self._scored,
            "cross_entropy_nats": self._cross_entropy if math.isfinite(self._cross_entropy) else None,
            "perplexity": self.perplexity(),
            "perplexity_per_prediction": per_token,
            "text": None,
            "generated": None,
        }


class Generation:
    """Continues a prompt, one word after another through all layers.

    Args:
        store: the embeddings in DRAM.
        readout: the decoder.
        prompt: word numbers to begin with, at least one.
        words: how many words to generate.
        choice: temperature, top_k, seed and the forbidden word.
        segment: positions after which cell states are zeroed, or 0.
        detokenise: word numbers -> text.

    """

    def __init__(
        self,
        store: EmbeddingStore,
        readout: Readout,
        prompt: U32,
        words: int,
        choice: Mapping[str, Any],
        segment: int,
        detokenise: Any,
    ) -> None:
        self._store, self._readout, self._segment, self._detokenise = store, readout, segment, detokenise
        self._words = [int(word) for word in prompt]
        self._prompt = len(self._words)
        self._choice = choice
        self._random = np.random.default_rng(choice["seed"])
        self.positions = self._prompt + words - 1
        self._next = 0
        self._answered = 0

    def next(self) -> Feed | None:
        """Return the next position's input; None while its word has not been chosen yet."""
        if self.exhausted() or self._next >= len(self._words):
            return None
        position = self._next
        self._next += 1
        word = np.array([self._words[position]], np.uint32)
        return Feed(position, _flags(position, self._segment), *self._store.feed(word))

    def exhausted(self) -> bool:
        """Tell whether every position has been handed out."""
        return self._next >= self.positions

    def answer(self, section: Section) -> None:
        """Choose the next word once the prompt is through."""
        self._answered += 1
        if section.position >= self._prompt - 1:
            draw = float(self._random.random())
            logits = self._readout.of(section, 0)
            choice = self._choice
            self._words.append(sample(logits, choice["temperature"], choice["top_k"], draw, choice["forbidden"]))

    def progress(self) -> dict[str, Any]:
        """Return tokens and text so far."""
        return {"tokens": self._answered, "tokens_total": self.positions, "perplexity": None, "text": self._detokenise(self._words)}

    def report(self) -> dict[str, Any]:
        """Return tokens and text."""
        return {
            "tokens": self._answered,
            "cross_entropy_nats": None,
            "perplexity": None,
            "perplexity_per_prediction": None,
            "text": self._detokenise(self._words),
            "generated": self._words[self._prompt :],
        }
