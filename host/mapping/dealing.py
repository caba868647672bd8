"""Dealing units of layers to PEs: what the strategies have in common.

Trained matrices are uneven: after magnitude pruning, blocks of units cut in index order can hold 1.3 times the mean weights
and overflow a PE that is sized for the mean. So units are dealt heaviest first, each to the lightest PE that may take one.

A layer that hears through a convolution is dealt in runs: in C order so many units to each PE, that is output channels, or
rows of one. So a PE has few channels, and few kernels; and its units are alike but for those at the borders.
"""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np

from host.errors import Exit, HostError
from host.mapping.even_phases import deal_evenly
from host.mapping.request import Deal, Request, UnitSet, whole_layer
from host.mapping.sharding import all_fit, plan_share
from models import formats, kernels
from models.convolution import Convolution
from models.network import I64, U32, Network, Projection
from pe.sram import SramOverflow


def deal_group(
    network: Network, group: tuple[int, ...], pes: int, even: bool, *, runs: bool = False, exchanges: bool = True
) -> Deal:
    """Deal a group of layers to `pes` PEs, unit i of each to the same one; `even` and `runs` as of `deal_layer`, `exchanges` as of
    `deal_evenly`.

    Each phase of a position is even on its own: what a layer computes from what was there before its group began, and what it
    computes from what others of the group send.
    """
    if len(group) == 1:
        return deal_layer(network, group[0], pes, even, runs)
    phases, together = [], units_together(network, group)
    for layer in group:
        of_group = [p for p in network.populations[layer].projections if p.delay == 0 and p.source in group]
        others = [p for p in network.populations[layer].projections if p.delay or p.source not in group]
        phases += [_weights_of_units(network, layer, projections) for projections in (others, of_group) if projections]
    work = np.stack(phases)
    hands = deal_evenly(work.reshape(len(work), -1, together).sum(axis=2), pes, even, exchanges=exchanges)
    return [tuple(UnitSet(layer, _units_of(hand, together)) for layer in group) for hand in hands]


def deal_layer(network: Network, layer: int, pes: int, even: bool, runs: bool = False) -> Deal:
    """Deal the units of a layer to `pes` PEs, heaviest first, each to the lightest PE.

    `even`: no PE takes more than one unit more than another. The order of equals is fixed, so a deal is repeatable. A layer that
    hears through a convolution is always dealt in `runs` of as many units, and any is for a format that wants neighbours.
    """
    together = units_together(network, (layer,))
    units = network.populations[layer].units // together
    if runs or hears_by_kernel(network, layer):
        return [(UnitSet(layer, _units_of(run, together)),) for run in np.array_split(np.arange(units), pes)]
    weights = _unit_weights(network, layer)
    if not even:
        weights += _unit_words(network, layer)
    weights = weights.reshape(-1, together).sum(axis=1)
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
    return [(UnitSet(layer, _units_of(sorted(hand), together)),) for hand in hands]


def units_together(network: Network, group: tuple[int, ...]) -> int:
    """Return how many units of a group of layers, one behind the other, are never split over PEs: 1 of most neuron models."""
    return max(int(getattr(kernels.named(network.populations[layer].kernel), "TOGETHER", 1)) for layer in group)


def _units_of(hand: Sequence[int] | I64, together: int) -> U32:
    """Return the units of what one PE was dealt, each so many of them."""
    first = together * np.asarray(hand, np.int64)
    return np.asarray((first[:, None] + np.arange(together)).reshape(-1), np.uint32)


def pieces_of(network: Network, group: tuple[int, ...]) -> int:
    """Return over how many PEs a group of layers can be dealt at most."""
    return network.populations[group[0]].units // units_together(network, group)


def hears_by_kernel(network: Network, layer: int) -> bool:
    """Tell whether a layer hears anything through a convolution."""
    return any(isinstance(projection.weights, Convolution) for projection in network.populations[layer].projections)


def _unit_weights(network: Network, layer: int) -> I64:
    return _weights_of_units(network, layer, network.populations[layer].projections)


def _weights_of_units(network: Network, layer: int, projections: Sequence[Projection]) -> I64:
    """Return how many weights each unit of a layer has in these of its projections."""
    units = network.populations[layer].units
    lengths = [p.weights.row_nonzeros.reshape(-1, units).sum(axis=0) for p in projections]
    return np.asarray(sum(lengths, np.zeros(units, np.int64)))


def _unit_words(network: Network, layer: int) -> int:
    """Return about how many words a unit costs beside its weights: its vectors and index, and each row's accumulator and extent."""
    population = network.populations[layer]
    kernel = kernels.named(population.kernel)
    rows = sum(kernel.PORTS[projection.port].rows for projection in population.projections)
    return sum(vector.length for vector in kernel.VECTORS.values()) + 1 + 2 * rows


def deal_whole_layers(network: Network, pes: int) -> Deal:
    """Put whole groups of layers, in order, on fewer PEs than there are groups."""
    edges = [len(network.groups) * pe // pes for pe in range(pes + 1)]
    groups = [[whole_layer(network, layer) for layer in group] for group in network.groups]
    return [tuple(chain.from_iterable(groups[a:b])) for a, b in pairwise(edges)]


def check_units(network: Network, pes: int) -> None:
    """Raise HostError for more PEs than units."""
    units = {group: pieces_of(network, group) for group in network.groups}
    if pes > sum(units.values()):
        have = ", ".join(f"{name_of(group)} has {n} units" for group, n in units.items())
        raise HostError(f"--pes {pes}: {have}; use at most --pes {sum(units.values())}", Exit.DOES_NOT_FIT)


def name_of(group: tuple[int, ...]) -> str:
    """Return what a message calls a group of layers."""
    return f"layer{'s' if len(group) > 1 else ''} {' and '.join(map(str, group))}"


def split_pes(network: Network, pes: int) -> dict[tuple[int, ...], int]:
    """Return PEs for each group of layers, as even as units allow: one with few units leaves what it cannot use to the others."""
    units = {group: pieces_of(network, group) for group in network.groups}
    each = bisect_right(range(max(units.values())), pes, key=lambda n: sum(min(n, of_layer) for of_layer in units.values())) - 1
    counts = {layer: min(each, n) for layer, n in units.items()}
    growing = [layer for layer, n in units.items() if n > each]
    counts |= dict.fromkeys(growing[: pes - sum(counts.values())], each + 1)
    return counts


def fewest_pes(network: Network, request: Request, group: tuple[int, ...], *, even: bool) -> int:
    """Return the fewest PEs over which a group of layers fits; HostError where one unit of each is too much for a PE."""
    together, units = units_together(network, group), pieces_of(network, group)
    every = sum((_unit_weights(network, layer) for layer in group), np.zeros(units * together, np.int64))
    heaviest = _units_of([int(np.argmax(every.reshape(-1, together).sum(axis=1)))], together)
    try:
        share = tuple(UnitSet(layer, heaviest) for layer in group)
        plan_share(network, request, share, f"{name_of(group)}, one unit a PE")
    except SramOverflow as error:
        raise HostError(f"{error}; no number of PEs holds this layer", Exit.DOES_NOT_FIT) from error

    def enough(pes: int, *, exchanges: bool = False) -> bool:
        runs = formats.wants_runs(request.format)
        return all_fit(network, request, deal_group(network, group, pes, even, runs=runs, exchanges=exchanges))

    values_bytes = sum(p.weights.values.nbytes for layer in group for p in network.populations[layer].projections)
    low = min(values_bytes // request.size.data_bytes, units - 1)  # in any format the values alone need more than this
    step, high = 1, min(low + 1, units)
    while high < units and not enough(high):
        low, step = high, 2 * step
        high = min(high + step, units)
    while high - low > 1:  # more PEs never hold less
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    if len(group) == 1:  # which is dealt once
        return high
    # What exchanges change is little, but may be what decides.
    if enough(high, exchanges=True):
        return next((pes for pes in range(high, 1, -1) if not enough(pes - 1, exchanges=True)), 1)
    return next((pes for pes in range(high + 1, units) if enough(pes, exchanges=True)), units)
