"""Settings of a training run of a spiking network; its fields are the command line's flags and travel with the checkpoint.

Layers are those of Arfa et al. (arXiv:2504.06748), 25,504 weights without biases on 2 x 32 x 32 inputs; batch, learning rate and
neurons (subtract, one step late) too. Time constants are learned, the answer is a membrane, and bins are longer than their
1 ms, so that training fits a small machine.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.dvs.spike_frames import POLARITIES, SpikeBins
from models.network import ModelError
from models.training.common.settings import (
    WIDEST,
    ActivitySettings,
    flag,
    need_above_zero,
    need_from,
    need_one_of,
    need_shares,
    shared_flag,
    sizes_of,
)

CONVOLUTIONS = 3
READOUTS = ("membrane", "counts")
_LEAST_SIZE = 16  # the pools leave nothing of fewer pixels


@dataclass(frozen=True)
class SpikingSettings(ActivitySettings):
    """The hyperparameters of one run."""

    people: int = flag(96, "people that the synthetic camera shows in training, each under 4 lights")
    begin_with: str = flag("", "run folder whose last parameters this run begins with, as a float run before --bits 8")
    bits: int = flag(0, "quantised training: weights of so many bits, one scale a layer, thresholds scaled with them (0: float)")
    percentile: float = flag(100.0, "quantised training: of a layer's magnitudes, what the largest number stands for")
    bin_ms: float = flag(50.0, "length of a step in ms of the recording")
    steps: int = flag(34, "steps of a sample")
    size: int = flag(32, "pixels along a side of the input")
    polarity: str = flag("off-on", "order of the channels: off-on, on-off, or merged")
    binary: bool = flag(True, "one spike a pixel and bin; --no-binary: as many as there were events")
    denoise_ms: float = flag(10.0, "events stay where a pixel beside theirs fired in so many ms before (0: all stay)")
    channels: str = flag("16,16,8", "channels of the three convolutions")
    hidden: int = flag(256, "units of the dense layer before the eleven of the answer")
    readout: str = flag("membrane", "the answer: membrane, its mean without a threshold, or counts of the paper's spikes")
    beta_low: float = flag(0.6, "decay a step of the quickest channel at the beginning; the others lie evenly up to --beta-high")
    beta_high: float = flag(0.95, "of the slowest (the paper: 0.93 of all, and --beta-lr 0)")
    beta_lr: float = flag(1.0, "learning rate of the decays, as a factor (0: frozen)")
    gain: float = flag(0.5, "root mean square of what a neuron hears in a step, in thresholds, at the beginning")
    slope: float = flag(5.0, "k of the surrogate derivative 1 / (1 + k |v - threshold|)**2")
    temperature: float = flag(0.3, "a spike of an output, or its membrane, is so much of a class's score in the loss")
    epochs: int = flag(12, "times through the training samples")
    batch: int = shared_flag("batch", 32)
    lr: float = shared_flag("lr", 3e-3)
    beta1: float = shared_flag("beta1", 0.9)
    weight_decay: float = shared_flag("weight_decay", 0.0)
    clip: float = shared_flag("clip", 1.0)
    warm_up: float = shared_flag("warm_up", 0.03)
    cosine_from: float = shared_flag("cosine_from", 0.03)
    smoothing: float = shared_flag("smoothing", 0.05)
    threshold_lr: float = flag(1.0, "learning rate of the thresholds' logarithms, as a factor (0: they follow the inputs alone)")
    activity_floor: float = flag(0.01, "mean share of neurons that fire below which the regulariser acts, each layer")
    activity_target: float = flag(0.1, "mean share of neurons that fire above which the regulariser acts, each layer")
    activity_weight: float = shared_flag("activity_weight", 1.0)
    shift: float = flag(0.08, "augmentation: largest shift, as a share of the frame")
    zoom: float = shared_flag("zoom", 0.12)
    turn: float = flag(10.0, "augmentation: largest rotation in degrees; never a mirror image, left and right are classes")
    tempo: float = shared_flag("tempo", 0.1)
    delay: int = flag(2, "augmentation: largest shift in time, in steps")
    valid_subjects: int = flag(
        4, "subjects of the training split that are held out to choose the epoch (0: the last epoch is kept)"
    )
    seed: int = flag(1, "of the initial weights and every augmentation")

    @property
    def bins(self) -> SpikeBins:
        """How events become spikes."""
        return SpikeBins(
            bin_us=round(self.bin_ms * 1000), steps=self.steps, size=self.size, polarity=self.polarity, binary=self.binary,
            denoise_us=round(self.denoise_ms * 1000),
        )  # fmt: skip

    @property
    def plan(self) -> tuple[int, ...]:
        """Channels of each convolution; ModelError where `channels` names none."""
        return sizes_of(self.channels, "16,16,8")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_one_of(self, "polarity", POLARITIES)
        need_one_of(self, "readout", READOUTS)
        super().check()
        need_from(self, 1, "people", "steps", "hidden")
        need_shares(self, "beta_low", "beta_high", "smoothing", "shift", "zoom", "tempo")
        need_above_zero(self, "gain", "slope", "temperature", "bin_ms", "percentile")
        need_from(self, 0, "beta_lr", "turn", "delay", "denoise_ms", "valid_subjects")
        if self.beta_low > self.beta_high:
            raise ModelError(f"--beta-low {self.beta_low}: needs at most --beta-high, {self.beta_high}")
        if not self.beta_low > 0:
            raise ModelError(f"--beta-low {self.beta_low}: needs a number above 0")
        if len(self.plan) != CONVOLUTIONS or any(not 1 <= size <= WIDEST for size in (*self.plan, self.hidden)):
            raise ModelError(f"--channels {self.channels!r}, --hidden {self.hidden}: need three numbers and one, 1 to {WIDEST:,}")
        if self.size < _LEAST_SIZE:
            raise ModelError(f"--size {self.size}: needs at least {_LEAST_SIZE}")
        if self.bits not in (0, *range(2, 9)):
            raise ModelError(f"--bits {self.bits}: needs 0 (float) or 2 to 8")
        if self.percentile > 100:
            raise ModelError(f"--percentile {self.percentile}: needs at most 100")
