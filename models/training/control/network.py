"""Q-networks in torch: the teacher's, of rectified units, and the student's, of leaky integrate-and-fire neurons.

The student computes what `models/kernels/lif.py` and `li.py` do on a chip: form "decay", reset "subtract" at the same step, a
strict threshold of 1; its readout sums up what it hears, without a spike. With `held` weights are whole numbers of 1/127 of a
layer's largest, and gradients pass as if they were not.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.control.encoding import LEVELS, counts_of
from models.network import F32


class Encoder:
    """Makes the input of observations: a pair of units a number, in whole 1/256."""

    def __init__(self, scale: Sequence[float]) -> None:
        self.scale = torch.tensor(list(scale), dtype=torch.float32)

    def __call__(self, observations: F32) -> Tensor:
        """Return inputs (lanes, 2 numbers) from 0 to 1."""
        return torch.from_numpy(counts_of(observations, self.scale.numpy())).to(torch.float32) / LEVELS


class RectifiedQ(nn.Module):
    """Q values by two hidden layers of rectified units."""

    def __init__(self, inputs: int, sizes: Sequence[int], actions: int) -> None:
        super().__init__()
        widths = [inputs, *sizes]
        layers: list[nn.Module] = []
        for into, out in zip(widths, sizes, strict=False):
            layers += [nn.Linear(into, out), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], actions))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return Q values (lanes, actions)."""
        values: Tensor = self.layers(inputs)
        return values


class _Spike(torch.autograd.Function):
    """A step function whose gradient is that of a fast sigmoid."""

    @staticmethod
    def forward(context: Any, above: Tensor, steepness: float) -> Tensor:  # type: ignore[override]
        """Return 1 where the membrane is above its threshold."""
        context.save_for_backward(above)
        context.steepness = steepness
        return (above > 0).to(above.dtype)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """Return the surrogate's gradient."""
        (above,) = context.saved_tensors
        return gradient / (1 + context.steepness * above.abs()) ** 2, None


class SpikingQ(nn.Module):
    """Q values by spiking neurons: the mean of what the readout heard over the ticks of an action."""

    def __init__(self, inputs: int, sizes: Sequence[int], actions: int, *, ticks: int, decay: float, steepness: float) -> None:
        super().__init__()
        widths = [inputs, *sizes, actions]
        self.linears = [nn.Linear(into, out) for into, out in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(self.linears)
        self.ticks, self.decay, self.steepness = ticks, decay, steepness
        self.held = False
        with torch.no_grad():
            for layer in self.linears[:-1]:
                layer.weight *= 2  # torch's small weights would leave most neurons silent

    def weights(self) -> list[Tensor]:
        """Return each layer's weights as the forward pass uses them."""
        return [held_to_8_bits(layer.weight) if self.held else layer.weight for layer in self.linears]

    def forward(self, inputs: Tensor) -> Tensor:
        """Return Q values (lanes, actions)."""
        *hidden, last = self.weights()
        current = nn.functional.linear(inputs, hidden[0], self.linears[0].bias)
        membranes = [torch.zeros(len(inputs), len(weight)) for weight in hidden]
        counts = torch.zeros(len(inputs), len(hidden[-1]))
        for _ in range(self.ticks):
            heard = current
            for number, weight in enumerate(hidden):
                if number:
                    heard = nn.functional.linear(heard, weight, self.linears[number].bias)
                membrane = self.decay * membranes[number] + heard
                heard = _Spike.apply(membrane - 1, self.steepness)  # type: ignore[no-untyped-call]
                membranes[number] = membrane - heard
            counts = counts + heard
        return nn.functional.linear(counts / self.ticks, last, self.linears[-1].bias)


def held_to_8_bits(weight: Tensor) -> Tensor:
    """Return weights rounded to whole numbers of 1/127 of the largest; the gradient is that of the weights."""
    scale = weight.detach().abs().max() / 127
    return weight + (torch.round(weight / scale) * scale - weight).detach()
