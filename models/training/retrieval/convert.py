"""Converts a CNN of torch to Few-Spikes neurons: convolutions and linear layers with a ReLU behind each, and a last one without.

A layer behind a ReLU sends its values in K bits, as `fs`; a last layer without one sends its numbers as they are (`li`, which
forgets at every position). Inputs are float32, and so are the first layer's weights; all others are int8 with a scale a layer,
or float32.
Alphas come from calibration: the least power of two that all values of a layer are below.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from models.convolution import Convolution
from models.few_spikes import MOST_BITS
from models.graph_check import check_network
from models.kernels import fs, li
from models.network import F32, Array, ModelError, Network, Population, Projection, SparseRows, Weights
from models.spiking import vectors_of

LARGEST = 127  # of a weight of 8 bits


def to_few_spikes(module: nn.Sequential, samples: F32, bits: int, *, rounds: bool = True, int8: bool = True) -> Network:
    """Return the network of a module whose inputs are like `samples` (many, *shape).

    ModelError, one line that names the layer, for a layer of another kind, and for samples that it does not take.
    """
    if not 1 <= bits <= MOST_BITS:
        raise ModelError(f"--k {bits}: needs a whole number from 1 to {MOST_BITS}")
    if not isinstance(module, nn.Sequential) or not any(isinstance(layer, nn.Linear | nn.Conv2d) for layer in module):
        raise ModelError("convert-fs: needs a torch.nn.Sequential with a Linear or Conv2d layer")
    x = torch.from_numpy(np.asarray(samples, np.float32))
    populations = [Population("in", int(x[0].numel()))]
    steps_of_source, layers = 1.0, [layer for layer in module if not isinstance(layer, nn.Flatten | nn.Identity | nn.Dropout)]
    with torch.no_grad():
        for place, layer in enumerate(layers):
            if isinstance(layer, nn.ReLU):
                if not place or isinstance(layers[place - 1], nn.ReLU):
                    raise ModelError(f"convert-fs: layer {place}: a ReLU without a Linear or Conv2d before it")
                continue
            if not isinstance(layer, nn.Linear | nn.Conv2d):
                kinds = "Linear, Conv2d, ReLU, Flatten, Identity and Dropout"
                raise ModelError(f"convert-fs: layer {place}: {type(layer).__name__}; needs {kinds}")
            is_last = place == len(layers) - 1
            if not is_last and not isinstance(layers[place + 1], nn.ReLU):
                raise ModelError(
                    f"convert-fs: layer {place}: {type(layer).__name__} without a ReLU behind it; only the last may be"
                )
            shape = tuple(x.shape[1:])
            try:
                x = layer(x if isinstance(layer, nn.Conv2d) else x.flatten(1))
            except RuntimeError as error:
                raise ModelError(
                    f"convert-fs: layer {place}: does not take {shape} ({' '.join(str(error).split())[:100]})"
                ) from error
            values = layer.weight.detach().numpy().astype(np.float32)
            gain, source = np.float32(1), len(populations) - 1  # of a float32 checkpoint: rounded as that is
            if source and int8:
                top = float(np.abs(values).max()) or 1.0
                values = np.rint(values / (top / LARGEST)).astype(np.int8)
                gain = np.float32(top / LARGEST * steps_of_source)
            hears = (Projection(source, "input", _weights(layer, values, shape)),)
            own, units = layer.bias, int(x[0].numel())
            bias = np.zeros(len(values), np.float32) if own is None else own.detach().numpy().astype(np.float32)
            bias = np.repeat(bias, units // len(bias))
            name = f"layer{len(populations)}"
            if is_last:  # v' = (0 v + gain (sum + bias)) + leak
                vectors = vectors_of(units, li.FILL, rate=0.0, gain=float(gain), leak=bias)
                populations.append(Population(name, units, "li", hears, vectors, dense=True))
                continue
            x = torch.relu(x)
            alpha = 2.0 ** (np.floor(np.log2(max(float(x.max()), 2.0**-20))) + 1)
            params = {"bits": float(bits), "alpha": float(alpha), "rounds": float(rounds)}
            payload = "int32" if int8 else "float32"
            populations.append(
                Population(name, units, "fs", hears, vectors_of(units, fs.FILL, gain=float(gain), bias=bias), params, payload)
            )
            steps_of_source = alpha / 2**bits
    network = Network(tuple(populations))
    check_network(network)
    return network


def _weights(layer: nn.Linear | nn.Conv2d, values: Array, shape: tuple[int, ...]) -> Weights:
    if isinstance(layer, nn.Linear):
        return SparseRows.from_dense(values)
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        raise ModelError(f"convert-fs: a Conv2d with padding {layer.padding!r} of {layer.padding_mode}; needs numbers of zeros")
    down, right = layer.padding
    return Convolution(
        values, (int(shape[0]), int(shape[1]), int(shape[2])), stride=(layer.stride[0], layer.stride[1]),
        padding=(down, right, down, right), dilation=(layer.dilation[0], layer.dilation[1]), groups=layer.groups,
    )  # fmt: skip


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
    if array.ndim < 2 or array.dtype.kind not in "fiu" or not len(array) or not np.isfinite(array).all():
        raise ModelError(f"--calibrate {samples}: needs finite numbers (samples, ...), has {array.dtype} {array.shape}")
    converted = to_few_spikes(network, array.astype(np.float32), bits, rounds=rounds, int8=int8)
    save(out, Model(converted, state="carried"))
    say(f"{len(converted.layers)} layers, {converted.nonzeros:,} weights, K {bits}; wrote {out}")
