"""Dealing units of layers to PEs: what the strategies have in common.

Trained matrices are uneven: after magnitude pruning, blocks of units cut in index order can hold 1.3 times the mean weights
and overflow a PE that is sized for the mean. So units are dealt heaviest first, each to the lightest PE that may take one.

A layer that hears through a convolution is dealt in runs: in C order so many units to each PE, that is output channels, or
rows of one. So a PE has few channels, and few kernels; and its units are alike but for those at the borders.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from itertools import pairwise

import numpy as np

from host.errors import Exit, HostError
from host.mapping.request import Deal, Request, UnitSet, whole_layer
from host.mapping.sharding import all_fit, plan_share
from models import kernels
from models.convolution import Convolution
from models.network import I64, Network
from pe.sram import SramOverflow


def deal_layer(network: Network, layer: int, pes: int, even: bool) -> Deal:
    """Deal the units of a layer to `pes` PEs, heaviest first, each to the lightest PE.

    `even`: no PE takes more than one unit more than another. The order of equals is fixed, so a deal is repeatable. A layer that
    hears through a convolution is always dealt in runs of as many units.
    """
    units = network.populations[layer].units
    if hears_by_kernel(network, layer):
        return [(UnitSet(layer, run),) for run in np.array_split(np.arange(units, dtype=np.uint32), pes)]
    weights = _unit_weights(network, layer)
    if not even:
        weights += _unit_words(network, layer)
    full, larger = divmod(units, pes)
    hands: list[list[int]] = [[] for _ in range(pes)]
    heap = [(0, pe) for pe in range(pes)]
    for unit in sorted(range(units), key=lambda u: (-int(weights[u]), u)):
        load, pe = heapq.heappop(heap)
        hands[pe].append(unit)
        load, size = load + int(weights[unit]), len(hands[pe])
        if not even or size < full:
            heapq.heappush(heap, (load, pe))
        elif size == full and larger:  # it may become one of the larger ones, but only after every PE has its full number
            heapq.heappush(heap, (load + (1 << 40), pe))
        elif size > full:
            larger -= 1
            if not larger:
                heap = [entry for entry in heap if len(hands[entry[1]]) < full]
                heapq.heapify(heap)
    return [(UnitSet(layer, np.array(sorted(hand), np.uint32)),) for hand in hands]


def hears_by_kernel(network: Network, layer: int) -> bool:
    """Tell whether a layer hears anything through a convolution."""
    return any(isinstance(projection.weights, Convolution) for projection in network.populations[layer].projections)


def _unit_weights(network: Network, layer: int) -> I64:
    population = network.populations[layer]
    lengths = [p.weights.row_nonzeros.reshape(-1, population.units).sum(axis=0) for p in population.projections]
    return np.asarray(sum(lengths, np.zeros(population.units, np.int64)))


def _unit_words(network: Network, layer: int) -> int:
    """Return about how many words a unit costs beside its weights: its vectors and index, and each row's accumulator and extent."""
    population = network.populations[layer]
    kernel = kernels.named(population.kernel)
    rows = sum(kernel.PORTS[projection.port].rows for projection in population.projections)
    return sum(vector.length for vector in kernel.VECTORS.values()) + 1 + 2 * rows


def deal_whole_layers(network: Network, pes: int) -> Deal:
    """Put whole layers, in order, on fewer PEs than there are layers."""
    edges = [len(network.layers) * pe // pes for pe in range(pes + 1)]
    layers = [whole_layer(network, layer) for layer in network.layers]
    return [tuple(layers[a:b]) for a, b in pairwise(edges)]


def check_units(network: Network, pes: int) -> None:
    """Raise HostError for more PEs than units."""
    units = {layer: network.populations[layer].units for layer in network.layers}
    if pes > sum(units.values()):
        have = ", ".join(f"layer {layer} has {n} units" for layer, n in units.items())
        raise HostError(f"--pes {pes}: {have}; use at most --pes {sum(units.values())}", Exit.DOES_NOT_FIT)


def split_pes(network: Network, pes: int) -> dict[int, int]:
    """Return PEs for each layer, as even as units allow: a layer with few units leaves what it cannot use to the others."""
    units = {layer: network.populations[layer].units for layer in network.layers}
    each = bisect_right(range(max(units.values())), pes, key=lambda n: sum(min(n, of_layer) for of_layer in units.values())) - 1
    counts = {layer: min(each, n) for layer, n in units.items()}
    growing = [layer for layer, n in units.items() if n > each]
    counts |= dict.fromkeys(growing[: pes - sum(counts.values())], each + 1)
    return counts


def fewest_pes(network: Network, request: Request, layer: int, *, even: bool) -> int:
    """Return the smallest number of PEs over which `layer` fits; HostError where one unit is too much for a PE."""
    units = network.populations[layer].units
    heaviest = np.argmax(_unit_weights(network, layer))
    try:
        plan_share(network, request, (UnitSet(layer, np.array([heaviest], np.uint32)),), f"layer {layer}, one unit a PE")
    except SramOverflow as error:
        raise HostError(f"{error}; no number of PEs holds this layer", Exit.DOES_NOT_FIT) from error

    def enough(pes: int) -> bool:
        return all_fit(network, request, deal_layer(network, layer, pes, even))

    values_bytes = sum(p.weights.values.nbytes for p in network.populations[layer].projections)
    low = min(values_bytes // request.size.data_bytes, units - 1)  # in any format the values alone need more than this
    step, high = 1, min(low + 1, units)
    while high < units and not enough(high):
        low, step = high, 2 * step
        high = min(high + step, units)
    while high - low > 1:  # more PEs never hold less
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
