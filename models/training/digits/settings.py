"""Settings of a training run on digits; its fields are the command line's flags and travel with the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from models.network import ModelError
from models.training.common.settings import (
    WIDEST,
    TrainingSettings,
    flag,
    need_equal_heads,
    need_from,
    need_one_of,
    need_shares,
    shared_flag,
    sizes_of,
)

CONVOLUTIONS = 3
NETWORKS = ("cnn", "vit")


@dataclass(frozen=True)
class DigitsSettings(TrainingSettings):
    """The hyperparameters of one run."""

    network: str = flag("cnn", f"{' or '.join(NETWORKS)}: convolutions, or a vision transformer over patches of 2 x 2 pixels")
    channels: str = flag("16,32,32", "channels of the three convolutions (3 x 3; the last two are halved in size)")
    hidden: int = flag(64, "units of the dense layer before the ten of the answer")
    width: int = flag(48, "of a vision transformer: numbers of a patch")
    heads: int = flag(4, "of a vision transformer: heads of its attention")
    blocks: int = flag(3, "of a vision transformer: blocks of attention and two dense layers, the first three times as wide")
    epochs: int = flag(80, "times through the training images")
    batch: int = flag(32, "images side by side")
    lr: float = shared_flag("lr", 3e-3)
    beta1: float = shared_flag("beta1", 0.9)
    weight_decay: float = shared_flag("weight_decay", 0.02)
    clip: float = shared_flag("clip", 1.0)
    warm_up: float = shared_flag("warm_up", 0.05)
    cosine_from: float = shared_flag("cosine_from", 0.05)
    smoothing: float = shared_flag("smoothing", 0.05)
    dropout: float = flag(0.2, "share of units that are silent in a step of training: of the dense layer, or of what blocks add")
    shift: float = flag(0.8, "augmentation: largest shift, in pixels")
    zoom: float = shared_flag("zoom", 0.12)
    turn: float = flag(12.0, "augmentation: largest rotation in degrees; never a mirror image")
    seed: int = flag(1, "of the initial weights and every augmentation")

    @property
    def plan(self) -> tuple[int, ...]:
        """Channels of each convolution; ModelError where `channels` names none."""
        return sizes_of(self.channels, "16,32,32")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_one_of(self, "network", NETWORKS)
        super().check()
        need_from(self, 1, "hidden", "width", "heads", "blocks")
        need_shares(self, "smoothing", "dropout", "zoom")
        need_from(self, 0, "shift", "turn")
        if len(self.plan) != CONVOLUTIONS or any(not 1 <= size <= WIDEST for size in (*self.plan, self.hidden)):
            raise ModelError(f"--channels {self.channels!r}, --hidden {self.hidden}: need three numbers and one, 1 to {WIDEST:,}")
        need_equal_heads(self)
