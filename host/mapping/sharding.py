"""Sharding: which units go on which PE. A strategy is a plain function `(network, request) -> shares`, one share a PE.

Trained matrices are uneven: after magnitude pruning, blocks of units cut in index order can hold 1.3 times the mean
weights and overflow a PE that is sized for the mean. So units are dealt out, heaviest first, each to the lightest PE that
may still take one. A share is judged by the very layout that the PE will use (`pe/layout.py`, `pe/sram.py`). Not known
here: where on the chip a share goes (`host/mapping/placement.py`).
"""

from __future__ import annotations

import difflib
import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from host.errors import Exit, HostError
from models import formats, kernels
from models.network import U32, Array, Network, Shard, ShardPort
from pe.layout import PortSize, ShardSize, pe_fields
from pe.sram import Region, SramOverflow, SramSize, plan


class Part(NamedTuple):
    """Units of one population, ascending."""

    population: int
    units: U32


Share = tuple[Part, ...]  # what one PE runs


@dataclass(frozen=True)
class Request:
    """What a strategy is asked for. `pes`: how many PEs to use, or None to choose; `available`: how many there are, on
    `chips` chips.
    """

    format: str
    lanes: int
    size: SramSize
    available: int
    pes: int | None = None
    chips: int = 1


Strategy = Callable[[Network, Request], list[Share]]


def uniform(network: Network, request: Request) -> list[Share]:
    """Deal each layer over the same number of PEs, the same number of units to each: the paper's mapping.

    Without a number of PEs each layer gets as many as there are for it, less those that would not spare the busiest PE of
    the smallest layer a unit: 50 each for the paper's three layers, 64 each for its two of 256 units.
    """
    layers = list(network.layers)
    smallest = min(network.populations[layer].units for layer in layers)
    each = min(request.available // len(layers), smallest)
    spread = -(-smallest // -(-smallest // each)) * len(layers) if each else max(request.available, 1)
    pes = request.pes or spread
    if pes < len(layers):
        return _whole_layers(layers, pes, network)
    _check_units(network, pes)
    return [share for layer, count in _split(network, pes).items() for share in _deal(network, layer, count, True)]


def balanced(network: Network, request: Request) -> list[Share]:
    """Use as few PEs as fit (or the number asked for), each with about the same bytes, whatever the number of units."""
    layers = list(network.layers)
    if request.pes is None or request.pes < len(layers):
        for pes in range(1, len(layers)) if request.pes is None else (request.pes,):
            shares = _whole_layers(layers, pes, network)
            if request.pes is not None or _all_fit(network, request, shares):
                return shares
    counts = {layer: _least(network, request, layer, even=False) for layer in layers}
    if request.pes is not None and request.pes < sum(counts.values()):
        need = ", ".join(f"{n} for layer {layer}" for layer, n in counts.items())
        raise HostError(
            f"--pes {request.pes}: dealt by bytes, the layers need at least {sum(counts.values())} PEs ({need})", Exit.DOES_NOT_FIT
        )
    _check_units(network, request.pes or 0)
    weights = {layer: _bytes_of(network, request, layer) for layer in layers}
    while request.pes is not None and sum(counts.values()) < request.pes:
        growing = [layer for layer in layers if counts[layer] < network.populations[layer].units]
        counts[max(growing, key=lambda layer: weights[layer] / counts[layer])] += 1
    return [share for layer in layers for share in _deal(network, layer, counts[layer], False)]


def clustered(network: Network, request: Request) -> list[Share]:
    """Deal as `balanced` does, over as many PEs as `uniform` takes where no number is asked for, or as few more as fit.

    On which chips the shares go is what this mapping is about: `host/mapping/chip_assignment.py`.
    """
    if request.pes is None:
        like_uniform = min(len(uniform(network, request)), request.available)
        try:
            return balanced(network, replace(request, pes=like_uniform))
        except HostError:
            pass  # it needs more, or more than there are
    return balanced(network, request)


STRATEGIES: dict[str, Strategy] = {"uniform": uniform, "balanced": balanced, "clustered": clustered}


def strategy(name: str) -> Strategy:
    """Return the strategy called `name`; HostError with the nearest name where there is none."""
    if name not in STRATEGIES:
        near = difflib.get_close_matches(name, STRATEGIES, 1, 0.0)[0]
        raise HostError(f"unknown mapping {name!r}: have {', '.join(STRATEGIES)}; did you mean {near!r}?")
    return STRATEGIES[name]


def share_sizes(network: Network, request: Request, share: Share) -> list[ShardSize]:
    """Return what the SRAM layout needs to know of a share."""
    sizes = []
    for population, units in share:
        layer, lengths = network.populations[population], _row_lengths(network, population)
        ports = tuple(
            PortSize(p.port, network.populations[p.source].units, int(lengths[i][units].sum()), p.trace > 0)
            for i, p in enumerate(layer.projections)
        )
        sizes.append(ShardSize(population, layer.kernel, request.format, len(units), request.lanes, ports))
    return sizes


def layout(network: Network, request: Request, share: Share, who: str) -> list[Region]:
    """Return the SRAM regions of a share; SramOverflow, naming `who`, where it does not fit."""
    return plan(who, pe_fields(share_sizes(network, request, share)), request.size)


def check_room(network: Network, request: Request) -> None:
    """Raise HostError where the weights' values alone are more than all available PEs hold."""
    values = sum(
        field.size_bytes
        for layer in network.layers
        for field in pe_fields(share_sizes(network, request, (_whole(network, layer),)))
        if field.name.endswith(".values") and field.role == "weights"
    )
    room = request.available * request.size.data_bytes
    if values > room:
        have = f"{request.available} PEs have {room:,} B of data memory"
        raise HostError(f"weights in format {request.format!r} need {values:,} B; {have}", Exit.DOES_NOT_FIT)


def too_small(network: Network, request: Request, shares: Sequence[Share], which: int, why: SramOverflow, name: str) -> HostError:
    """Return the error for a share that does not fit, with the smallest number of PEs that would."""
    layer = shares[which][0].population
    even = name == "uniform"
    need = {n: _least(network, request, n, even=even) for n in network.layers}
    total = sum(need.values())
    if even:  # every layer gets as many as the others, whatever it needs; the more in all, the more for each

        def enough(pes: int) -> bool:
            return all(count >= need[n] for n, count in _split(network, pes).items())

        most = sum(network.populations[n].units for n in network.layers)
        total = range(total, most + 1)[bisect_left(range(total, most), True, key=enough)]
    layers = "+".join(network.populations[part.population].name for part in shares[which])
    needs = f"use at least {need[layer]} PEs for layer {layer}, for all layers --pes {total}"
    if total > request.available:
        needs += f", {request.available} are there"
    return HostError(f"{why} ({layers}); {needs}", Exit.DOES_NOT_FIT)


def cut(network: Network, request: Request, share: Share) -> list[Shard]:
    """Return the shards of a share with their weights in the format asked for."""
    form = formats.named(request.format)
    shards = []
    for population, units in share:
        layer = network.populations[population]
        kernel = kernels.named(layer.kernel)
        rows = _gate_rows(units, layer.units, kernel.GATES)
        ports = []
        for projection in layer.projections:
            weights = projection.weights.take(rows)
            source_units = network.populations[projection.source].units
            encoded = form.encode(weights)
            ports.append(ShardPort(projection.port, projection.source, source_units, weights.nonzeros, encoded, projection.trace))
        vectors = {name: layer.vectors[name][_gate_rows(units, layer.units, n)] for name, n in kernel.VECTORS.items()}
        shards.append(
            Shard(population, layer.kernel, request.format, layer.units, request.lanes, units, tuple(ports), vectors, layer.params)
        )
    return shards


def _gate_rows(units: U32, width: int, gates: int) -> Array:
    return (np.arange(gates)[:, None] * width + units[None, :]).ravel()


def _row_lengths(network: Network, population: int) -> list[Array]:
    """Return, per projection, how many weights each unit of a population has (all gates)."""
    layer = network.populations[population]
    gates = kernels.named(layer.kernel).GATES
    return [p.weights.row_nonzeros.reshape(gates, layer.units).sum(axis=0) for p in layer.projections]


def _deal(network: Network, population: int, pes: int, even: bool) -> list[Share]:
    """Deal the units of a population to `pes` PEs, heaviest first, each to the lightest PE.

    `even`: no PE takes more than one unit more than another. The order of equals is fixed, so a deal is repeatable.
    """
    units = network.populations[population].units
    weights = sum(_row_lengths(network, population), np.zeros(units, np.int64))
    # A row costs about its extents, state and vectors beside its weights: 20 words a unit for an EGRU.
    weights = weights if even else weights + 20
    full, larger = divmod(units, pes)
    hands: list[list[int]] = [[] for _ in range(pes)]
    heap = [(0, pe) for pe in range(pes)]
    for unit in sorted(range(units), key=lambda u: (-int(weights[u]), u)):
        load, pe = heapq.heappop(heap)
        hands[pe].append(unit)
        size = len(hands[pe])
        if not even or size < full:
            heapq.heappush(heap, (load + int(weights[unit]), pe))
        elif size == full and larger:
            # This PE may become one of the larger ones, but only after every PE has its full number.
            heapq.heappush(heap, (load + int(weights[unit]) + (1 << 40), pe))
        elif size > full:
            larger -= 1
            if not larger:
                heap = [entry for entry in heap if len(hands[entry[1]]) < full]
                heapq.heapify(heap)
    return [(Part(population, np.array(sorted(hand), np.uint32)),) for hand in hands]


def holds(network: Network, request: Request, name: str) -> bool:
    """Tell whether the PEs there are hold the network under the strategy called `name`."""
    try:
        shares = strategy(name)(network, request)
    except HostError:
        return False
    return len(shares) <= request.available and _all_fit(network, request, shares)


def _all_fit(network: Network, request: Request, shares: Iterable[Share]) -> bool:
    """Tell whether every share fits a PE.

    No layout grows where a share has less of something, so a PE that holds the most of each count holds any; laying out each of
    thousands of shares is left to where this says no.
    """
    kinds: dict[tuple[int, ...], list[list[ShardSize]]] = {}
    for share in shares:
        kinds.setdefault(tuple(part.population for part in share), []).append(share_sizes(network, request, share))
    return all(
        _each_fits(request, [[_most(column) for column in zip(*kind, strict=True)]]) or _each_fits(request, kind)
        for kind in kinds.values()
    )


def _most(sizes: Sequence[ShardSize]) -> ShardSize:
    """Return the size of a shard that has the most units and, at each port, the most weights of any."""
    ports = (port._replace(nonzeros=max(size.ports[n].nonzeros for size in sizes)) for n, port in enumerate(sizes[0].ports))
    return sizes[0]._replace(units=max(size.units for size in sizes), ports=tuple(ports))


def _each_fits(request: Request, shares: Sequence[Sequence[ShardSize]]) -> bool:
    heaviest_first = sorted(shares, key=lambda sizes: -sum(port.nonzeros for size in sizes for port in size.ports))
    try:
        for sizes in heaviest_first:
            plan("", pe_fields(sizes), request.size)
    except SramOverflow:
        return False
    return True


def _least(network: Network, request: Request, layer: int, *, even: bool) -> int:
    """Return the smallest number of PEs over which `layer` fits; HostError where one unit is too much for a PE."""
    units = network.populations[layer].units
    heaviest = np.argmax(sum(_row_lengths(network, layer), np.zeros(units, np.int64)))
    try:
        layout(network, request, (Part(layer, np.array([heaviest], np.uint32)),), f"layer {layer}, one unit a PE")
    except SramOverflow as error:
        raise HostError(f"{error}; no number of PEs holds this layer", Exit.DOES_NOT_FIT) from error

    def enough(pes: int) -> bool:
        return _all_fit(network, request, _deal(network, layer, pes, even))

    nonzeros = sum(p.weights.nonzeros for p in network.populations[layer].projections)
    low = min(4 * nonzeros // request.size.data_bytes, units - 1)  # in any format the float32 values alone need more than this
    step, high = 1, min(low + 1, units)
    while high < units and not enough(high):
        low, step = high, 2 * step
        high = min(high + step, units)
    while high - low > 1:  # more PEs never hold less
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _bytes_of(network: Network, request: Request, layer: int) -> int:
    """Return about how many bytes of weights a layer has in all."""
    fields = pe_fields(share_sizes(network, request, (_whole(network, layer),)))
    return sum(field.size_bytes for field in fields if field.role == "weights")


def _whole(network: Network, layer: int) -> Part:
    return Part(layer, np.arange(network.populations[layer].units, dtype=np.uint32))


def _check_units(network: Network, pes: int) -> None:
    units = {layer: network.populations[layer].units for layer in network.layers}
    if pes > sum(units.values()):
        have = ", ".join(f"layer {layer} has {n} units" for layer, n in units.items())
        raise HostError(f"--pes {pes}: {have}; use at most --pes {sum(units.values())}", Exit.DOES_NOT_FIT)


def _split(network: Network, pes: int) -> dict[int, int]:
    """Return PEs for each layer, as even as units allow: a layer with few units leaves what it cannot use to the others."""
    units = {layer: network.populations[layer].units for layer in network.layers}
    each = bisect_right(range(max(units.values())), pes, key=lambda n: sum(min(n, of_layer) for of_layer in units.values())) - 1
    counts = {layer: min(each, n) for layer, n in units.items()}
    growing = [layer for layer, n in units.items() if n > each]
    counts |= dict.fromkeys(growing[: pes - sum(counts.values())], each + 1)
    return counts


def _whole_layers(layers: list[int], pes: int, network: Network) -> list[Share]:
    """Put whole layers, in order, on fewer PEs than there are layers."""
    edges = [len(layers) * pe // pes for pe in range(pes + 1)]
    whole = [_whole(network, layer) for layer in layers]
    return [tuple(whole[a:b]) for a, b in pairwise(edges)]
