"""The EGRU layer in torch, with the backward pass written by hand.

The equations are those of `models/kernels/egru.py` (the authors' code); gates in the order z, r, g, weights by rows of
output, so that a trained matrix goes into a checkpoint as it stands. The step function o = H(p - thr) has the surrogate
derivative lambda * max(0, 1 - k |p - thr|) (the paper's section II-B; egru.md section 5 for lambda, k and what is
differentiated: y = o p and c = p - o thr, both paths through o, the reset not detached).

The backward pass computes every pointwise factor for all steps at once; a step is then one product with the recurrent
weights, and a weight gradient one product after the loop. tests/training/test_training.py holds it against autograd in float64.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.common.coarse_numbers import EventGrid, rounded_rows
from models.training.common.products import linear, step_product
from models.training.common.vector_layout import VectorLayout

GATES = 3


def fired_gradient(
    d_y: Tensor, d_c: Tensor, d_fired: Tensor, p: Tensor, fired: Tensor, surrogate: Tensor, threshold: Tensor
) -> Tensor:
    """Return what a step adds to the gradient of the thresholds (units,); the others are (batch, units)."""
    d_o = d_y * p - d_c * threshold + d_fired
    return -(d_o * surrogate + fired * d_c).sum(0)


class _Steps(torch.autograd.Function):
    """All steps of a layer behind its input product."""

    @staticmethod
    def forward(
        ctx: Any, wx: Tensor, recurrent: Tensor, bias: Tensor, threshold: Tensor, y0: Tensor, c0: Tensor, keep: Tensor | None,
        dampening: float, support: float, low: bool, layout: VectorLayout | None = None, grid: EventGrid | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return y and o (steps, batch, units), o being 1 where a unit fired, and the last c (batch, units)."""
        steps, batch, units = wx.shape[0], wx.shape[1], recurrent.shape[1]
        rows = step_product(recurrent, low, layout)
        gates = wx.new_empty(steps, batch, GATES * units)  # z, r, g
        heard, before, p, fired = (wx.new_empty(steps, batch, units) for _ in range(4))  # heard: Rh_g + br_g
        ys = wx.new_empty(steps + 1, batch, units)
        ys[0] = y0
        c = c0
        for t in range(steps):
            rh = rows.times(ys[t]) + bias
            torch.sigmoid(wx[t, :, : 2 * units] + rh[:, : 2 * units], out=gates[t, :, : 2 * units])
            heard[t] = rh[:, 2 * units :]
            z, r, g = gates[t].chunk(GATES, 1)
            torch.tanh(torch.addcmul(wx[t, :, 2 * units :], r, heard[t]), out=g)
            before[t] = c
            p[t] = torch.lerp(g, c, z)  # z c + (1 - z) g
            if keep is not None:
                p[t] = torch.lerp(c, p[t], keep[t])
            torch.gt(p[t], threshold, out=fired[t])
            value = p[t]
            if grid is not None:  # an event whose number would be zero is none
                value = grid.numbers(p[t])
                fired[t] *= value != 0
            torch.mul(fired[t], value, out=ys[t + 1])
            c = torch.addcmul(p[t], fired[t], threshold, value=-1)
        if recurrent.layout != torch.sparse_csr:  # a sparse matrix is for inference
            ctx.save_for_backward(recurrent, threshold, gates, heard, before, p, fired, ys)
        ctx.keep, ctx.dampening, ctx.support, ctx.low, ctx.layout = keep, dampening, support, low, layout
        return ys[1:].clone(), fired.clone(), c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of wx, recurrent, bias, threshold, y0 and c0."""
        d_ys, d_fired, d_c = gradients
        recurrent, threshold, gates, heard, before, p, fired, ys = ctx.saved_tensors
        steps, batch, units = p.shape
        z, r, g = gates.chunk(GATES, 2)
        surrogate = ctx.dampening * torch.clamp(1 - ctx.support * (p - threshold).abs(), min=0)
        from_y = torch.addcmul(fired, p, surrogate)
        from_c = 1 - threshold * surrogate
        to_z = (before - g) * z * (1 - z)
        to_g = (1 - z) * (1 - g * g)
        to_r = heard * r * (1 - r)
        d_wx, d_rh = torch.empty_like(gates), torch.empty_like(gates)
        d_threshold = torch.zeros_like(threshold) if ctx.needs_input_grad[3] else None
        rows = step_product(recurrent, ctx.low, ctx.layout)
        d_y = torch.zeros_like(d_c)
        for t in range(steps - 1, -1, -1):
            d_y = d_y + d_ys[t]
            d_p = torch.addcmul(from_c[t] * d_c, from_y[t], d_y)
            d_p.addcmul_(d_fired[t], surrogate[t])
            if d_threshold is not None:
                d_threshold += fired_gradient(d_y, d_c, d_fired[t], p[t], fired[t], surrogate[t], threshold)
            d_q = d_p if ctx.keep is None else d_p * ctx.keep[t]
            d_g = d_q * to_g[t]
            torch.mul(d_q, to_z[t], out=d_wx[t, :, :units])
            torch.mul(d_g, to_r[t], out=d_wx[t, :, units : 2 * units])
            d_wx[t, :, 2 * units :] = d_g
            d_rh[t, :, : 2 * units] = d_wx[t, :, : 2 * units]
            torch.mul(d_g, r[t], out=d_rh[t, :, 2 * units :])
            d_c = d_q * z[t]
            if ctx.keep is not None:
                d_c += d_p * (1 - ctx.keep[t])
            d_y = rows.back(d_rh[t])
        flat = d_rh.view(steps * batch, -1)
        d_recurrent = rows.outer(flat, ys[:-1].reshape(steps * batch, units))
        return d_wx, d_recurrent, flat.sum(0), d_threshold, d_y, d_c, None, None, None, None, None, None


class LayerState(NamedTuple):
    """What a layer carries between segments: output y and cell state c, (batch, units)."""

    y: Tensor
    c: Tensor


class Egru(nn.Module):
    """One EGRU layer of `units` units over `inputs` inputs.

    Weights are `kernel` (3 units, inputs) and `recurrent` (3 units, units); `bias` and `recurrent_bias` (3 units);
    `threshold` (units), which is clamped to [0, 1] at every forward pass, as the authors do. With `bits` (0: none) weights and
    events are those of the quantised layer. `vectors` has the layouts of matrices that are pruned so far that products over their
    vectors are the faster ones, by name; whoever prunes keeps it up.
    """

    def __init__(self, inputs: int, units: int, dampening: float = 3.6, support: float = 3.6, zoneout: float = 0.0) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.dampening, self.support, self.zoneout = dampening, support, zoneout
        self.kernel = nn.Parameter(torch.empty(GATES * units, inputs))
        self.recurrent = nn.Parameter(torch.empty(GATES * units, units))
        self.bias = nn.Parameter(torch.zeros(GATES * units))
        self.recurrent_bias: nn.Parameter | None = nn.Parameter(torch.zeros(GATES * units))
        self.threshold = nn.Parameter(torch.zeros(units))
        self.bits = 0
        self.vectors: dict[str, VectorLayout] = {}
        self._rows: tuple[Tensor, tuple[Tensor, ...]] | None = None

    @contextmanager
    def pruned_rows(self) -> Iterator[None]:
        """Hold both matrices as CSR, for inference several times as fast, with sums in another order; weights must not change."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
            rows = self.rows_of(rounded_rows(self.recurrent.detach(), self.bits))
            kernel = rounded_rows(self.kernel.detach(), self.bits).to_sparse_csr()
            self._rows = kernel, tuple(part.to_sparse_csr() for part in rows)
        try:
            yield
        finally:
            self._rows = None

    def begin(self, batch: int) -> LayerState:
        """Return the state at the beginning of a sequence."""
        return LayerState(self.bias.new_zeros(batch, self.units), self.bias.new_zeros(batch, self.units))

    def forward(
        self, x: Tensor, state: LayerState, dropconnect: float = 0.0, low: bool = False
    ) -> tuple[Tensor, Tensor, LayerState]:
        """Step over x (steps, batch, inputs).

        Returns y and o (steps, batch, units), o being 1 where a unit fired, and the state after the last step, which
        belongs to the graph. `dropconnect` drops that share of the recurrent weights for the whole call (training
        only); `low` computes products from bfloat16 factors.
        """
        with torch.no_grad():
            self.threshold.clamp_(0, 1)
        kernel, recurrent = self._rows or self._whole(dropconnect if self.training else 0.0)
        wx = linear(x, kernel, low, self.vectors.get("kernel")) + self.bias
        keep = None
        if self.zoneout and self.training:
            keep = (torch.rand_like(wx[..., : self.units]) >= self.zoneout).to(wx.dtype)
        elif self.zoneout:
            keep = torch.full_like(wx[..., : self.units], 1 - self.zoneout)
        ys, fired, c = self.steps(wx, recurrent, state, keep, low)
        return ys, fired, LayerState(ys[-1], c)

    def _whole(self, dropconnect: float) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Return both matrices as they are multiplied with, the recurrent one in parts."""
        kernel, recurrent = rounded_rows(self.kernel, self.bits), rounded_rows(self.recurrent, self.bits)
        return kernel, self.rows_of(functional.dropout(recurrent, dropconnect) if dropconnect else recurrent)

    def rows_of(self, recurrent: Tensor) -> tuple[Tensor, ...]:
        """Return the recurrent rows in the parts that a step multiplies with: all at once."""
        return (recurrent,)

    def steps(
        self, wx: Tensor, recurrent: tuple[Tensor, ...], state: LayerState, keep: Tensor | None, low: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step over wx (steps, batch, 3 units), which has the bias; return y, o and the last c."""
        of_layer = self.recurrent_bias, self.threshold, state.y, state.c, keep, self.dampening, self.support, low
        layout, grid = self.vectors.get("recurrent"), EventGrid.of(self.bits)
        return _Steps.apply(wx, *recurrent, *of_layer, layout, grid)  # type: ignore[no-untyped-call,no-any-return]
