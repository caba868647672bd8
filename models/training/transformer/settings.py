"""Settings of a training run of the transformer; its fields are the command line's flags and travel with the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from models.network import ModelError
from models.training.common.settings import WIDEST, TrainingSettings, flag, need_above_zero, need_from, need_shares


@dataclass(frozen=True)
class TransformerSettings(TrainingSettings):
    """The hyperparameters of one run."""

    width: int = flag(256, "numbers of a word, through all blocks; the decoder is tied to the embedding")
    blocks: int = flag(4, "blocks of attention and two dense layers, the first four times as wide")
    heads: int = flag(4, "heads of the attention")
    context: int = flag(128, "words that it reads at most")
    epochs: int = flag(14, "times through the training text (the EGRU's: 14)")
    batch: int = flag(32, "sequences side by side")
    lr: float = flag(1e-3, "learning rate of AdamW")
    beta1: float = flag(0.9, "AdamW's first beta")
    weight_decay: float = flag(0.1, "AdamW's, on matrices")
    clip: float = flag(0.5, "largest norm of the gradient")
    warm_up: float = flag(0.05, "share of the run over which the learning rate rises")
    cosine_from: float = flag(0.05, "share of the run after which the learning rate falls to 0 as a cosine")
    dropout: float = flag(0.2, "share of numbers that are silent in a step of training: of embeddings, and of what blocks add")
    min_count: int = flag(3, "words seen less often in training become <unk> (as of lm)")
    seed: int = flag(1, "of the initial weights, where segments begin, and dropout")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_from(self, 1, "width", "blocks", "heads", "epochs", "batch", "min_count")
        need_from(self, 2, "context")
        need_shares(self, "beta1", "warm_up", "cosine_from", "dropout")
        need_above_zero(self, "lr", "clip")
        need_from(self, 0, "weight_decay")
        if self.width > WIDEST or self.width % self.heads:
            raise ModelError(f"--width {self.width}, --heads {self.heads}: need a width of equal heads, at most {WIDEST:,}")
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"--seed {self.seed}: needs a number from 0 to below 2**63")
