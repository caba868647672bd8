"""The weights of a layer of torch as a projection's: a convolution's kernel where that can be kept, else a matrix."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call

from models.convolution import Convolution
from models.network import Array, ModelError, SparseRows, Weights

Layer: TypeAlias = "nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d"
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LARGEST = 127  # of a weight of 8 bits
_MOST = 1 << 24  # elements of a matrix that is written out


def in_8_bits(weight: Tensor) -> tuple[Tensor, float]:
    """Return weights as whole numbers of at most 127, complex ones in both parts, and what one of them is worth."""
    parts = torch.view_as_real(weight) if weight.is_complex() else weight
    scale = (float(parts.abs().max()) or 1.0) / _LARGEST
    whole = torch.from_numpy(np.rint(parts.numpy() / scale))
    return torch.view_as_complex(whole) if weight.is_complex() else whole, scale


def weights_of(
    layer: Layer, weight: Tensor, shape: tuple[int, ...], *, dtype: npt.DTypeLike, parts: tuple[int, int], who: str
) -> Weights:
    """Return the weights of `dtype` between numbers of `shape` and what the layer makes of them, `weight` in its own's place.

    `parts` are the units of a number, of the layer and of its source: two are a real and an imaginary part. ModelError that
    begins with `who` for a matrix that is too large.
    """
    if isinstance(layer, nn.Conv2d) and parts == (1, 1) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        down, right = layer.padding
        return Convolution(
            weight.numpy().astype(dtype), (int(shape[0]), int(shape[1]), int(shape[2])), stride=(layer.stride[0], layer.stride[1]),
            padding=(down, right, down, right), dilation=(layer.dilation[0], layer.dilation[1]), groups=layer.groups,
        )  # fmt: skip
    real = _matrix(layer, weight.real, shape, who).astype(dtype)
    imaginary = _matrix(layer, weight.imag, shape, who).astype(dtype) if weight.is_complex() else np.zeros_like(real)
    rows, columns = real.shape
    matrix = np.zeros((rows, parts[0], columns, parts[1]), dtype)
    for out, into in np.ndindex(parts):
        matrix[:, out, :, into] = real if out == into else imaginary if out else -imaginary
    return SparseRows.from_dense(matrix.reshape(rows * parts[0], columns * parts[1]))


def _matrix(layer: Layer, weight: Tensor, shape: tuple[int, ...], who: str) -> Array:
    """Return the matrix (out, in) of a layer with such real weights, float64: what it makes of each unit vector."""
    units = math.prod(shape)
    own = {"weight": weight.double()} | ({} if layer.bias is None else {"bias": torch.zeros(len(layer.bias)).double()})

    def made_of(vectors: Tensor) -> Tensor:
        inputs = vectors if isinstance(layer, nn.Linear) else vectors.reshape(-1, *shape)
        made: Tensor = functional_call(layer, own, (inputs,)).reshape(len(vectors), -1)
        return made

    out = made_of(torch.zeros((1, units), dtype=torch.float64)).shape[1]
    if units * max(units, out) > _MOST:
        raise ModelError(f"{who}: a matrix of {out:,} x {units:,} is too large; a real Conv2d of zero padding is not written out")
    return np.asarray(made_of(torch.eye(units, dtype=torch.float64)).T.numpy())
