"""The EGRU layer with the reset gate inside the recurrent product, as the paper's equation 4 prints it, in torch.

The equations are those of `models/kernels/egru_cell.py` and its gate; gates in the order z, r, g:

    z = sigmoid(W_z x + R_z y + b_z)        r = sigmoid(W_r x + R_r y + b_r)        g = tanh(W_g x + R_g (r y) + b_g)

and from there on as `egru_layer.py`. There is one bias: one inside the product of R_g would be another equation. A step is two
products, forwards and backwards, because r must be known before R_g. tests/training/test_training_inside.py holds the gradient
against autograd in float64.
"""

from typing import Any

import torch
from torch import Tensor

from models.training.common.egru_layer import GATES, Egru, LayerState, fired_gradient
from models.training.common.products import product


class _Steps(torch.autograd.Function):
    """All steps of a layer behind its input product."""

    @staticmethod
    def forward(
        ctx: Any, wx: Tensor, early: Tensor, late: Tensor, threshold: Tensor, y0: Tensor, c0: Tensor, keep: Tensor | None,
        dampening: float, support: float, low: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Return y and o (steps, batch, units), o being 1 where a unit fired, and the last c (batch, units).

        `early` (2 units, units) are the recurrent rows of z and r, `late` (units, units) those of g.
        """
        steps, batch, units = wx.shape[0], wx.shape[1], late.shape[1]
        sparse = late.layout == torch.sparse_csr
        gates = wx.new_empty(steps, batch, GATES * units)  # z, r, g
        before, p, fired = (wx.new_empty(steps, batch, units) for _ in range(3))
        ys = wx.new_empty(steps + 1, batch, units)
        ys[0] = y0
        factors = (early, late) if sparse else tuple((m.bfloat16() if low else m).t() for m in (early, late))

        def times(y: Tensor, matrix: Tensor) -> Tensor:
            return (matrix @ y.t()).t() if sparse else ((y.bfloat16() if low else y) @ matrix).to(wx.dtype)

        c = c0
        for t in range(steps):
            torch.sigmoid(wx[t, :, : 2 * units] + times(ys[t], factors[0]), out=gates[t, :, : 2 * units])
            z, r, g = gates[t].chunk(GATES, 1)
            torch.tanh(wx[t, :, 2 * units :] + times(r * ys[t], factors[1]), out=g)
            before[t] = c
            p[t] = torch.lerp(g, c, z)  # z c + (1 - z) g
            if keep is not None:
                p[t] = torch.lerp(c, p[t], keep[t])
            torch.gt(p[t], threshold, out=fired[t])
            torch.mul(fired[t], p[t], out=ys[t + 1])
            c = torch.addcmul(p[t], fired[t], threshold, value=-1)
        if not sparse:  # a sparse matrix is for inference
            ctx.save_for_backward(early, late, threshold, gates, before, p, fired, ys)
        ctx.keep, ctx.dampening, ctx.support, ctx.low = keep, dampening, support, low
        return ys[1:].clone(), fired.clone(), c

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of wx, early, late, threshold, y0 and c0."""
        d_ys, d_fired, d_c = gradients
        early, late, threshold, gates, before, p, fired, ys = ctx.saved_tensors
        steps, batch, units = p.shape
        z, r, g = gates.chunk(GATES, 2)
        surrogate = ctx.dampening * torch.clamp(1 - ctx.support * (p - threshold).abs(), min=0)
        from_y, from_c = torch.addcmul(fired, p, surrogate), 1 - threshold * surrogate
        to_z, to_g = (before - g) * z * (1 - z), (1 - z) * (1 - g * g)
        to_r = ys[:-1] * r * (1 - r)
        d_wx = torch.empty_like(gates)
        d_threshold = torch.zeros_like(threshold) if ctx.needs_input_grad[3] else None
        early_rows, late_rows = (m.bfloat16() if ctx.low else m for m in (early, late))
        d_y = torch.zeros_like(d_c)
        for t in range(steps - 1, -1, -1):
            d_y = d_y + d_ys[t]
            d_p = torch.addcmul(from_c[t] * d_c, from_y[t], d_y)
            d_p.addcmul_(d_fired[t], surrogate[t])
            if d_threshold is not None:
                d_threshold += fired_gradient(d_y, d_c, d_fired[t], p[t], fired[t], surrogate[t], threshold)
            d_q = d_p if ctx.keep is None else d_p * ctx.keep[t]
            d_z, d_r, d_g = d_wx[t].chunk(GATES, 1)
            torch.mul(d_q, to_z[t], out=d_z)
            torch.mul(d_q, to_g[t], out=d_g)
            d_gated = ((d_g.bfloat16() if ctx.low else d_g) @ late_rows).to(d_c.dtype)  # of r y
            torch.mul(d_gated, to_r[t], out=d_r)
            d_early = d_wx[t, :, : 2 * units]
            d_c = d_q * z[t]
            if ctx.keep is not None:
                d_c += d_p * (1 - ctx.keep[t])
            d_y = ((d_early.bfloat16() if ctx.low else d_early) @ early_rows).to(d_c.dtype).addcmul_(d_gated, r[t])
        flat = d_wx.view(steps * batch, -1)
        heard = ys[:-1].reshape(steps * batch, units)
        gated = (r * ys[:-1]).reshape(steps * batch, units)
        d_early = product(flat[:, : 2 * units].t(), heard, ctx.low)
        d_late = product(flat[:, 2 * units :].t(), gated, ctx.low)
        return d_wx, d_early, d_late, d_threshold, d_y, d_c, None, None, None, None


class EgruInside(Egru):
    """One EGRU layer whose reset gate is inside the recurrent product; there is no `recurrent_bias`."""

    def __init__(self, inputs: int, units: int, dampening: float = 3.6, support: float = 3.6, zoneout: float = 0.0) -> None:
        super().__init__(inputs, units, dampening, support, zoneout)
        self.register_parameter("recurrent_bias", None)

    def rows_of(self, recurrent: Tensor) -> tuple[Tensor, ...]:
        """Return the recurrent rows in the parts that a step multiplies with: those of z and r, and those of g."""
        return recurrent[: 2 * self.units], recurrent[2 * self.units :]

    def steps(
        self, wx: Tensor, recurrent: tuple[Tensor, ...], state: LayerState, keep: Tensor | None, low: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Step over wx (steps, batch, 3 units), which has the bias; return y, o and the last c."""
        of_layer = self.threshold, state.y, state.c, keep, self.dampening, self.support, low
        return _Steps.apply(wx, *recurrent, *of_layer)  # type: ignore[no-untyped-call,no-any-return]
