"""Leaky integrate-and-fire neurons over all steps at once, with a surrogate derivative, as the emulator's `lif` steps them.

v(t) = beta v(t - 1) + x(t) - theta s(t - 1); s(t) = 1 where v(t) > theta: reset by subtraction, one step late, as snnTorch's
Leaky has it by default. Backwards, H'(v - theta) is taken for 1 / (1 + k |v - theta|)**2, and the reset for a constant.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Spikes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: Tensor, threshold: Tensor, slope: float) -> Tensor:
        v, membranes, spikes = torch.zeros_like(x[0]), torch.empty_like(x), torch.empty_like(x)
        off = torch.zeros_like(v)
        for t in range(len(x)):
            torch.mul(v, beta, out=membranes[t])
            v = membranes[t].add_(x[t]).sub_(off)
            torch.gt(v, threshold, out=spikes[t])
            torch.mul(spikes[t], threshold, out=off)
        ctx.save_for_backward(membranes, beta, threshold)
        ctx.slope = slope
        return spikes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        membranes, beta, threshold = ctx.saved_tensors
        of_x = (membranes - threshold).abs_().mul_(ctx.slope).add_(1).square_().reciprocal_().mul_(gradients[0])
        for t in range(len(of_x) - 2, -1, -1):
            of_x[t].addcmul_(of_x[t + 1], beta)
        of_beta = (of_x[1:] * membranes[:-1]).flatten(0, 1)
        kept = [at for at in range(of_beta.dim()) if at and beta.dim() and beta.shape[at - 1] > 1]
        summed = of_beta.sum([at for at in range(of_beta.dim()) if at not in kept])
        return of_x, summed.reshape(beta.shape), None, None


def lif(x: Tensor, beta: Tensor, threshold: Tensor, slope: float) -> Tensor:
    """Return the spikes (steps, samples, ...) of neurons that hear x, as 0 and 1 in float32.

    `beta` and `threshold` broadcast over x[0, 0], one value a channel or unit: (channels, 1, 1) or (units,).
    """
    spikes: Tensor = _Spikes.apply(x, beta, threshold, slope)  # type: ignore[no-untyped-call]
    return spikes
