"""Sharding: the memory that a share of units takes on its PE, and the shards with weights that the PE is loaded with.

Whether a share fits is judged by the very layout that the PE uses (`pe/layout.py`, `pe/sram.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from host.errors import Exit, HostError
from host.mapping.request import Request, Share, UnitSet, whole_layer
from models import formats, kernels
from models.convolution import Convolution
from models.kernel_window import KernelWindow, largest_window, window_of
from models.network import I64, U32, Array, Network, Projection, Weights
from models.schedule import schedule
from models.shard import PortShape, Shard, ShardPort
from pe.layout import PortSize, ShardSize, pe_fields
from pe.sram import Region, SramOverflow, plan


class ShareTooLargeError(HostError):
    """A share that does not fit its PE."""

    def __init__(self, text: str, share: Share) -> None:
        super().__init__(text, Exit.DOES_NOT_FIT)
        self.share = share


def row_lengths(network: Network, form: str, population: int) -> list[Array]:
    """Return, per projection, how many weights each unit of a population has (all gates); of a kernel that stays one, how many
    elements of the matrix it stands for.
    """
    layer = network.populations[population]
    return [_row_weights(form, p.weights).reshape(-1, layer.units).sum(axis=0) for p in layer.projections]


def _row_weights(form: str, weights: Weights) -> Array:
    return weights.row_met if isinstance(weights, Convolution) and formats.keeps_kernel(form, weights) else weights.row_nonzeros


def _port_shape(
    network: Network, request: Request, population: int, projection: Projection, *, units: U32, nonzeros: int
) -> PortShape:
    """Return the shape of a projection's port at a PE that has these of its units, and so many weights."""
    layer, source, times = network.populations[population], network.populations[projection.source], schedule(network)
    gates, phases = kernels.named(layer.kernel).PORTS[projection.port].rows, times.ticks[projection.source]
    # Layers that lie beside each other hear the same, and then each other: between these, a PE need not keep what it heard.
    early = len(network.group_of(population)) > 1 and not projection.trace and phases == 1
    weights, window = projection.weights, tuple[int, ...]()
    if isinstance(weights, Convolution) and formats.keeps_kernel(request.format, weights):
        window = tuple(window_of(weights, _gate_rows(units, layer.units, gates)))
    shape = PortShape(
        rows=gates * len(units), gates=gates, source_units=source.units, nonzeros=nonzeros, lanes=request.lanes,
        trace=projection.trace > 0, weight=projection.weights.numeric, payload=source.payload, dense=source.dense,
        phases=phases, slots=times.slots(population, projection), window=window, early=early, trace_shift=projection.trace_shift,
    )  # fmt: skip
    return formats.laid_out(request.format, weights, _gate_rows(units, layer.units, gates), units, shape)


def share_sizes(network: Network, request: Request, share: Share) -> list[ShardSize]:
    """Return what the SRAM layout needs to know of a share."""
    sizes = []
    for population, units in share:
        layer, lengths, times = network.populations[population], row_lengths(network, request.format, population), schedule(network)
        ports = []
        for p, length in zip(layer.projections, lengths, strict=True):
            nonzeros = int(length[units].sum())
            shape = _port_shape(network, request, population, p, units=units, nonzeros=nonzeros)
            ports.append(PortSize(p.port, p.source, p.delay, shape))
        sizes.append(ShardSize(
            population=population, kernel=layer.kernel, format=request.format, units=len(units), lanes=request.lanes,
            ports=tuple(ports), payload=layer.payload, wait=times.wait(population), ticks=times.ticks[population],
            interval=times.interval,
        ))  # fmt: skip
    return sizes


def stored_weights(network: Network, request: Request, population: int, shares: Sequence[U32]) -> list[I64]:
    """Return, per projection of a population, how many weights each of these shares of its units stores, (shares,)."""
    sizes = [share_sizes(network, request, (UnitSet(population, units),))[0] for units in shares]
    columns = zip(*([formats.stored(request.format, port.shape) for port in size.ports] for size in sizes), strict=True)
    return [np.array(column, np.int64) for column in columns]


def plan_share(network: Network, request: Request, share: Share, who: str) -> list[Region]:
    """Return the SRAM regions of a share; SramOverflow, naming `who`, where it does not fit."""
    return plan(who, pe_fields(share_sizes(network, request, share)), request.size)


def layer_bytes(network: Network, request: Request, layer: int, suffix: str = "", roles: Sequence[str] = ("weights",)) -> int:
    """Return about how many bytes of these roles a layer has in all, in fields whose names end with `suffix`."""
    fields = pe_fields(share_sizes(network, request, (whole_layer(network, layer),)))
    return sum(field.size_bytes for field in fields if field.role in roles and field.name.endswith(suffix))


def check_room(network: Network, request: Request) -> None:
    """Raise HostError where the weights' values alone are more than all available PEs hold."""
    values = sum(layer_bytes(network, request, layer, ".values") for layer in network.layers)
    room = request.available * request.size.data_bytes
    if values > room:
        have = f"{request.available} PEs have {room:,} B of data memory"
        raise HostError(f"weights in format {request.format!r} need {values:,} B; {have}", Exit.DOES_NOT_FIT)


def all_fit(network: Network, request: Request, shares: Iterable[Share]) -> bool:
    """Tell whether every share fits a PE.

    No layout grows where a share has less of something, so a PE that holds the most of each count holds any; laying out each of
    thousands of shares is left to where this says no.
    """
    kinds: dict[tuple[int, ...], list[list[ShardSize]]] = {}
    for share in shares:
        kinds.setdefault(tuple(units.population for units in share), []).append(share_sizes(network, request, share))
    return all(
        _each_fits(request, [[_largest(column) for column in zip(*kind, strict=True)]]) or _each_fits(request, kind)
        for kind in kinds.values()
    )


def _largest(sizes: Sequence[ShardSize]) -> ShardSize:
    """Return the size of a shard that has the most units and, at each port, the most weights of any."""
    ports = []
    for n, port in enumerate(sizes[0].ports):
        shapes = [size.ports[n].shape for size in sizes]
        counts = {of: max(getattr(shape, of) for shape in shapes) for of in ("nonzeros", "blocks", "offset", "rows")}
        most = port.shape._replace(**counts)
        if most.window:
            most = most._replace(window=tuple(largest_window([KernelWindow(*shape.window) for shape in shapes])))
        ports.append(port._replace(shape=most))
    return sizes[0]._replace(units=max(size.units for size in sizes), ports=tuple(ports))


def _each_fits(request: Request, shares: Sequence[Sequence[ShardSize]]) -> bool:
    heaviest_first = sorted(shares, key=lambda sizes: -sum(port.shape.nonzeros for size in sizes for port in size.ports))
    try:
        for sizes in heaviest_first:
            plan("", pe_fields(sizes), request.size)
    except SramOverflow:
        return False
    return True


def cut(network: Network, request: Request, share: Share) -> list[Shard]:
    """Return the shards of a share with their weights in the format asked for."""
    form = formats.named(request.format)
    shards = []
    for population, units in share:
        layer = network.populations[population]
        kernel, times, ports = kernels.named(layer.kernel), schedule(network), []
        lengths = row_lengths(network, request.format, population)
        for projection, length in zip(layer.projections, lengths, strict=True):
            weights = projection.weights.take(_gate_rows(units, layer.units, kernel.PORTS[projection.port].rows))
            nonzeros = int(length[units].sum())
            shape = _port_shape(network, request, population, projection, units=units, nonzeros=nonzeros)
            weights = weights if shape.window else weights.to_rows()
            ports.append(ShardPort(
                name=projection.port, source=projection.source, delay=projection.delay, shape=shape,
                arrays=form.encode(weights, shape), trace=projection.trace,
            ))  # fmt: skip
        vectors = {n: layer.vectors[n][_gate_rows(units, layer.units, v.length)] for n, v in kernel.VECTORS.items()}
        shards.append(Shard(
            population=population, kernel=layer.kernel, format=request.format, width=layer.units, lanes=request.lanes,
            units=units, ports=tuple(ports), vectors=vectors, params=layer.params, payload=layer.payload,
            trigger=times.triggers[population], wait=times.wait(population), ticks=times.ticks[population],
            interval=times.interval,
        ))  # fmt: skip
    return shards


def _gate_rows(units: U32, width: int, gates: int) -> Array:
    return (np.arange(gates)[:, None] * width + units[None, :].astype(np.int64)).ravel()
