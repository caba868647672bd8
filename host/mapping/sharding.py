"""Cutting a network into shards: the weights and vectors of a share's units, as its PE is loaded with them."""

from __future__ import annotations

import numpy as np

from host.mapping.request import Request, Share
from models import formats, kernels
from models.network import U32, Array, Network, Shard, ShardPort


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
            ports.append(
                ShardPort(
                    name=projection.port,
                    source=projection.source,
                    source_units=source_units,
                    nonzeros=weights.nonzeros,
                    arrays=form.encode(weights),
                    trace=projection.trace,
                )
            )
        vectors = {name: layer.vectors[name][_gate_rows(units, layer.units, n)] for name, n in kernel.VECTORS.items()}
        shards.append(
            Shard(
                population=population, kernel=layer.kernel, format=request.format, width=layer.units, lanes=request.lanes,
                units=units, ports=tuple(ports), vectors=vectors, params=layer.params,
            )
        )  # fmt: skip
    return shards


def _gate_rows(units: U32, width: int, gates: int) -> Array:
    return (np.arange(gates)[:, None] * width + units[None, :]).ravel()
