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
    EgruSettings,
    flag,
    need_above_zero,
    need_from,
    need_one_of,
    need_shares,
    shared_flag,
    sizes_of,
)

CHOICES = {"variant": ("trace", "plain"), "head": ("strided", "authors"), "mask_over": ("nothing", "sequence")}
SIZES = (32, 64, 128)  # the authors' layer plan ends in one pixel for these
DECAY = 0.9  # of the trace, the authors'
_WIDEST_FACTOR = 16
_SHARES = ("smoothing", "drop_input", "drop_output", "drop_connect", "shift", "zoom", "tempo")
_FROM_ZERO = ("turn", "contrast", "delay", "valid_subjects")


@dataclass(frozen=True)
class GestureSettings(EgruSettings):
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
    batch: int = shared_flag("batch", 32)
    lr: float = shared_flag("lr", 5e-3)
    readout_lr: float = flag(5.0, "learning rate of the read-out's weights, as a factor: a mean over sparse events is small")
    beta1: float = shared_flag("beta1", 0.9)
    weight_decay: float = shared_flag("weight_decay", 0.01, ", on all but thresholds")
    clip: float = shared_flag("clip", 1.0)
    warm_up: float = shared_flag("warm_up", 0.03)
    cosine_from: float = shared_flag("cosine_from", 0.03)
    smoothing: float = shared_flag("smoothing", 0.05)
    drop_input: float = flag(0.05, "dropout on the features (the authors: 0.6321)")
    drop_output: float = flag(0.05, "dropout behind each layer (the authors: 0.6321)")
    drop_connect: float = flag(0.0, "share of recurrent weights dropped for a batch")
    mask_over: str = flag(
        "nothing", "a dropout mask is drawn for every frame (nothing, the authors') or for a whole sample (sequence)"
    )
    zoneout: float = shared_flag("zoneout", 0.1)
    dampening: float = shared_flag("dampening", 0.7)
    support: float = shared_flag("support", 1.7)
    threshold_mean: float = shared_flag("threshold_mean", 0.01)
    threshold_lr: float = shared_flag("threshold_lr", 0.0)
    activity_floor: float = shared_flag("activity_floor", 0.05)
    activity_target: float = shared_flag("activity_target", 0.2)
    activity_weight: float = shared_flag("activity_weight", 1.0)
    shift: float = flag(0.08, "augmentation: largest shift, as a share of the frame")
    zoom: float = shared_flag("zoom", 0.12)
    turn: float = flag(10.0, "augmentation: largest rotation in degrees; never a mirror image, left and right are classes")
    contrast: float = flag(0.2, "augmentation: spread of the counts' logarithm")
    tempo: float = shared_flag("tempo", 0.1)
    delay: int = flag(4, "augmentation: largest shift in time, in frames")
    valid_subjects: int = flag(
        3, "subjects of the training split that are held out to choose the epoch (0: the last epoch is kept)"
    )
    precision: str = shared_flag("precision", "bfloat16")
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
