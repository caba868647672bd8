"""Converts a CNN of torch to Few-Spikes neurons: linear layers and convolutions, real or complex, each with an activation behind
it, and a last one without.

| behind a layer | becomes |
|---|---|
| `ReLU` | `fs` |
| `Softshrink` | `fs_complex`, whose second parts stay silent |
| `ComplexSoftThreshold` (`models.training.retrieval.activations`) | `fs_complex` |
| nothing, the last | `li`, which forgets at every position: its numbers as they are |

Complex numbers are pairs of units, real and imaginary part. Inputs are float32, and so are the first layer's weights; all others
are int8 with a scale a layer, or float32. Alphas come from calibration: the least power of two that all values of a layer are
below.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from models.few_spikes import MOST_BITS
from models.graph_check import check_network
from models.kernels import fs, fs_complex, li
from models.network import F32, Array, ModelError, Network, Population, Projection
from models.spiking import vectors_of
from models.training.retrieval.activations import ComplexSoftThreshold
from models.training.retrieval.layer_weights import LAYERS, Layer, in_8_bits, weights_of

Activation: TypeAlias = "nn.ReLU | nn.Softshrink | ComplexSoftThreshold | None"

_ACTIVATIONS = (nn.ReLU, nn.Softshrink, ComplexSoftThreshold)
_PASSED = (nn.Flatten, nn.Identity, nn.Dropout)
_NEEDS = "needs Linear, Conv1d, Conv2d or Conv3d, each with ReLU, Softshrink or ComplexSoftThreshold behind it, the last without"
_LEAST = 2.0**-20  # that values are taken for


@dataclass(frozen=True)
class _Values:
    """What calibration has behind a layer: `x` (samples, *shape), in so many parts a number, said in steps of so much."""

    x: Tensor
    parts: int
    step: float = 1.0


def to_few_spikes(module: nn.Sequential, samples: Array, bits: int, *, rounds: bool = True, int8: bool = True) -> Network:
    """Return the network of a module whose inputs are like `samples` (many, *shape), float32 or complex64.

    ModelError, one line that names the layer, for a layer of another kind, and for samples that it does not take.
    """
    if not 1 <= bits <= MOST_BITS:
        raise ModelError(f"--k {bits}: needs a whole number from 1 to {MOST_BITS}")
    if not isinstance(module, nn.Sequential) or not any(isinstance(layer, LAYERS) for layer in module):
        raise ModelError("convert-fs: needs a torch.nn.Sequential with a Linear or Conv layer")
    x = torch.from_numpy(np.asarray(samples, np.complex64 if samples.dtype.kind == "c" else np.float32))
    values = _Values(x, 2 if x.is_complex() else 1)
    populations = [Population("in", values.parts * x[0].numel())]
    params = {"bits": float(bits), "rounds": float(rounds)}
    with torch.no_grad():
        for place, layer, activation in _pairs(module):
            population, values = _population(place, layer, activation, values, len(populations), params, int8=int8)
            populations.append(population)
    network = Network(tuple(populations))
    check_network(network)
    return network


def _pairs(module: nn.Sequential) -> Iterator[tuple[int, Layer, Activation]]:
    """Yield the place of each layer, the layer, and what is behind it."""
    layers = [layer for layer in module if not isinstance(layer, _PASSED)]
    for place, layer in enumerate(layers):
        name, following = type(layer).__name__, layers[place + 1] if place + 1 < len(layers) else None
        if isinstance(layer, _ACTIVATIONS):
            if not place or isinstance(layers[place - 1], _ACTIVATIONS):
                raise ModelError(f"convert-fs: layer {place}: a {name} without a Linear or Conv layer before it")
        elif not isinstance(layer, LAYERS):
            raise ModelError(f"convert-fs: layer {place}: {name}; {_NEEDS}")
        elif following is not None and not isinstance(following, _ACTIVATIONS):
            raise ModelError(f"convert-fs: layer {place}: {name} without an activation behind it; {_NEEDS}")
        else:
            yield place, layer, following


def _population(
    place: int, layer: Layer, activation: Activation, source: _Values, number: int, params: dict[str, float], *, int8: bool
) -> tuple[Population, _Values]:
    """Return the population of a layer, and what calibration has behind it."""
    who, shape = f"convert-fs: layer {place}", tuple(source.x.shape[1:])
    try:
        x: Tensor = layer(source.x.flatten(1) if isinstance(layer, nn.Linear) else source.x)
    except RuntimeError as error:
        raise ModelError(f"{who}: does not take {shape} ({' '.join(str(error).split())[:100]})") from error
    if x.is_complex() and isinstance(activation, nn.ReLU | nn.Softshrink):
        raise ModelError(f"{who}: a {type(activation).__name__} of complex numbers; needs a ComplexSoftThreshold")
    parts = 2 if x.is_complex() or isinstance(activation, nn.Softshrink | ComplexSoftThreshold) else 1
    weight, gain, dtype = layer.weight.detach(), np.float32(1), "<f4"
    if number > 1 and int8:
        weight, scale = in_8_bits(weight)
        gain, dtype = np.float32(scale * source.step), "|i1"
    weights = weights_of(layer, weight, shape, dtype=dtype, parts=(parts, source.parts), who=who)
    hears, units = (Projection(number - 1, "input", weights),), parts * x[0].numel()
    bias = _bias(layer, x[0], parts)
    vectors: dict[str, F32 | float] = {"gain": float(gain), "bias": bias}
    name = f"layer{number}"
    if activation is None:  # v' = (0 v + gain (sum + bias)) + leak
        own = vectors_of(units, li.FILL, rate=0.0, gain=float(gain), leak=bias)
        return Population(name, units, "li", hears, own, dense=True), _Values(x, parts)
    kernel, fill = "fs", fs.FILL
    if not isinstance(activation, nn.ReLU):
        kernel, fill, vectors = "fs_complex", fs_complex.FILL, {**vectors, "theta": _theta(activation, x[0], who)}
    x = activation(x)
    top = max(float(torch.view_as_real(x).abs().max() if x.is_complex() else x.abs().max()), _LEAST)
    alpha = float(2.0 ** (np.floor(np.log2(top)) + 1))
    params, payload = {**params, "alpha": alpha}, "int32" if int8 else "float32"
    population = Population(name, units, kernel, hears, vectors_of(units, fill, **vectors), params, payload)
    return population, _Values(x, parts, alpha / 2 ** params["bits"])


def _bias(layer: Layer, out: Tensor, parts: int) -> F32:
    """Return the bias of each unit, (units,)."""
    bias = np.zeros(out.shape[0]) if layer.bias is None else layer.bias.detach().numpy()
    bias = np.repeat(bias, out.numel() // len(bias))  # a layer has one a channel
    pairs = np.stack([bias.real, bias.imag], axis=1)[:, :parts]
    return np.ascontiguousarray(pairs.reshape(-1), np.float32)


def _theta(activation: nn.Softshrink | ComplexSoftThreshold, out: Tensor, who: str) -> F32:
    """Return the threshold of each unit, of both parts of a number, (units,)."""
    theta = torch.tensor(activation.lambd) if isinstance(activation, nn.Softshrink) else activation.theta.abs()
    try:
        each = theta.detach().broadcast_to(out.shape)
    except RuntimeError as error:
        raise ModelError(f"{who}: thresholds of {tuple(theta.shape)} for numbers of {tuple(out.shape)}") from error
    return np.repeat(each.numpy().astype(np.float32).reshape(-1), 2)


def convert(module: str, samples: Path, out: Path, bits: int, *, rounds: bool, int8: bool, say: Callable[[str], object]) -> None:
    """Convert what `MODULE:FUNCTION` returns, calibrated on an .npy file of samples, and write a checkpoint.

    ModelError, one line, for a module, function or file that cannot be.
    """
    from models.checkpoint import Model, save

    name, _, function = module.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        network = getattr(importlib.import_module(name), function)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelError(f"convert-fs {module}: needs MODULE:FUNCTION that returns a torch.nn.Sequential ({error})") from error
    try:
        array = np.load(samples)  # unpickles nothing
    except (OSError, ValueError, EOFError) as error:
        raise ModelError(f"--calibrate {samples}: cannot be read as .npy ({' '.join(str(error).split())[:100]})") from error
    if array.ndim < 2 or array.dtype.kind not in "fiuc" or not len(array) or not np.isfinite(array).all():
        raise ModelError(f"--calibrate {samples}: needs finite numbers (samples, ...), has {array.dtype} {array.shape}")
    converted = to_few_spikes(network, array, bits, rounds=rounds, int8=int8)
    save(out, Model(converted, state="carried"))
    say(f"{len(converted.layers)} layers, {converted.nonzeros:,} weights, K {bits}; wrote {out}")
