"""Settings of a training run of the transformer; its fields are the command line's flags and travel with the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from models.training.common.settings import TrainingSettings, flag, need_equal_heads, need_from, need_shares, shared_flag


@dataclass(frozen=True)
class TransformerSettings(TrainingSettings):
    """The hyperparameters of one run."""

    width: int = flag(256, "numbers of a word, through all blocks; the decoder is tied to the embedding")
    blocks: int = flag(4, "blocks of attention and two dense layers, the first four times as wide")
    heads: int = flag(4, "heads of the attention")
    context: int = flag(128, "words that it reads at most")
    epochs: int = flag(14, "times through the training text (the EGRU's: 14)")
    batch: int = flag(32, "sequences side by side")
    lr: float = shared_flag("lr", 1e-3)
    beta1: float = shared_flag("beta1", 0.9)
    weight_decay: float = shared_flag("weight_decay", 0.1, ", on matrices")
    clip: float = shared_flag("clip", 0.5)
    warm_up: float = shared_flag("warm_up", 0.05)
    cosine_from: float = shared_flag("cosine_from", 0.05)
    dropout: float = flag(0.2, "share of numbers that are silent in a step of training: of embeddings, and of what blocks add")
    min_count: int = flag(3, "words seen less often in training become <unk> (as of lm)")
    seed: int = flag(1, "of the initial weights, where segments begin, and dropout")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        super().check()
        need_from(self, 1, "width", "blocks", "heads", "min_count")
        need_from(self, 2, "context")
        need_shares(self, "dropout")
        need_equal_heads(self)
