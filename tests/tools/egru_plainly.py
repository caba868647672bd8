"""The EGRU layer in torch, written out step by step, for autograd to differentiate."""

from __future__ import annotations

import torch


class Heaviside(torch.autograd.Function):
    """1 where v > 0; derivative lambda * max(0, 1 - k |v|)."""

    @staticmethod
    def forward(ctx, v, dampening, support):
        ctx.save_for_backward(v)
        ctx.constants = dampening, support
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (v,) = ctx.saved_tensors
        dampening, support = ctx.constants
        return gradient * dampening * torch.clamp(1 - support * v.abs(), min=0), None, None


def plainly(x, kernel, recurrent_kernel, bias, recurrent_bias, thr, y, c, keep=None, constants=(3.6, 3.6)):
    """The authors' statement, row vectors: kernel (inputs, 3 units), gates z r g; returns all y, all o and the last c."""
    units = thr.shape[0]
    ys, fired = [], []
    for t in range(len(x)):
        wx, rh = x[t] @ kernel, y @ recurrent_kernel
        (wx_z, wx_r, wx_g), (rh_z, rh_r, rh_g) = wx.split(units, 1), rh.split(units, 1)
        (bx_z, bx_r, bx_g), (br_z, br_r, br_g) = bias.split(units), recurrent_bias.split(units)
        z = torch.sigmoid(wx_z + rh_z + bx_z + br_z)
        r = torch.sigmoid(wx_r + rh_r + bx_r + br_r)
        g = torch.tanh(wx_g + bx_g + r * (rh_g + br_g))
        y, c, o = _fire(z * c + (1 - z) * g, c, thr, keep[t] if keep is not None else None, constants)
        ys.append(y)
        fired.append(o)
    return torch.stack(ys), torch.stack(fired), c


def inside_plainly(x, kernel, recurrent_kernel, bias, thr, y, c, keep=None, constants=(3.6, 3.6)):
    """The paper's equation 4, row vectors: the candidate hears r * y, and each gate has one bias; otherwise as `plainly`."""
    units = thr.shape[0]
    (w_z, w_r, w_g), (r_z, r_r, r_g) = kernel.split(units, 1), recurrent_kernel.split(units, 1)
    b_z, b_r, b_g = bias.split(units)
    ys, fired = [], []
    for t in range(len(x)):
        z = torch.sigmoid(x[t] @ w_z + y @ r_z + b_z)
        r = torch.sigmoid(x[t] @ w_r + y @ r_r + b_r)
        g = torch.tanh(x[t] @ w_g + (r * y) @ r_g + b_g)
        y, c, o = _fire(z * c + (1 - z) * g, c, thr, keep[t] if keep is not None else None, constants)
        ys.append(y)
        fired.append(o)
    return torch.stack(ys), torch.stack(fired), c


def _fire(p, c, thr, keep, constants):
    """Return y, c and o of a state p; where `keep` is 0 the unit keeps its c."""
    if keep is not None:
        p = keep * p + (1 - keep) * c
    o = Heaviside.apply(p - thr, *constants)
    return o * p, p - o * thr, o
