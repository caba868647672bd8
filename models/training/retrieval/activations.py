"""The complex soft threshold as a module of torch, which has none: a CNN with it is one that `convert-fs` takes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_LEAST = 1e-20  # of a size that something is divided by


class Shrink(torch.autograd.Function):
    """z max(0, 1 - theta / |z|) for one theta, with its derivative in closed form: half the time of torch's own."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor) -> Tensor:
        """Return the shrunk numbers."""
        size = z.abs().clamp_min(_LEAST)
        factor = torch.relu(1 - theta / size)
        ctx.save_for_backward(z, size, factor, theta)
        return z * factor

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss's derivative by z, as torch has it of complex numbers, and by theta."""
        (gradient,) = gradients
        z, size, factor, theta = ctx.saved_tensors
        along = (z.real * gradient.real + z.imag * gradient.imag) / size * (factor > 0)
        by_theta = -along.sum_to_size(theta.shape)
        return factor * gradient + z * (theta * along / size.square()), by_theta


class ComplexSoftThreshold(torch.nn.Module):
    """Sizes shrink by `theta`, phases stay: z max(0, 1 - theta / |z|).

    `theta` is learned; one number, or a tensor that broadcasts against a sample: (channels, 1, 1) behind a convolution. Its
    absolute value is taken.
    """

    def __init__(self, theta: float | Tensor) -> None:
        super().__init__()
        self.theta = torch.nn.Parameter(torch.as_tensor(theta, dtype=torch.float32).clone())

    def forward(self, z: Tensor) -> Tensor:
        """Return the shrunk numbers."""
        shrunk: Tensor = Shrink.apply(z, self.theta.abs())  # type: ignore[no-untyped-call]
        return shrunk
