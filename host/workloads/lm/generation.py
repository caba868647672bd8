"""Continues a prompt, one word after another through all layers: source and readout in one, for each waits for the other."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from host.workloads.contract import Feed, Metric, Outputs, Progress, SaveRow, Source, only_section
from host.workloads.lm.decoder import Decoder, section_flags
from host.workloads.rows_in_dram import RowsInDram
from models.heads.language import sample
from models.network import U32


class Choice(NamedTuple):
    """How a word is drawn: `temperature` (0: the likeliest), among the `top_k` likeliest (0: all), never the `forbidden` one."""

    temperature: float
    top_k: int
    seed: int
    forbidden: int


class Generation(Source):
    """Continues a prompt, at least one word number, by `words` words; the embeddings lie in DRAM, a row a word.

    `segment`: positions after which cell states are zeroed, or 0; `into`: the population that hears the words; `detokenise`: word
    numbers -> text. For `--save logits` it has the `logits` (words,) by which each word was drawn, and the `word`.
    """

    saves = ("logits",)

    def __init__(
        self, embedding: RowsInDram, decoder: Decoder, *, prompt: U32, words: int, choice: Choice, segment: int, into: int,
        detokenise: Callable[[list[int]], str],
    ) -> None:  # fmt: skip
        self._embedding, self._decoder, self._segment, self._detokenise = embedding, decoder, segment, detokenise
        self._input = into
        self._words = [int(word) for word in prompt]
        self._prompt = len(self._words)
        self._choice = choice
        self._random = np.random.default_rng(choice.seed)
        self.positions = self._prompt + words - 1
        self._answered = 0
        self._save: SaveRow | None = None
        self._not_finite = 0  # words that were chosen by scores beyond float32

    def next(self) -> Feed | None:
        """Return the next position's input; None while its word has not been chosen yet."""
        return super().next() if self._next < len(self._words) else None

    def feed_at(self, position: int) -> Feed:
        """Return the embedding of a word."""
        events = self._embedding.feed([self._words[position]])
        return Feed(position, section_flags(position, self._segment), {self._input: events})

    def answer(self, position: int, outputs: Outputs) -> None:
        """Choose the next word once the prompt is through."""
        self._answered += 1
        if position >= self._prompt - 1:
            draw, choice = float(self._random.random()), self._choice
            logits = self._decoder.logits_of(only_section(outputs), 0)
            self._not_finite += not np.isfinite(logits).all()
            self._words.append(sample(logits, choice.temperature, choice.top_k, draw, choice.forbidden))
            if self._save is not None:
                for of, row in (("logits", logits), ("word", np.uint32(self._words[-1]))):
                    self._save("logits", of, 0, position - self._prompt + 1, np.asarray(row))

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand the logits of every word that is drawn to `save`, too."""
        self._save = save

    def progress(self) -> Progress:
        """Return words and text so far."""
        return Progress(self._answered, self.positions, shown={"text": self._detokenise(self._words)})

    def result(self) -> dict[str, Any]:
        """Return the text, the numbers of the words that were generated, and how many of them scores beyond float32 chose."""
        text, generated = self._detokenise(self._words), self._words[self._prompt :]
        note = f"scores of {self._not_finite} words are no finite numbers: the text means nothing" if self._not_finite else ""
        return {"tokens": self._answered, "text": text, "generated": generated, "not_finite": self._not_finite, "note": note}

    def metrics(self, cost: object) -> list[Metric]:  # noqa: ARG002 - nothing to score
        """Return nothing: there is no text to compare with."""
        return []

    def snapshot(self) -> bytes:
        """Return the words so far, both positions, the count of scores beyond float32, and the state of the random numbers."""
        state = [self._words, self._next, self._answered, self._not_finite, self._random.bit_generator.state]
        return json.dumps(state).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        self._words, self._next, self._answered, self._not_finite, self._random.bit_generator.state = json.loads(snapshot)
