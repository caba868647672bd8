"""Settings of a training run of the language model; its fields are the command line's flags and travel with the checkpoint.

The defaults are the demonstration recipe for the standard library's documentation; `AUTHORS` is what differs in the EGRU
authors' recipe for WikiText-2 (reference: EvNN 0.2.0 benchmarks/lm/README, in egru.md section 5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from models.network import SEGMENT_STATES, ModelError
from models.training.common.settings import WIDEST, EgruSettings, flag, need_from, need_one_of, need_shares, shared_flag, sizes_of

CHOICES = {
    "model": ("egru", "lstm", "gru"), "gate": ("after", "inside"), "state": SEGMENT_STATES, "mask_over": ("sequence", "batch"),
    "init": ("scaled", "xavier"), "score": ("magnitude", "movement"), "vectors": ("none", "16x1", "8x1"), "bits": (0, 8, 4),
}  # fmt: skip
SHARES = ("drop_word", "drop_input", "drop_between", "drop_output", "drop_connect", "sparsity", "prune_from")


@dataclass(frozen=True)
class LanguageSettings(EgruSettings):
    """The hyperparameters of one run."""

    model: str = flag("egru", "egru, lstm or gru")
    gate: str = flag(
        "after",
        "of an egru, where the reset gate is: after the recurrent product (the authors' code) or inside (the paper's eq. 4)",
    )
    embedding: int = flag(750, "width of the embedding, and of the last layer: the decoder is tied to it")
    hidden: str = flag("1350,1350", "units of the layers before the last one")
    epochs: int = flag(14, "times through the training text")
    batch: int = flag(32, "sequences side by side")
    length: int = flag(35, "steps of back-propagation through time")
    vary_length: bool = flag(
        False, "the authors': draw lengths from Normal(length, 5), one in 20 from half the mean; at least 5; rate in proportion"
    )
    state: str = flag("carried", "cell state c at a segment's beginning: carried or zeroed (the authors'); y is always carried")
    lr: float = shared_flag("lr", 3e-3)
    beta1: float = shared_flag("beta1", 0.9, " (the authors: 0)")
    weight_decay: float = shared_flag("weight_decay", 0.05, ", on all but thresholds")
    clip: float = shared_flag("clip", 0.5)
    warm_up: float = shared_flag("warm_up", 0.02)
    cosine_from: float = shared_flag("cosine_from", 0.02)
    drop_word: float = flag(0.05, "share of words whose embedding is dropped")
    drop_input: float = flag(0.1, "dropout on the embedded text")
    drop_between: float = flag(0.15, "dropout between layers")
    drop_output: float = flag(0.25, "dropout before the decoder (the authors: 0.5)")
    drop_connect: float = flag(0.0, "share of recurrent weights dropped for a segment (egru and lstm)")
    mask_over: str = flag(
        "sequence", "a dropout mask is the same over a sequence's steps (sequence) or over the batch (batch, the authors')"
    )
    threshold_mean: float = shared_flag("threshold_mean", 0.01)
    threshold_lr: float = shared_flag("threshold_lr", 0.0)
    dampening: float = shared_flag("dampening", 3.6)
    support: float = shared_flag("support", 3.6)
    zoneout: float = shared_flag("zoneout", 0.0)
    init: str = flag("scaled", "scaled: unit variance through the layers, orthogonal recurrent gates; xavier: the authors'")
    keep_bias: float = flag(0.0, "initial bias of the keep gate z (scaled only)")
    activity_floor: float = shared_flag("activity_floor", 0.12)
    activity_target: float = shared_flag("activity_target", 0.25)
    activity_weight: float = shared_flag("activity_weight", 30.0)
    sparsity: float = flag(0.95, "share of each weight matrix that is pruned in the end (0: dense)")
    prune_from: float = flag(0.1, "share of the run at which pruning begins")
    prune_until: float = flag(0.55, "share of the run at which the target is reached")
    prune_every: int = flag(25, "iterations between two prunings")
    score: str = flag("magnitude", "what a weight is kept for: magnitude, or movement (running mean of |weight x gradient|)")
    vectors: str = flag(
        "none", "of an egru: prune so many outputs of one input together, 16x1 for the MAC array or 8x1; a group of rows keeps "
        "as many inputs as any other",
    )  # fmt: skip
    bits: int = flag(
        0, "of an egru: bits of weights and events that it is trained on, 8 or 4, as `launch.py quantise` rounds (0: none)"
    )
    start: str = flag(
        "none", "checkpoint of an egru, in float32 or int8, with whose numbers the run begins, not with drawn ones; what "
        "is wider here begins with copies of its units, and --sparsity is then a share of what its rows heard",
    )  # fmt: skip
    min_count: int = flag(3, "words seen less often in training become <unk> (standard library and plain text only)")
    precision: str = shared_flag("precision", "bfloat16")
    seed: int = flag(1, "of the initial weights and every mask")

    @property
    def vector_height(self) -> int:
        """How many outputs of an input are pruned together."""
        return 1 if self.vectors == "none" else int(self.vectors.partition("x")[0])

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of each layer; ModelError where `hidden` is no list of sizes."""
        return (*sizes_of(self.hidden, "1350,1350"), self.embedding)

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        for name, allowed in CHOICES.items():
            need_one_of(self, name, allowed)
        if self.gate != "after" and self.model != "egru":
            raise ModelError(f"--gate {self.gate}: goes with --model egru, not with {self.model}")
        for name, none in (("vectors", "none"), ("bits", 0), ("start", "none")):
            if getattr(self, name) != none and (self.model != "egru" or self.gate != "after"):
                have = self.model if self.model != "egru" else "--gate inside"
                raise ModelError(f"--{name} {getattr(self, name)}: goes with --model egru --gate after, not with {have}")
        if any(size < 1 for size in self.layers):
            raise ModelError(f"--hidden {self.hidden!r}: every layer needs at least 1 unit")
        super().check()
        need_from(self, 1, "length", "prune_every", "min_count")
        need_shares(self, *SHARES)
        if max(self.layers) > WIDEST:
            raise ModelError(f"--hidden {self.hidden!r}, --embedding {self.embedding}: needs at most {WIDEST:,} units a layer")
        if not math.isfinite(self.keep_bias):
            raise ModelError(f"--keep-bias {self.keep_bias}: needs a finite number")
        if self.sparsity and not self.prune_from <= self.prune_until <= 1:
            raise ModelError(f"--prune-until {self.prune_until}: needs to lie between --prune-from {self.prune_from} and 1")


AUTHORS: dict[str, Any] = {
    "epochs": 800, "batch": 128, "length": 70, "vary_length": True, "state": "zeroed", "lr": 1e-3, "beta1": 0.0,
    "weight_decay": 0.12, "clip": 0.1, "warm_up": 0.0, "cosine_from": 0.5, "drop_word": 0.1, "drop_input": 0.7,
    "drop_between": 0.25, "drop_output": 0.5, "drop_connect": 0.7, "mask_over": "batch", "init": "xavier",
    "activity_weight": 0.0, "precision": "float32",
}  # fmt: skip
"""The authors' recipe for WikiText-2; the paper does not say how or when it pruned, so those settings stay ours."""
