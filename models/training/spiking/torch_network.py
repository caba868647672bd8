"""A network of spiking populations in torch, whichever it is: what a checkpoint holds, scored on many samples side by side.

Of int8 weights every sum is a whole number below 2**24, so float32 holds it exactly and spikes are the emulator's to the bit; of
float32 weights sums are in torch's order. Neurons are `lif` of form decay that subtract one step late, and `li` that answer, as
those that the trainer makes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.convolution import Convolution
from models.network import Array, ModelError, Network, Population, Weights
from models.spiking import FORMS, RESETS
from models.training.spiking.frames import SpikeSamples

_SCORED = 32  # samples side by side


@torch.no_grad()
def output_scores(network: Network, samples: SpikeSamples, on_batch: Callable[[int], object] = lambda _: None) -> Array:
    """Return for each sample how often each unit of the last population fires, (n, units) int64, or of integrators the mean of
    each membrane, float64; ModelError for other neurons.
    """
    for number in network.layers:
        _check(network, network.populations[number])
    sums = []
    for first in range(0, len(samples), _SCORED):
        numbers = np.arange(first, min(first + _SCORED, len(samples)))
        spikes = samples.spikes(numbers).transpose(0, 1).flatten(2)
        sums.append(_sent(network, spikes).sum(0, dtype=torch.float64))
        on_batch(len(numbers))
    whole = np.asarray(torch.cat(sums).numpy())
    if network.populations[network.output].kernel == "li":
        return whole / samples.bins.steps
    return whole.astype(np.int64)


def _check(network: Network, population: Population) -> None:
    own = population.params
    if population.kernel == "li" and population is network.populations[network.output] and _decays(population):
        return
    plain = not (own.get("fire_at_threshold") or own.get("multi_spike") or own.get("floor"))
    late = RESETS[int(own.get("reset", 0))] == "subtract-late" and _decays(population)
    if population.kernel != "lif" or not (plain and late) or any(projection.delay for projection in population.projections):
        need = "lif of form decay that subtracts late, and li that answers, without delays"
        raise ModelError(f"{population.name}: torch scores {need}")


def _decays(population: Population) -> bool:
    return FORMS[int(population.params.get("form", 0))] == "decay"


def _sent(network: Network, spikes: Tensor) -> Tensor:
    """Return the last population's spikes or membranes (steps, samples, units)."""
    sent = {network.inputs[0]: spikes}
    for number in network.layers:
        population = network.populations[number]
        total = sum(_products(p.weights, sent[p.source]) for p in population.projections)
        assert isinstance(total, Tensor)
        sent[number] = (_integrate if population.kernel == "li" else _fire)(population, total)
    return sent[network.outputs[0]]


def _products(weights: Weights, spikes: Tensor) -> Tensor:
    if not isinstance(weights, Convolution):
        return spikes @ torch.from_numpy(weights.to_dense().astype(np.float32)).t()
    maps = spikes.flatten(0, 1).view(-1, *weights.input_shape)
    if weights.pool != (1, 1):
        maps = functional.avg_pool2d(maps, weights.pool, divisor_override=1)
    top, left, bottom, right = weights.padding
    maps = functional.pad(maps, (left, right, top, bottom))
    kernel = torch.from_numpy(weights.kernel.astype(np.float32))
    out = functional.conv2d(maps, kernel, stride=weights.stride, dilation=weights.dilation, groups=weights.groups)
    return out.flatten(1).view(*spikes.shape[:2], -1)


def _fire(population: Population, sums: Tensor) -> Tensor:
    rate, gain, leak, bias, threshold, start = (
        torch.tensor(population.vectors[name]) for name in ("rate", "gain", "leak", "bias", "threshold", "start")
    )
    v = start.expand_as(sums[0]).clone()
    earlier = (v > threshold).float()
    spikes = torch.empty_like(sums)
    for t in range(len(sums)):
        v = (rate * v + gain * (sums[t] + bias)) + leak - earlier * threshold
        earlier = spikes[t] = (v > threshold).float()
    return spikes


def _integrate(population: Population, sums: Tensor) -> Tensor:
    rate, gain, leak, bias, start = (torch.tensor(population.vectors[name]) for name in ("rate", "gain", "leak", "bias", "start"))
    v, membranes = start.expand_as(sums[0]), torch.empty_like(sums)
    for t in range(len(sums)):
        v = membranes[t] = (rate * v + gain * (sums[t] + bias)) + leak
    return membranes
