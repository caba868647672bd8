"""Compile what the shards of a run need, before their processes ask for it all at once.

Formats and neuron models declare what most runs use when they are loaded. The rest (integers, spikes, dense sections, ports
that are added up) is compiled where it is first bound: a host that does so before it loads its PEs leaves it in the cache on
disk for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module

import numpy as np

from models import formats, kernels
from models.compute.compiling import compile_callbacks
from models.compute.sums import adding
from models.network import Array
from models.nibbles import nibble_bytes
from models.numerics import SUMS, sum_of
from models.shard import PortShape
from pe.layout import ShardSize, pe_fields, place_ports, prefix


def compile_ahead(shards: Iterable[ShardSize], params: Mapping[int, Mapping[str, float]] | None = None) -> None:
    """Compile, or find in the cache, what shards of these sizes call: at their ports, and at their steps, of each population whose
    parameters `params` has.
    """
    seen, stepped = set(), set()
    for shard in shards:
        kernels.named(shard.kernel)
        if kernels.transfers_of(shard.kernel) is not None:
            import_module("pe.exchange")
            import_module("pe.compiled_exchange")  # the router's
        if params and shard.population not in stepped:
            stepped.add(shard.population)
            _compile_step(shard, params[shard.population])
        for port, place in zip(shard.ports, place_ports(shard), strict=True):
            fields = formats.named(shard.format).fields(port.shape)
            blocks = port.shape.blocks  # of these, and of weights, shards have any number
            stored = port.shape.nonzeros, nibble_bytes(port.shape.nonzeros)
            any_number = {(stored[0],), (stored[1],), *(field.shape for field in fields if blocks and field.shape[0] == blocks)}
            arrays = tuple((field.dtype, field.shape if field.shape not in any_number else ()) for field in fields)
            key = shard.format, arrays, port.shape._replace(nonzeros=0, blocks=0, offset=0), place.adds
            if key not in seen:
                seen.add(key)
                _compile_port(shard.format, port.shape, place.adds)
    compile_callbacks()


def _compile_step(shard: ShardSize, params: Mapping[str, float]) -> None:
    kernel, head = kernels.named(shard.kernel), prefix(shard.population)
    mem = {field.name.removeprefix(head): np.zeros(field.shape, field.dtype) for field in pe_fields([shard])}
    mem["counts"] = mem["ledger"][1 : 1 + len(kernel.COUNTS)]
    kernel.stepper(mem, 1, {**kernel.DEFAULTS, **params})


def _compile_port(name: str, shape: PortShape, adds: bool) -> None:
    mem = _arrays(name, shape)
    formats.named(name).port(mem, shape, trace=0.5 if shape.trace else 0.0)
    if adds:
        adding(mem["sums"], mem["sums"], first=True)
        adding(mem["sums"], mem["sums"], first=False)


def _arrays(name: str, shape: PortShape) -> Mapping[str, Array]:
    """Return arrays as a port of this shape has them, with nothing in them."""
    mem: dict[str, Array] = {field.name: np.zeros(field.shape, field.dtype) for field in formats.named(name).fields(shape)}
    mem["sums"] = np.zeros((shape.lanes, shape.rows), SUMS[sum_of(shape.weight, shape.payload)])
    mem["counts"] = np.zeros((shape.lanes, 2), np.uint32)
    return mem
