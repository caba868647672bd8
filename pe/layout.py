"""Which arrays a PE keeps in its SRAM for a set of shards, for the host's mapping and the PE itself.

It follows from counts alone, so a mapping can be judged before anything is cut or encoded. The order of the list is the
order in memory; `pe/sram.py` turns it into addresses or an overflow.

A projection's accumulators are its port's sums, where it is alone and the port holds one position. Where it holds several, or
shares the port, they are a ring of `slots`, and the port's sums are added up from them when the shard steps. A format that
looks events up in a `vector` keeps a ring of those instead, if that takes less. Ports whose products are made `early` share
one vector on their PE, `heard`: it holds one section at a time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from models import formats, kernels
from models.network import Field
from models.numerics import PAYLOADS, SUMS, payload_bytes, sum_of
from models.shard import PortShape, Shard
from models.transfers import EXCHANGED_WORDS, TRANSFER_WORDS

HEARD = "heard"  # the vector that early ports share
FIFO_EVENTS = 256  # 2 KiB: with csr it fits behind the program beside two dense vectors of the paper's model
HEADER_WORDS = 3  # of a section that is still to come: tick, flags, position; then the bits of its lanes


class PortSize(NamedTuple):
    """What the layout needs to know of a shard's port: which it is, what it hears and how late, and its shape."""

    name: str
    source: int
    delay: int
    shape: PortShape


class ShardSize(NamedTuple):
    """What the layout needs to know of a shard."""

    population: int
    kernel: str
    format: str
    units: int
    lanes: int
    ports: tuple[PortSize, ...]
    payload: str = "float32"
    wait: int = 0
    ticks: int = 1
    interval: int = 1


def size_of(shard: Shard) -> ShardSize:
    """Return the size of a shard that has been cut."""
    ports = tuple(PortSize(port.name, port.source, port.delay, port.shape) for port in shard.ports)
    return ShardSize(
        population=shard.population, kernel=shard.kernel, format=shard.format, units=len(shard.units), lanes=shard.lanes,
        ports=ports, payload=shard.payload, wait=shard.wait, ticks=shard.ticks, interval=shard.interval,
    )  # fmt: skip


class PortPlace(NamedTuple):
    """Where a projection keeps what it hears: what its arrays' names begin with, and those of its accumulators and counts.

    `adds`: whether the port's sums are added up from the accumulators, of which there are `rings` slots; `vectors` slots of what it
    heard instead.
    """

    head: str
    sums: str
    adds: bool
    rings: int
    vectors: int


def place_ports(shard: ShardSize) -> list[PortPlace]:
    """Return where each projection of a shard keeps what it hears."""
    places = []
    for port in shard.ports:
        name, shape = f"{prefix(shard.population)}{port.name}", port.shape
        shared = sum(other.name == port.name for other in shard.ports) > 1
        head = f"{name}.{port.source}" + (f"@{port.delay}" if port.delay else "") if shared else name
        fields = formats.named(shard.format).fields(shape)
        vector_bytes = 0 if shape.early else sum(item.size_bytes for item in fields if item.name == "vector")
        slot_bytes = shape.lanes * shape.rows * 4
        by_vector = bool(vector_bytes) and shape.phases == 1 and (vector_bytes - slot_bytes) * (shape.slots - 1) <= 0
        rings, vectors = (1, shape.slots) if by_vector else (shape.slots, 1)
        adds = shared or rings > 1
        sums = f"{head}.slots" if adds else f"{name}.sums"
        places.append(PortPlace(head=head, sums=sums, adds=adds, rings=rings, vectors=vectors))
    return places


def prefix(population: int) -> str:
    """Return what the names of a population's regions begin with on a PE."""
    return f"{population}."


def mask_bytes(lanes: int) -> int:
    """Return the bytes of a set of lanes, a bit each."""
    return -(-lanes // 8)


def pe_fields(shards: Iterable[ShardSize]) -> list[Field]:
    """Return every array of a PE that runs `shards`: theirs, then the event FIFO they share."""
    shards = list(shards)
    fields = [item for shard in shards for item in _shard_fields(shard)]
    if heard_bytes := max((_heard_bytes(shard, port) for shard in shards for port in shard.ports), default=0):
        fields.append(Field(HEARD, (heard_bytes,), "|u1", "variables", "events of a section", scratch=True))
    payloads = {port.shape.payload for shard in shards for port in shard.ports}
    widest = max(payloads, key=payload_bytes, default="float32")
    if any(not port.shape.dense for shard in shards for port in shard.ports):
        fields.append(Field("fifo.keys", (FIFO_EVENTS,), "<u4", "variables", "event key", scratch=True))
    if payload_bytes(widest):
        fields.append(Field("fifo.values", (FIFO_EVENTS,), PAYLOADS[widest], "variables", "event value", scratch=True))
    return fields


def heard_field(form: str, shape: PortShape) -> Field | None:
    """Return the vector in which a port in format `form` looks up what it heard, if it is one that its PE's early ports share."""
    return next((item for item in formats.named(form).fields(shape) if item.name == "vector"), None) if shape.early else None


def _heard_bytes(shard: ShardSize, port: PortSize) -> int:
    vector = heard_field(shard.format, port.shape)
    return vector.size_bytes if vector else 0


def _shard_fields(shard: ShardSize) -> list[Field]:
    kernel, form = kernels.named(shard.kernel), formats.named(shard.format)
    head, lanes, fields = prefix(shard.population), shard.lanes, []
    ports = list(zip(shard.ports, place_ports(shard), strict=True))
    for port, place in ports:
        rows, slots = port.shape.rows, place.rings
        for item in form.fields(port.shape):
            if port.shape.early and item.name == "vector":
                continue
            several = place.vectors if item.name == "vector" else 1
            fields.append(_named(item, f"{place.head}.{item.name}", several))
        sums = SUMS[sum_of(port.shape.weight, port.shape.payload)]
        fields.append(Field(place.sums, (slots * lanes, rows), sums, "variables", "pre-activation"))
        fields.append(Field(f"{place.head}.counts", (slots * lanes, 2), "<u4", "variables", "MACs, weights visited"))
    for name in dict.fromkeys(port.name for port, place in ports if place.adds):
        shape = next(port.shape for port in shard.ports if port.name == name)
        sums = SUMS[sum_of(shape.weight, shape.payload)]
        fields.append(Field(f"{head}{name}.sums", (lanes, shape.rows), sums, "variables", "pre-activation"))
    for name, vector in kernel.VECTORS.items():
        fields.append(Field(head + name, (vector.length * shard.units,), vector.dtype, "variables"))
    fields.append(Field(f"{head}units", (shard.units,), "<u4", "variables", "checkpoint index"))
    fields += [_named(item, head + item.name) for item in kernel.fields(shard.units, lanes)]
    words = 1 + len(kernel.COUNTS) + 2 * len(shard.ports)
    fields.append(Field(f"{head}ledger", (words,), "<u4", "variables", "counts of the last step"))
    if not kernels.is_dense(shard.kernel):
        fields.append(Field(f"{head}send_keys", (lanes * shard.units,), "<u4", "variables", "event key"))
    if payload_bytes(shard.payload):
        fields.append(Field(f"{head}send_values", (lanes * shard.units,), PAYLOADS[shard.payload], "variables", "event value"))
    return fields + _waiting_fields(shard, head) + _transfer_fields(shard.kernel, head)


def _transfer_fields(kernel: str, head: str) -> list[Field]:
    """Return the boxes of a shard that exchanges transfers, and what it knows of its peers."""
    spec = kernels.transfers_of(kernel)
    if spec is None:
        return []
    fields = [
        Field(f"{head}peers", (spec.most_peers,), "<u4", "variables", "population of a peer"),
        Field(f"{head}exchanged", (spec.most_peers, EXCHANGED_WORDS), "<u4", "variables", "transfers and bytes to a peer"),
    ]
    if counts := kernels.exchange_counts_of(kernel):
        fields.append(Field(f"{head}exchange_counts", (len(counts),), "<u4", "variables", "counts of all exchanges"))
    for box, most, size in (("inbox", spec.most_in, spec.bytes_in), ("outbox", spec.most_out, spec.bytes_out)):
        fields.append(Field(f"{head}{box}", (most, TRANSFER_WORDS), "<u4", "variables", "transfer", scratch=True))
        if not spec.memory:
            fields.append(Field(f"{head}{box}_data", (size,), "|u1", "variables", "bytes of transfers", scratch=True))
    return fields


def _waiting_fields(shard: ShardSize, head: str) -> list[Field]:
    """Return what a shard keeps of sections that are still to come, and of where its sequences began."""
    fields = []
    if shard.wait or shard.ticks > 1:
        rows = headers_of(shard.wait, shard.ticks, shard.interval)
        words = HEADER_WORDS + -(-3 * mask_bytes(shard.lanes) // 8)
        fields.append(Field(f"{head}headers", (rows, words), "<i8", "variables", "sections to come"))
    if max((port.delay for port in shard.ports), default=0) > 1:
        fields.append(Field(f"{head}marks", (shard.lanes,), "<i8", "variables", "position at which the sequence began"))
    return fields


def headers_of(wait: int, ticks: int, interval: int) -> int:
    """Return how many sections a shard may have to come at a time, that of its present position included."""
    return (wait + ticks - 1) // interval + 1


def _named(item: Field, name: str, several: int = 1) -> Field:
    # `dataclasses.replace` takes three times as long, and a board of chips has a quarter of a million fields.
    shape = (several * item.shape[0], *item.shape[1:]) if several > 1 else item.shape
    return Field(name, shape, item.dtype, item.role, item.unit, item.scratch)
