"""Which arrays a PE keeps in its SRAM for a set of shards, for the host's mapping and the PE itself.

It follows from counts alone, so a mapping can be judged before anything is cut or encoded. The order of the list is the
order in memory; `pe/sram.py` turns it into addresses or an overflow.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from models import formats, kernels
from models.network import Field, Shard

FIFO_EVENTS = 256  # 2 KiB: with csr it fits behind the program beside two dense vectors of the paper's model


class PortSize(NamedTuple):
    """What the layout needs to know of a shard's port; `trace`: whether it keeps one."""

    name: str
    source_units: int
    nonzeros: int
    trace: bool


class ShardSize(NamedTuple):
    """What the layout needs to know of a shard."""

    population: int
    kernel: str
    format: str
    units: int
    lanes: int
    ports: tuple[PortSize, ...]


def size_of(shard: Shard) -> ShardSize:
    """Return the size of a shard that has been cut."""
    ports = tuple(PortSize(port.name, port.source_units, port.nonzeros, port.trace > 0) for port in shard.ports)
    return ShardSize(
        population=shard.population, kernel=shard.kernel, format=shard.format, units=len(shard.units),
        lanes=shard.lanes, ports=ports,
    )  # fmt: skip


def prefix(population: int) -> str:
    """Return what the names of a population's regions begin with on a PE."""
    return f"{population}."


def pe_fields(shards: Iterable[ShardSize]) -> list[Field]:
    """Return every array of a PE that runs `shards`: theirs, then the event FIFO they share."""
    fields = [item for shard in shards for item in _shard_fields(shard)]
    fields.append(Field("fifo.keys", (FIFO_EVENTS,), "<u4", "variables", "event key", scratch=True))
    fields.append(Field("fifo.values", (FIFO_EVENTS,), "<f4", "variables", "event value", scratch=True))
    return fields


def _shard_fields(shard: ShardSize) -> list[Field]:
    kernel, form = kernels.named(shard.kernel), formats.named(shard.format)
    head = prefix(shard.population)
    fields = [
        _named(item, f"{head}{port.name}.{item.name}")
        for port in shard.ports
        for item in form.fields(kernel.GATES * shard.units, port.source_units, port.nonzeros, shard.lanes, port.trace)
    ]
    fields += [Field(head + name, (length * shard.units,), "<f4", "variables") for name, length in kernel.VECTORS.items()]
    fields.append(Field(f"{head}units", (shard.units,), "<u4", "variables", "checkpoint index"))
    return fields + [_named(item, head + item.name) for item in kernel.fields(shard.units, shard.lanes)]


def _named(item: Field, name: str) -> Field:
    # `dataclasses.replace` takes three times as long, and a board of chips has a quarter of a million fields.
    return Field(name, item.shape, item.dtype, item.role, item.unit, item.scratch)
