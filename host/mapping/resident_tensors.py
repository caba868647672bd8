"""Tensors that stay in SRAM: whoever makes a part of one hands it to the workers whose tiles will read it, layers ahead.

There it lies until the last of these layers is through; DRAM only has what an observer sees. A tensor stays where all of its
readers have room for their parts of it from the layer that makes it on, and where what comes at a time fits an inbox.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

from host.mapping.dnn_tensors import TensorPlace
from host.mapping.image_layer import MOST_LAYERS_APART, ImageLayer, counter_of
from host.mapping.tile_block import MOST_BLOCK_BYTES, RESIDENT, Hand, Move, Stretch, TileBlock
from models.dnn.program import aligned
from models.kernels.sharing_worker import MOST_HANDED

Fits = Callable[[Sequence[ImageLayer], int], bool]
"""(layers, bytes that tensors take on the fullest worker) -> whether all of it fits a worker."""


_Unit = tuple[tuple[int, int, int], ...]
"""Stretches that lie together: address, bytes, and how far from the first."""


class _Part(NamedTuple):
    """Bytes of a tensor that a worker's tiles of a layer will read, and where they lie until then."""

    address: int
    size_bytes: int
    place: int
    worker: int
    layer: int


class _Lived(NamedTuple):
    """Bytes of a worker's memory that are taken from one layer to another."""

    offset: int
    size_bytes: int
    first: int
    last: int


def keep_tensors(
    layers: Sequence[ImageLayer], outputs: Sequence[TensorPlace], workers: int, fits: Fits
) -> tuple[list[ImageLayer], int]:
    """Return the layers with as many tensors in SRAM as fit, and the bytes that they take on the fullest worker. `outputs`: where
    what the network says lies, which is written to DRAM.
    """
    made, rooms = list(layers), [list[_Lived]() for _ in range(workers)]
    for number in range(len(layers)):
        place = made[number].tiles.output
        if any(_overlap(place, output) for output in outputs):
            continue
        trial_rooms = [list(room) for room in rooms]
        trial = _with_tensor(made, number, trial_rooms)
        if trial is not None and fits(trial, _taken(trial_rooms)):
            made, rooms = trial, trial_rooms
    return made, _taken(rooms)


def _taken(rooms: Sequence[Sequence[_Lived]]) -> int:
    return max((one.offset + one.size_bytes for room in rooms for one in room), default=0)


def _span(place: TensorPlace) -> tuple[int, int]:
    return place.address, place.address + place.samples * place.sample_bytes


def _overlap(one: TensorPlace, other: TensorPlace) -> bool:
    (begin, end), (other_begin, other_end) = _span(one), _span(other)
    return begin < other_end and other_begin < end


def _with_tensor(layers: Sequence[ImageLayer], maker: int, rooms: Sequence[list[_Lived]]) -> list[ImageLayer] | None:
    """Return the layers with what layer `maker` makes in SRAM; None where that does not go, or nobody reads it."""
    begin, end = _span(layers[maker].tiles.output)
    readers = [number for number in range(maker + 1, len(layers)) if _reads(layers[number], begin, end)]
    if not readers or readers[-1] - maker > MOST_LAYERS_APART:
        return None
    made, parts = list(layers), list[_Part]()
    for number in readers:
        blocks = []
        for worker, of_worker in enumerate(layers[number].blocks):
            mine: dict[_Unit, int] = {}
            readings = [_reader(block, (begin, end), (maker, number), rooms[worker], mine) for block in of_worker]
            if None in readings:
                return None
            blocks.append([block for block in readings if block is not None])
            parts += [
                _Part(address, size, place + offset, worker, number)
                for unit, place in mine.items()
                for address, size, offset in unit
            ]
        made[number] = replace(layers[number], blocks=blocks)
    sent: dict[tuple[int, int], int] = defaultdict(int)  # by reading layer and worker: how many stretches come
    by_address = sorted(parts)
    blocks = [
        [_maker(block, worker, by_address, sent) for block in of_worker] for worker, of_worker in enumerate(made[maker].blocks)
    ]
    made[maker] = replace(made[maker], blocks=blocks)
    by_worker: dict[int, int] = defaultdict(int)
    for (number, worker), count in sent.items():
        first = made[number].blocks[worker][0]
        first.received, first.counter = first.received + count, counter_of(number, 0) or 0
        by_worker[worker] += count
    too_large = any(block.size_bytes > MOST_BLOCK_BYTES for of_worker in blocks for block in of_worker)
    return None if too_large or max(by_worker.values(), default=0) > MOST_HANDED else made


def _reads(layer: ImageLayer, begin: int, end: int) -> bool:
    return any(_is_part(one, begin, end) for of_worker in layer.blocks for block in of_worker for one in block.reads)


def _is_part(one: Stretch, begin: int, end: int) -> bool:
    return one.of_pass and begin <= one.address < end


def _reader(
    block: TileBlock, span: tuple[int, int], lives: tuple[int, int], room: list[_Lived], mine: dict[_Unit, int]
) -> TileBlock | None:
    """Return a reading tile's block without its reads of the tensor, whose bytes lie where `mine` says; None where they lie
    together with something else.
    """
    units: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    for one in block.reads:
        if _is_part(one, *span):
            begin, end = block.unit_of(one.at)
            units[begin, end].append((one.address, one.size_bytes, one.at - begin))
    places: dict[int, int] = {}
    for (begin, end), unit in units.items():
        if sum(aligned(size) for _, size, _ in unit) != end - begin:
            return None
        if tuple(unit) not in mine:
            mine[tuple(unit)] = RESIDENT + _take_room(room, end - begin, lives)
        places[begin] = mine[tuple(unit)]
    made = block.moved(places)
    made.reads = [one for one in made.reads if not _is_part(one, *span)]
    return made


def _take_room(room: list[_Lived], size: int, lives: tuple[int, int]) -> int:
    """Take the first bytes of a worker's memory that nothing else has in these layers."""
    first, last = lives
    offset = 0
    for one in sorted(room):
        if one.first <= last and first <= one.last and one.offset < offset + size and offset < one.offset + one.size_bytes:
            offset = one.offset + one.size_bytes
    room.append(_Lived(offset, size, first, last))
    return offset


def _maker(block: TileBlock, worker: int, parts: Sequence[_Part], sent: dict[tuple[int, int], int]) -> TileBlock:
    """Return a making tile's block that hands its output to those who will read it; count who gets how many stretches."""
    made = block.moved({})
    longest = max(part.size_bytes for part in parts)
    for write in made.writes:
        low = bisect_left(parts, (write.address - longest,))
        high = bisect_right(parts, (write.address + write.size_bytes,))
        for part in parts[low:high]:
            begin = max(part.address, write.address)
            size = min(part.address + part.size_bytes, write.address + write.size_bytes) - begin
            if size <= 0:
                continue
            start, to = write.at + begin - write.address, part.place + begin - part.address
            if part.worker == worker:
                made.out_moves.append(Move(start, to, 1, 1, size))
                continue
            counter = counter_of(part.layer, 0) or 0
            made.out_hands.append(Hand(start, size, to, part.worker, counter))
            sent[part.layer, part.worker] += 1
    made.writes = [write._replace(is_probed=True) for write in made.writes]
    return made
