"""The gesture classifier that is trained: convolutions over a frame, EGRU layers over the frames' features, a read-out.

The layer plan is the authors' (EvNN benchmarks/dvs_gesture, egru.md section 4) or a smaller one of our own; in evaluation it
computes what `models/heads/gesture.py` and the emulator's kernels compute, to rounding. Dropout lies before the first layer and
behind each; what a layer hands on is the trace of its events or the events themselves; scores are the mean over all steps.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.common.egru_layer import Egru
from models.training.common.products import linear
from models.training.common.trace_layer import trace_of
from models.training.gesture.settings import GestureSettings

POOL, POOL_STRIDE = 3, 2
_SMALLEST = 1e-3  # what a layer hears is not taken for smaller than this
_UNROLLED = 9  # pixels up to which a convolution is quicker as one product with its weights written out


class ConvolutionPlan(NamedTuple):
    """A convolution of the head: channels out, width k, stride, padding, and whether a max-pool follows."""

    channels: int
    k: int
    stride: int
    padding: int
    pool: bool


def layer_plan(head: str, size: int, width: float) -> list[ConvolutionPlan]:
    """Return the convolutions for frames of `size` pixels (32, 64 or 128), channels times `width`.

    "authors": the authors' plan, which ends in one pixel, so that where something is must lie in its channels. "strided": three
    strided convolutions that keep the place of things, and learn gestures from far fewer samples (docs/gesture.md).
    """
    if head == "strided":
        shapes = ((16, 5, 2, 2, size >= 128), (32, 3, 2, 1, size >= 64), (48, 3, 2, 1, False))
        strided = [ConvolutionPlan(*shape) for shape in shapes]
        return [plan._replace(channels=max(1, round(plan.channels * width))) for plan in strided]
    channels = [max(1, round(count * width)) for count in (64, 192, 384, 256, 256)]
    rest = ((11, 4, 2, True), (5, 1, 2, True), (3, 1, 1, size >= 64), (3, 1, 1, size >= 128), (3, 1, 1, False))
    return [ConvolutionPlan(count, *shape) for count, shape in zip(channels, rest, strict=True)]


def pixels_left(plans: list[ConvolutionPlan], size: int) -> int:
    """Return how many pixels are left of a frame behind the convolutions."""
    for plan in plans:
        size = (size + 2 * plan.padding - plan.k) // plan.stride + 1
        size = (size - POOL) // POOL_STRIDE + 1 if plan.pool else size
    return size * size


class Convolution(nn.Module):
    """Convolution, ReLU, and a max-pool where the plan says so: (n, channels, w, w) to (n, plan.channels, w', w')."""

    def __init__(self, channels: int, plan: ConvolutionPlan) -> None:
        super().__init__()
        self.plan = plan
        self.weight = nn.Parameter(torch.empty(plan.channels, channels, plan.k, plan.k))
        self.bias = nn.Parameter(torch.zeros(plan.channels))
        self.norm: nn.BatchNorm2d | None = nn.BatchNorm2d(plan.channels, affine=False)
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")

    def convolve(self, x: Tensor, low: bool) -> Tensor:
        """Return the products alone, as float32."""
        plan, weight = self.plan, self.weight
        if x.shape[-1] ** 2 <= _UNROLLED:
            flat = x.flatten(1)
            unit = torch.eye(flat.shape[1], dtype=x.dtype, device=x.device).view(-1, *x.shape[1:])
            rows = functional.conv2d(unit, weight, stride=plan.stride, padding=plan.padding)
            out = linear(flat, rows.flatten(1).t(), low).view(-1, *rows.shape[1:])
        elif low:
            out = functional.conv2d(x.bfloat16(), weight.bfloat16(), stride=plan.stride, padding=plan.padding).to(x.dtype)
        else:
            out = functional.conv2d(x, weight, stride=plan.stride, padding=plan.padding)
        return out

    def forward(self, x: Tensor, low: bool = False) -> Tensor:
        """Return what the next layer sees; `low` computes products from bfloat16 factors."""
        x = self.convolve(x, low)
        if self.plan.pool:  # before what keeps the order of values: they are the same, a fifth as many
            x = functional.max_pool2d(x, POOL, POOL_STRIDE)
        if self.norm is not None:
            x = self.norm(x)
        return functional.relu(x + self.bias[:, None, None])

    def fold(self) -> None:
        """Make the batch normalisation, as it is in evaluation, part of weight and bias."""
        _fold(self.norm, self.weight, self.bias)
        self.norm = None


class Answer(NamedTuple):
    """Class scores (batch, classes), and of each layer o (steps, batch, units), 1 where a unit fired."""

    scores: Tensor
    fired: list[Tensor]

    @property
    def activity(self) -> list[Tensor]:
        """Each layer's mean share of units that fire in a step."""
        return [fired.mean() for fired in self.fired]


class GestureModel(nn.Module):
    """Head, layers and read-out for `classes` classes."""

    def __init__(self, classes: int, settings: GestureSettings) -> None:
        super().__init__()
        self.settings = settings
        plans, sizes = layer_plan(settings.head, settings.size, settings.width), settings.layers
        channels = [1, *(plan.channels for plan in plans)]
        head = (Convolution(inputs, plan) for inputs, plan in zip(channels, plans, strict=False))
        self.head = cast("list[Convolution]", nn.ModuleList(head))  # what is in it is not known to torch's types
        self.linear_weight = nn.Parameter(torch.empty(settings.features, plans[-1].channels * pixels_left(plans, settings.size)))
        self.linear_bias = nn.Parameter(torch.zeros(settings.features))
        self.norm: nn.BatchNorm1d | None = nn.BatchNorm1d(settings.features, affine=False)
        layers = (
            Egru(inputs, units, settings.dampening, settings.support, settings.zoneout)
            for inputs, units in pairwise((settings.features, *sizes))
        )
        self.layers = cast("list[Egru]", nn.ModuleList(layers))
        self.readout_weight = nn.Parameter(torch.empty(classes, sizes[-1]))
        self.readout_bias = nn.Parameter(torch.zeros(classes))
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        nn.init.normal_(self.linear_weight, 0, 1 / math.sqrt(self.linear_weight.shape[1]))
        nn.init.normal_(self.readout_weight, 0, 1 / math.sqrt(self.readout_weight.shape[1]))
        mean = self.settings.threshold_mean
        thresholds = torch.distributions.Beta(3 * mean / (1 - mean), 3.0)
        for layer in self.layers:
            nn.init.normal_(layer.kernel, 0, 1 / math.sqrt(layer.inputs))
            for gate in torch.split(layer.recurrent, layer.units):
                nn.init.orthogonal_(gate)
            layer.threshold.copy_(thresholds.sample((layer.units,)))

    @torch.no_grad()
    def calibrate(self, frames: Tensor) -> None:
        """Scale each layer's initial weights to the size of what it hears of these frames (steps, batch, size, size)."""
        self.train()
        x = self.features(frames)
        for layer in self.layers:
            layer.kernel.div_(x.square().mean().sqrt().clamp(min=_SMALLEST))
            ys, _, _ = layer(x, layer.begin(x.shape[1]))
            x = trace_of(ys, self.settings.trace)

    def fold(self) -> None:
        """Make every batch normalisation, as it is in evaluation, part of the weights: what is left is the authors' head."""
        for convolution in self.head:
            convolution.fold()
        _fold(self.norm, self.linear_weight, self.linear_bias)
        self.norm = None

    def features(self, frames: Tensor, low: bool = False) -> Tensor:
        """Return the features (steps, batch, features) of frames (steps, batch, size, size)."""
        x = frames.flatten(0, 1).unsqueeze(1)
        for convolution in self.head:
            x = convolution(x, low)
        x = linear(x.flatten(1), self.linear_weight, low)
        if self.norm is not None:
            x = self.norm(x)
        return (x + self.linear_bias).view(*frames.shape[:2], -1)

    def forward(self, frames: Tensor) -> Answer:
        """Score frames (steps, batch, size, size), each sequence from a state of zeros."""
        s, low = self.settings, self.settings.precision == "bfloat16" and self.training
        x = self._drop(self.features(frames, low), s.drop_input)
        events = []
        for layer in self.layers:
            ys, fired, _ = layer(x, layer.begin(x.shape[1]), s.drop_connect, low)
            events.append(fired)
            x = self._drop(trace_of(ys, s.trace), s.drop_output)
        return Answer(functional.linear(x.mean(0), self.readout_weight, self.readout_bias), events)

    def _drop(self, x: Tensor, share: float) -> Tensor:
        """Drop values of x (steps, batch, units): each for itself, or units with one mask over the steps."""
        if not (self.training and share):
            return x
        steps, batch, units = x.shape
        shape = (1 if self.settings.mask_over == "sequence" else steps, batch, units)
        return x * functional.dropout(x.new_ones(shape), share)

    @torch.no_grad()
    def round_weights(self) -> None:
        """Round every matrix to float16, as the checkpoint stores it, so that what is scored is what is shipped."""
        for parameter in self.parameters():
            if parameter.dim() > 1:
                parameter.copy_(parameter.half().to(parameter.dtype))


@torch.no_grad()
def _fold(norm: nn.BatchNorm1d | nn.BatchNorm2d | None, weight: Tensor, bias: Tensor) -> None:
    """Fold a normalisation (no scale or shift of its own) of the products of weight (out, ...) into it and its bias (out,)."""
    if norm is None:
        return
    assert norm.running_mean is not None
    assert norm.running_var is not None
    spread = (norm.running_var + norm.eps).sqrt()
    weight.div_(spread.view(-1, *(1,) * (weight.dim() - 1)))
    bias.sub_(norm.running_mean / spread)
