"""Settings of a training run of the gesture model; its fields are the command line's flags and travel with the checkpoint.

The architecture is the authors' (reference: EvNN benchmarks/dvs_gesture, in egru.md section 4) at a frame of 32 x 32, its
convolutions thinner by `width`; so are zoneout, surrogate, drop-connect and the kind of augmentation. Epochs, dropout,
thresholds and the learning rate are ours: they fit a synthetic set and a quarter of an hour.
"""

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

CHOICES = {"variant": ("trace", "plain"), "head": ("strided", "authors"), "mask_over": ("nothing", "sequence")}
SIZES = (32, 64, 128)  # the authors' layer plan ends in one pixel for these
DECAY = 0.9  # of the trace, the authors'
_WIDEST_FACTOR = 16
_SHARES = ("smoothing", "drop_input", "drop_output", "drop_connect", "shift", "zoom", "tempo")
_FROM_ZERO = ("turn", "contrast", "delay", "valid_subjects")


@dataclass(frozen=True)
class GestureSettings(TrainingSettings):
    """The hyperparameters of one run."""

    variant: str = flag("trace", "what a layer hands on: the low-pass trace of its events (the authors') or the events (plain)")
    people: int = flag(24, "people that the synthetic camera shows in training; 2,112 samples in all")
    begin_with: str = flag("", "run folder whose last parameters this run begins with (default: random ones)")
    size: int = flag(32, "pixels along a side of a frame: 32, 64 or 128")
    scale: float = flag(19.0, "what event counts are divided by (the authors: 19 in training, 18.5 in the test)")
    head: str = flag("strided", "convolutions: strided (16, 32 and 48 channels) or authors (64, 192, 384, 256, 256)")
    width: float = flag(1.0, "channels of the convolutions, as a factor on those of the head")
    features: int = flag(512, "features that the convolutions make of a frame")
    hidden: str = flag("256,256", "units of each EGRU layer")
    epochs: int = flag(26, "times through the training samples")
    batch: int = flag(32, "samples side by side")
    lr: float = flag(5e-3, "learning rate of AdamW")
    readout_lr: float = flag(5.0, "learning rate of the read-out's weights, as a factor: a mean over sparse events is small")
    beta1: float = flag(0.9, "AdamW's first beta")
    weight_decay: float = flag(0.01, "AdamW's, on all but thresholds")
    clip: float = flag(1.0, "largest norm of the gradient")
    warm_up: float = flag(0.03, "share of the run over which the learning rate rises")
    cosine_from: float = flag(0.03, "share of the run after which the learning rate falls to 0 as a cosine")
    smoothing: float = flag(0.05, "label smoothing")
    drop_input: float = flag(0.05, "dropout on the features (the authors: 0.6321)")
    drop_output: float = flag(0.05, "dropout behind each layer (the authors: 0.6321)")
    drop_connect: float = flag(0.0, "share of recurrent weights dropped for a batch")
    mask_over: str = flag(
        "nothing", "a dropout mask is drawn for every frame (nothing, the authors') or for a whole sample (sequence)"
    )
    zoneout: float = flag(0.1, "share of units that keep their state in a step")
    dampening: float = flag(0.7, "lambda, the height of the surrogate derivative")
    support: float = flag(1.7, "k, one over its half-width")
    threshold_mean: float = flag(0.01, "mean of the Beta(a, 3) that thresholds are drawn from")
    threshold_lr: float = flag(0.0, "learning rate of the thresholds, as a factor (0: frozen)")
    activity_floor: float = flag(0.05, "mean share of units that fire below which the regulariser acts, each layer")
    activity_target: float = flag(0.2, "mean share of units that fire above which the regulariser acts, each layer")
    activity_weight: float = flag(1.0, "weight of the activity regulariser: squared distance from the range (0: off)")
    shift: float = flag(0.08, "augmentation: largest shift, as a share of the frame")
    zoom: float = flag(0.12, "augmentation: largest change of size, as a share")
    turn: float = flag(10.0, "augmentation: largest rotation in degrees; never a mirror image, left and right are classes")
    contrast: float = flag(0.2, "augmentation: spread of the counts' logarithm")
    tempo: float = flag(0.1, "augmentation: largest change of speed, as a share")
    delay: int = flag(4, "augmentation: largest shift in time, in frames")
    valid_subjects: int = flag(
        3, "subjects of the training split that are held out to choose the epoch (0: the last epoch is kept)"
    )
    precision: str = flag("bfloat16", "of the factors in products while training: bfloat16 or float32; evaluation is float32")
    seed: int = flag(1, "of the initial weights, every mask and every augmentation")

    @property
    def layers(self) -> tuple[int, ...]:
        """Units of each layer; ModelError where `hidden` is no list of sizes."""
        return sizes_of(self.hidden, "256,256")

    @property
    def trace(self) -> float:
        """Decay of what a layer hands on; 0: it hands on its events."""
        return DECAY if self.variant == "trace" else 0.0

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        for name, allowed in CHOICES.items():
            need_one_of(self, name, allowed)
        if self.size not in SIZES:
            raise ModelError(f"--size {self.size}: needs one of {', '.join(map(str, SIZES))}")
        if not self.layers or any(not 1 <= size <= WIDEST for size in self.layers):
            raise ModelError(f"--hidden {self.hidden!r}: needs layers of 1 to {WIDEST:,} units")
        super().check()
        need_from(self, 1, "features", "people")
        need_shares(self, *_SHARES)
        need_above_zero(self, "scale", "width", "readout_lr")
        need_from(self, 0, *_FROM_ZERO)
        if self.features > WIDEST:
            raise ModelError(f"--features {self.features}: needs at most {WIDEST:,}")
        if self.width > _WIDEST_FACTOR:
            raise ModelError(f"--width {self.width}: needs at most {_WIDEST_FACTOR} times the authors' channels")
