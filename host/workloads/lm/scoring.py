"""Scores a text: each token predicts the next one.

Perplexity as the authors define it: the exponential of the summed cross entropy divided by the number of tokens of the
stream, its first token included although nothing predicts it (`data.numel()` in their code; the difference fades with
length).
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from host.show.status import finite
from host.workloads.contract import Feed, Metric, Outputs, Progress, SaveRow, Source, only_section
from host.workloads.lm import METRICS
from host.workloads.lm.decoder import Decoder, section_flags
from host.workloads.rows_in_dram import RowsInDram
from models.heads.language import log_likelihood
from models.network import U32
from models.text.perplexity import overflow_in_words, perplexity_of


class TextSource(Source):
    """Feeds texts, one a lane, token by token, from embeddings in DRAM, a row a word.

    `streams`: (lanes, tokens) word numbers, the last column is only predicted; `segment`: positions after which cell
    states are zeroed, or 0 to carry them; `into`: the population that hears them.
    """

    def __init__(self, embedding: RowsInDram, streams: U32, segment: int, into: int) -> None:
        self._embedding, self._streams, self._segment, self._input = embedding, streams, segment, into
        self.positions = streams.shape[1] - 1

    def feed_at(self, position: int) -> Feed:
        """Return the embeddings of every text's word."""
        events = self._embedding.feed(self._streams[:, position])
        return Feed(position, section_flags(position, self._segment), {self._input: events})


class TextScore:
    """Sums the cross entropy of the predictions of texts, (lanes, tokens) word numbers in `streams`.

    `unknown_share` of the words are `<unk>`: stated beside the perplexity, which is lower for it. For `--save logits` it has of
    every prediction `logits` (words,), `target`, the word that came, and its `cross_entropy_nats`.
    """

    saves = ("logits",)

    def __init__(self, decoder: Decoder, streams: U32, unknown_share: float = 0.0) -> None:
        self._decoder, self._streams, self._unknown_share = decoder, streams, unknown_share
        self._save: SaveRow | None = None
        self._scored = 0
        self._cross_entropy_nats = 0.0

    def answer(self, position: int, outputs: Outputs) -> None:
        """Score the prediction of each lane at one position."""
        section = only_section(outputs)
        for lane, target in enumerate(self._streams[:, position + 1]):
            logits = self._decoder.logits_of(section, lane)
            nats = -log_likelihood(logits, int(target))
            self._cross_entropy_nats += nats
            self._scored += 1
            if self._save is not None:
                rows = {"logits": logits, "target": target, "cross_entropy_nats": np.float64(nats)}
                for of, row in rows.items():
                    self._save("logits", of, lane, position, np.asarray(row))

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand every prediction to `save`, too."""
        self._save = save

    @property
    def _tokens(self) -> int:
        """Those that the authors count so far."""
        return self._scored + len(self._streams)

    def perplexity(self) -> float | None:
        """Return the authors' perplexity so far; None where there is none yet, or where no number holds it."""
        return finite(perplexity_of(self._cross_entropy_nats, self._tokens)) if self._scored else None

    def overflow(self) -> str:
        """Return in words a perplexity that no number holds; "" for any other."""
        return overflow_in_words(self._cross_entropy_nats, self._tokens) if self._scored else ""

    def progress(self) -> Progress:
        """Return how many tokens are scored, and the perplexity so far: infinite where no number holds it."""
        metrics = self.metrics(None)
        if self.overflow():
            metrics = [metrics[0]._replace(value=math.inf)]
        return Progress(self._scored, (self._streams.shape[1] - 1) * len(self._streams), metrics)

    def result(self) -> dict[str, Any]:
        """Return tokens, cross entropy and perplexity, and a note where no number holds that."""
        each = finite(perplexity_of(self._cross_entropy_nats, self._scored)) if self._scored else None
        return {
            "tokens": self._scored,
            "cross_entropy_nats": finite(self._cross_entropy_nats),
            "perplexity": self.perplexity(),
            "perplexity_per_prediction": each,
            "note": f"perplexity {self.overflow()}" if self.overflow() else "",
        }

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - perplexity costs nothing
        """Return the perplexity."""
        unknown = f", {100 * self._unknown_share:.3g} % of the words <unk>" if self._unknown_share else ""
        over = f"over {self._scored:,} tokens{unknown}"
        note = f"{self.overflow()} {over}" if self.overflow() else over
        return [METRICS["perplexity"]._replace(value=self.perplexity(), note=note)]

    def snapshot(self) -> bytes:
        """Return both sums."""
        return json.dumps([self._scored, self._cross_entropy_nats.hex()]).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        self._scored, nats = json.loads(snapshot)
        self._cross_entropy_nats = float.fromhex(nats)
