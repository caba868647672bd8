"""Training on the numbers of a quantised network: weights and events as `launch.py quantise` will round them, in float32.

The rule of scales is that of `models/quantise/egru.py` with powers of two: of a row's weights the smallest that clips nothing, of
a layer's events 2^-7 in 8 bits. Rounding has the gradient of the identity, so weights that are too small to show still learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.quantise.egru import largest_number, layer_scale


def row_scales(weight: Tensor, most: int) -> Tensor:
    """Return the smallest power of two a row, (..., 1), with which no weight is beyond `most`; 1 for a row without weights."""
    largest = weight.abs().amax(-1, keepdim=True)
    fraction, exponent = torch.frexp(largest / most)
    scales = torch.ldexp(torch.ones_like(largest), exponent - (fraction == 0.5).to(exponent.dtype))
    return torch.where(largest > 0, scales, torch.ones_like(largest))


class _Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, scales: Tensor, most: int) -> Tensor:  # noqa: ARG004 - torch's signature
        return (values / scales).round_().clamp_(-most, most).mul_(scales)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ARG004 - torch's signature
        return gradients[0], None, None


def rounded(values: Tensor, scales: Tensor, most: int) -> Tensor:
    """Return the values on the grid of their scales, to the nearest, ties to even, with the gradient of the identity."""
    out: Tensor = _Rounded.apply(values, scales, most)  # type: ignore[no-untyped-call]
    return out


def rounded_rows(weight: Tensor, bits: int) -> Tensor:
    """Return a matrix with a grid a row; the matrix itself for 0 bits."""
    if not bits:
        return weight
    most = largest_number(bits)
    return rounded(weight, row_scales(weight.detach(), most), most)


@dataclass(frozen=True)
class EventGrid:
    """What a layer's events may be: whole multiples of `scale`, at most `most` either side."""

    scale: float
    most: int

    @classmethod
    def of(cls, bits: int) -> EventGrid | None:
        """Return the grid that `launch.py quantise` gives a layer; None for 0 bits."""
        return cls(scale=layer_scale(bits, powers_of_two=True), most=largest_number(bits)) if bits else None

    def numbers(self, p: Tensor) -> Tensor:
        """Return the values that p becomes; zero where its number is."""
        return torch.round(p / self.scale).clamp_(-self.most, self.most).mul_(self.scale)
