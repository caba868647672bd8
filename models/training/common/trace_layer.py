"""The low-pass trace of a layer's events, trace_t = d trace_{t-1} + (1 - d) y_t from zero, with its gradient by hand.

What the authors' gesture model hands on from layer to layer (egru.md section 4). Each product and the sum are rounded in
the working precision, as the emulator's receiving port does it.
"""

from typing import Any

import torch
from torch import Tensor


class _Trace(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ys: Tensor, decay: float) -> Tensor:
        ctx.decay = decay
        out = ys * _share(ys, decay)
        for t in range(1, len(ys)):
            out[t] += out[t - 1] * decay
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        d_ys = gradients[0].clone()  # what each trace is worth, then, times the share, each y
        for t in range(len(d_ys) - 2, -1, -1):
            d_ys[t] += d_ys[t + 1] * ctx.decay
        return d_ys.mul_(_share(d_ys, ctx.decay)), None


def _share(ys: Tensor, decay: float) -> Tensor:
    """1 - d in the working precision."""
    return 1 - torch.tensor(decay, dtype=ys.dtype, device=ys.device)


def trace_of(ys: Tensor, decay: float) -> Tensor:
    """Return the trace of y (steps, batch, units) at every step; y itself where `decay` is 0."""
    if not decay:
        return ys
    trace: Tensor = _Trace.apply(ys, decay)  # type: ignore[no-untyped-call]
    return trace
