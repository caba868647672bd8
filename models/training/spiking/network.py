"""The spiking gesture classifier that is trained: three convolutions, two sum pools, two dense layers, neurons behind each.

The answer is the class whose output neuron has the highest membrane on average, without a threshold, or fires most often.
Weights are one grid a layer in quantised training; all that differs between channels lies in their thresholds: root mean
square of what a channel hears, as it runs, times what is learned.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.spiking_classifier import LAST_POOL, SHAPES, map_sizes
from models.training.spiking.lif_layer import lif
from models.training.spiking.settings import SpikingSettings

_READOUT_BETA = 0.9  # decay of the membranes that answer, at the beginning
_MOMENTUM = 0.05  # of the running mean square
_SMALLEST = 1e-6  # mean square of a channel that hears nothing


class Answer(NamedTuple):
    """What each class's neuron says (samples, classes): its spikes counted, or the mean of its membrane in units of a weight at
    the beginning. With it, each spiking layer's mean share of neurons that fire in a step.
    """

    scores: Tensor
    activity: list[Tensor]


class GridLayer(nn.Module):
    """Weights (out, in) or (out, in, k, k) without bias, on a grid in quantised training, and a decay for each output."""

    def __init__(self, shape: tuple[int, ...], settings: SpikingSettings, stride: int = 1, padding: int = 0, pool: int = 1) -> None:
        super().__init__()
        self.settings, self.stride, self.padding, self.pool = settings, stride, padding, pool
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        beta = torch.linspace(settings.beta_low, settings.beta_high, shape[0])
        self.beta_logit = nn.Parameter(torch.log(beta / (1 - beta)))

    @property
    def is_convolution(self) -> bool:
        """Whether it is a convolution, else a matrix."""
        return self.weight.dim() == 4

    def step(self) -> Tensor:
        """Return the step of the layer's grid: what its largest weight, or the percentile of them, is 127 of."""
        most, magnitudes = 2 ** (self.settings.bits - 1) - 1, self.weight.detach().abs().flatten()
        largest = magnitudes.max() if self.settings.percentile == 100 else magnitudes.quantile(self.settings.percentile / 100)
        return torch.div(largest.clamp(min=1e-12), most)

    def numbers(self) -> Tensor:
        """Return the whole numbers that the weights are in quantised training."""
        most = 2 ** (self.settings.bits - 1) - 1
        return (self.weight.detach() / self.step()).round().clamp(-most, most)

    def grid_weight(self) -> Tensor:
        """Return the weights as they are heard: on their grid where training is quantised, straight through backwards."""
        if not self.settings.bits:
            return self.weight
        return self.weight + (self.numbers() * self.step() - self.weight.detach())

    def products(self, spikes: Tensor, weight: Tensor) -> Tensor:
        """Return what each neuron hears of the spikes."""
        if not self.is_convolution:
            return torch.matmul(spikes.flatten(2), weight.t())
        flat = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last)  # half the time backwards on a CPU
        if self.pool > 1:
            flat = functional.avg_pool2d(flat, self.pool, divisor_override=1)
        weight = weight.contiguous(memory_format=torch.channels_last)
        out = functional.conv2d(flat, weight, stride=self.stride, padding=self.padding)
        return out.view(*spikes.shape[:2], *out.shape[1:])


class SpikingLayer(GridLayer):
    """A neuron that spikes for each output; (steps, samples, ...) in and out."""

    mean_square: Tensor

    def __init__(self, shape: tuple[int, ...], settings: SpikingSettings, stride: int = 1, padding: int = 0, pool: int = 1) -> None:
        super().__init__(shape, settings, stride, padding, pool)
        self.log_threshold = nn.Parameter(torch.full((shape[0],), -math.log(settings.gain)))
        self.register_buffer("mean_square", torch.zeros(shape[0]))

    def thresholds(self) -> Tensor:
        """Return the threshold of each channel, in units of the weights."""
        return torch.mul((self.mean_square + _SMALLEST).sqrt(), self.log_threshold.exp())

    def as_channels(self, values: Tensor) -> Tensor:
        """Return one value a channel so that it goes with what neurons hear."""
        return values[:, None, None] if self.is_convolution else values

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the layer's spikes; in training the mean square follows what is heard."""
        weight = self.grid_weight()
        if self.training:
            self._observe(spikes, weight)
        thresholds = self.thresholds()
        scaled = weight / thresholds.view(-1, *[1] * (weight.dim() - 1))
        x = self.products(spikes, scaled)
        if self.training:
            self._follow(x.detach(), thresholds.detach())
        beta = self.as_channels(self.beta_logit.sigmoid())
        return lif(x, beta, torch.ones((), dtype=x.dtype, device=x.device), self.settings.slope)

    def _observe(self, spikes: Tensor, weight: Tensor) -> None:
        """Take the first batch's mean square as it is."""
        if not self.mean_square.any():
            with torch.no_grad():
                self.mean_square.copy_(self._square(self.products(spikes, weight)))

    def _follow(self, x: Tensor, thresholds: Tensor) -> None:
        self.mean_square.lerp_(self._square(x) * thresholds**2, _MOMENTUM)

    def _square(self, x: Tensor) -> Tensor:
        return x.square().mean([at for at in range(x.dim()) if at != 2])


class MembraneLayer(GridLayer):
    """An integrator for each output, v(t) = beta v(t - 1) + (1 - beta) x(t), which begins at the same decay for all."""

    def __init__(self, shape: tuple[int, ...], settings: SpikingSettings) -> None:
        super().__init__(shape, settings)
        nn.init.normal_(self.weight, std=1 / math.sqrt(shape[1]))
        nn.init.constant_(self.beta_logit, math.log(_READOUT_BETA / (1 - _READOUT_BETA)))

    def forward(self, spikes: Tensor) -> Tensor:
        """Return the mean of each membrane over the steps, (samples, classes), in units of a weight at the beginning."""
        x, beta = self.products(spikes, self.grid_weight()), self.beta_logit.sigmoid()
        v = total = torch.zeros_like(x[0])
        for t in range(len(x)):
            v = beta * v + (1 - beta) * x[t]
            total = total + v
        return total * (math.sqrt(self.weight.shape[1]) / len(x))


class SpikingModel(nn.Module):
    """All layers; inputs are (steps, samples, channels, size, size)."""

    def __init__(self, classes: int, settings: SpikingSettings) -> None:
        super().__init__()
        self.settings = settings
        layers, channels = list[GridLayer](), settings.bins.channels
        for out, (k, stride, padding, pool) in zip(settings.plan, SHAPES, strict=True):
            layers.append(SpikingLayer((out, channels, k, k), settings, stride, padding, pool))
            channels = out
        dense = channels * map_sizes(settings.size)[-1] ** 2
        layers.append(SpikingLayer((settings.hidden, dense), settings))
        last = SpikingLayer if settings.readout == "counts" else MembraneLayer
        self.layers = nn.ModuleList([*layers, last((classes, settings.hidden), settings)])

    def forward(self, spikes: Tensor) -> Answer:
        """Return what each class's neuron says over all steps."""
        activity = list[Tensor]()
        for layer in self.layers:
            if spikes.dim() == 5 and not layer.is_convolution:
                pooled = functional.avg_pool2d(spikes.flatten(0, 1), LAST_POOL, divisor_override=1)
                spikes = pooled.reshape(*spikes.shape[:2], -1)
            if isinstance(layer, MembraneLayer):
                return Answer(layer(spikes), activity)
            spikes = layer(spikes)
            activity.append(spikes.mean())
        return Answer(spikes.sum(0), activity)
