"""Settings of a training run on digits; its fields are the command line's flags and travel with the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from models.network import ModelError
from models.training.common.settings import (
    WIDEST,
    TrainingSettings,
    flag,
    need_above_zero,
    need_from,
    need_one_of,
    need_shares,
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
    lr: float = flag(3e-3, "learning rate of AdamW")
    beta1: float = flag(0.9, "AdamW's first beta")
    weight_decay: float = flag(0.02, "AdamW's")
    clip: float = flag(1.0, "largest norm of the gradient")
    warm_up: float = flag(0.05, "share of the run over which the learning rate rises")
    cosine_from: float = flag(0.05, "share of the run after which the learning rate falls to 0 as a cosine")
    smoothing: float = flag(0.05, "label smoothing")
    dropout: float = flag(0.2, "share of units that are silent in a step of training: of the dense layer, or of what blocks add")
    shift: float = flag(0.8, "augmentation: largest shift, in pixels")
    zoom: float = flag(0.12, "augmentation: largest change of size, as a share")
    turn: float = flag(12.0, "augmentation: largest rotation in degrees; never a mirror image")
    seed: int = flag(1, "of the initial weights and every augmentation")

    @property
    def plan(self) -> tuple[int, ...]:
        """Channels of each convolution; ModelError where `channels` names none."""
        return sizes_of(self.channels, "16,32,32")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_one_of(self, "network", NETWORKS)
        need_from(self, 1, "epochs", "batch", "hidden", "width", "heads", "blocks")
        need_shares(self, "beta1", "warm_up", "cosine_from", "smoothing", "dropout", "zoom")
        need_above_zero(self, "lr", "clip")
        need_from(self, 0, "weight_decay", "shift", "turn")
        if len(self.plan) != CONVOLUTIONS or any(not 1 <= size <= WIDEST for size in (*self.plan, self.hidden)):
            raise ModelError(f"--channels {self.channels!r}, --hidden {self.hidden}: need three numbers and one, 1 to {WIDEST:,}")
        if self.width > WIDEST or self.width % self.heads:
            raise ModelError(f"--width {self.width}, --heads {self.heads}: need a width of equal heads, at most {WIDEST:,}")
        if not 0 <= self.seed < 1 << 63:
            raise ModelError(f"--seed {self.seed}: needs a number from 0 to below 2**63")
