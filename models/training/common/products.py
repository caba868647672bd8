"""Products with a layer's weights, forwards and backwards: whole matrices, CSR ones for inference, and vectors of a pruned one."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

from models.training.common.vector_layout import VectorLayout


def product(left: Tensor, right: Tensor, low: bool) -> Tensor:
    """Return the matrix product; with `low` the factors are rounded to bfloat16, and the sum is float32 inside."""
    if low:
        return (left.bfloat16() @ right.bfloat16()).to(left.dtype)
    return left @ right


class _Linear(torch.autograd.Function):
    """x @ weight.T with bfloat16 factors, forwards and backwards (autocast does not reach a custom function)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """Multiply (n, in) with (out, in)."""
        low_x, low_weight = x.bfloat16(), weight.bfloat16()
        ctx.save_for_backward(low_x, low_weight)
        return (low_x @ low_weight.t()).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of x and weight."""
        x, weight = ctx.saved_tensors
        gradient = gradients[0].bfloat16()
        return (gradient @ weight).to(gradients[0].dtype), (gradient.t() @ x).to(gradients[0].dtype)


class _VectorLinear(torch.autograd.Function):
    """x @ weight.T over the vectors that a pruned weight keeps; only they have a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, layout: VectorLayout) -> Tensor:
        """Multiply (n, in) with (out, in)."""
        values, turned = layout.values(weight), x.t().contiguous()
        ctx.save_for_backward(values, turned)
        ctx.layout = layout
        return layout.times(values, turned).t().contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        """Return the gradients of x and weight."""
        values, turned = ctx.saved_tensors
        gradient = gradients[0].t().contiguous()
        d_x = ctx.layout.back(values, gradient).t() if ctx.needs_input_grad[0] else None
        return d_x, ctx.layout.spread(ctx.layout.outer(gradient, turned)), None


def linear(x: Tensor, weight: Tensor, low: bool, layout: VectorLayout | None = None) -> Tensor:
    """Return x (..., in) times weight (out, in) transposed, in bfloat16 where `low`; a CSR weight is for inference.

    With a `layout` of the weight's vectors the product is over those, in the working precision.
    """
    flat = x.reshape(-1, x.shape[-1])
    if weight.layout == torch.sparse_csr:
        return (weight @ flat.t()).t().reshape(*x.shape[:-1], weight.shape[0])
    if layout is not None:
        out: Tensor = _VectorLinear.apply(flat, weight, layout)  # type: ignore[no-untyped-call]
    else:
        out = _Linear.apply(flat, weight) if low else flat @ weight.t()  # type: ignore[no-untyped-call]
    return out.view(*x.shape[:-1], weight.shape[0])


class StepProduct(Protocol):
    """A matrix (rows, units) that each step multiplies with."""

    def times(self, y: Tensor) -> Tensor:
        """Return y (batch, units) @ matrix.T."""
        ...

    def back(self, gradient: Tensor) -> Tensor:
        """Return gradient (batch, rows) @ matrix."""
        ...

    def outer(self, gradient: Tensor, y: Tensor) -> Tensor:
        """Return the matrix's gradient, (n, rows) transposed @ (n, units)."""
        ...


class WholeMatrix:
    """A step's product with all of a matrix, from bfloat16 factors where `low`."""

    def __init__(self, matrix: Tensor, low: bool) -> None:
        self._matrix, self._low = matrix.bfloat16() if low else matrix, low

    def times(self, y: Tensor) -> Tensor:
        """Return y (batch, units) @ matrix.T."""
        return (self._factor(y) @ self._matrix.t()).to(y.dtype)

    def back(self, gradient: Tensor) -> Tensor:
        """Return gradient (batch, rows) @ matrix."""
        return (self._factor(gradient) @ self._matrix).to(gradient.dtype)

    def outer(self, gradient: Tensor, y: Tensor) -> Tensor:
        """Return the matrix's gradient."""
        return product(gradient.t(), y, self._low)

    def _factor(self, tensor: Tensor) -> Tensor:
        return tensor.bfloat16() if self._low else tensor


class PackedRows:
    """A step's product with a CSR matrix, for inference."""

    def __init__(self, matrix: Tensor) -> None:
        self._matrix = matrix

    def times(self, y: Tensor) -> Tensor:
        """Return y (batch, units) @ matrix.T."""
        return (self._matrix @ y.t()).t()

    def back(self, gradient: Tensor) -> Tensor:  # noqa: ARG002 - as the others
        """Raise TypeError."""
        raise TypeError("a CSR matrix is for inference")

    def outer(self, gradient: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 - as the others
        """Raise TypeError."""
        raise TypeError("a CSR matrix is for inference")


class KeptVectors:
    """A step's product with the vectors that a pruned matrix keeps."""

    def __init__(self, matrix: Tensor, layout: VectorLayout) -> None:
        self._values, self._layout = layout.values(matrix), layout

    def times(self, y: Tensor) -> Tensor:
        """Return y (batch, units) @ matrix.T."""
        return self._layout.times(self._values, y.t()).t()

    def back(self, gradient: Tensor) -> Tensor:
        """Return gradient (batch, rows) @ matrix."""
        return self._layout.back(self._values, gradient.t()).t()

    def outer(self, gradient: Tensor, y: Tensor) -> Tensor:
        """Return the matrix's gradient."""
        return self._layout.spread(self._layout.outer(gradient.t(), y.t()))


def step_product(matrix: Tensor, low: bool, layout: VectorLayout | None = None) -> StepProduct:
    """Return what steps multiply with: a CSR matrix's rows, the vectors of a `layout`, or the whole matrix."""
    if matrix.layout == torch.sparse_csr:
        return PackedRows(matrix)
    return WholeMatrix(matrix, low) if layout is None else KeptVectors(matrix, layout)
