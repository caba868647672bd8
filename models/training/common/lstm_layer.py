"""A plain LSTM layer with the backward pass written by hand, for the comparison with the EGRU at the same speed.

The equations are torch.nn.LSTM's, gates in its order i, f, g, o, one bias kept (torch's two only ever appear as a sum):

    c' = sigmoid(f) c + sigmoid(i) tanh(g)          h' = sigmoid(o) tanh(c')

torch's own layer does not take bfloat16 factors at a gain on CPUs (measured: 0.9 against 1.1 s for a layer of 1350 units,
where products alone are three times faster). tests/training/test_training.py holds it against torch.nn.LSTM in float64.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.common.egru_layer import LayerState
from models.training.common.products import linear, product

GATES = 4


class _Steps(torch.autograd.Function):
    """All steps of a layer behind its input product."""

    @staticmethod
    def forward(ctx: Any, wx: Tensor, recurrent: Tensor, h0: Tensor, c0: Tensor, low: bool) -> tuple[Tensor, Tensor]:
        """Return h (steps, batch, units) and the last c (batch, units)."""
        steps, batch, units = wx.shape[0], wx.shape[1], recurrent.shape[1]
        wide = recurrent.t().bfloat16() if low else recurrent.t()
        gates = wx.new_empty(steps, batch, GATES * units)
        hs, cs = wx.new_empty(steps + 1, batch, units), wx.new_empty(steps + 1, batch, units)
        hs[0], cs[0] = h0, c0
        for t in range(steps):
            rh = ((hs[t].bfloat16() if low else hs[t]) @ wide).to(wx.dtype)
            torch.sigmoid(rh + wx[t], out=gates[t])
            i, f, g, o = gates[t].chunk(GATES, 1)
            torch.tanh(rh[:, 2 * units : 3 * units] + wx[t, :, 2 * units : 3 * units], out=g)
            torch.addcmul(i * g, f, cs[t], out=cs[t + 1])
            torch.mul(o, torch.tanh(cs[t + 1]), out=hs[t + 1])
        ctx.save_for_backward(recurrent, gates, hs, cs)
        ctx.low = low
        return hs[1:].clone(), cs[-1].clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of wx, recurrent, h0 and c0."""
        d_hs, d_c = gradients
        recurrent, gates, hs, cs = ctx.saved_tensors
        steps, batch, units = d_hs.shape
        i, f, g, o = gates.chunk(GATES, 2)
        squashed = torch.tanh(cs[1:])
        to_o, to_c = squashed * o * (1 - o), o * (1 - squashed * squashed)
        to_i, to_f, to_g = g * i * (1 - i), cs[:-1] * f * (1 - f), i * (1 - g * g)
        d_gates = torch.empty_like(gates)
        low = recurrent.bfloat16() if ctx.low else recurrent
        d_h = torch.zeros_like(d_c)
        for t in range(steps - 1, -1, -1):
            d_h = d_h + d_hs[t]
            d_c = torch.addcmul(d_c, d_h, to_c[t])
            d_i, d_f, d_g, d_o = d_gates[t].chunk(GATES, 1)
            torch.mul(d_c, to_i[t], out=d_i)
            torch.mul(d_c, to_f[t], out=d_f)
            torch.mul(d_c, to_g[t], out=d_g)
            torch.mul(d_h, to_o[t], out=d_o)
            d_c = d_c * f[t]
            d_h = ((d_gates[t].bfloat16() if ctx.low else d_gates[t]) @ low).to(d_c.dtype)
        flat = d_gates.view(steps * batch, -1)
        d_recurrent = product(flat.t(), hs[:-1].reshape(steps * batch, units), ctx.low)
        return d_gates, d_recurrent, d_h, d_c, None


class Lstm(nn.Module):
    """One LSTM layer: `kernel` (4 units, inputs), `recurrent` (4 units, units), `bias` (4 units)."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.inputs, self.units = inputs, units
        self.kernel = nn.Parameter(torch.empty(GATES * units, inputs))
        self.recurrent = nn.Parameter(torch.empty(GATES * units, units))
        self.bias = nn.Parameter(torch.zeros(GATES * units))

    def forward(self, x: Tensor, state: LayerState, dropconnect: float = 0.0, low: bool = False) -> tuple[Tensor, LayerState]:
        """Step over x (steps, batch, inputs); return h (steps, batch, units) and the state after the last step.

        `dropconnect` drops that share of the recurrent weights for the whole call (training only).
        """
        recurrent = functional.dropout(self.recurrent, dropconnect, self.training) if dropconnect else self.recurrent
        hs, c = _Steps.apply(linear(x, self.kernel, low) + self.bias, recurrent, state.y, state.c, low)  # type: ignore[no-untyped-call]
        return hs, LayerState(hs[-1], c)
