"""Operators that compute nothing: a tile is some rows of the output, whose numbers are read where they lie and moved into order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators._pieces import Piece, pieces_of, write_piece
from host.mapping.scattered_numbers import NOTHING, move_scattered, read_scattered
from host.mapping.tile_block import MOST_BLOCK_BYTES, TileBlock
from models.dnn.program import ALIGNMENT_BYTES, B_INPUT
from models.network import I64
from models.operators._elements import MOST_UNIT_BYTES

Sources = Callable[[Sequence[I64], Mapping[str, Any]], I64]
"""(a number for each element of each input, attributes) -> which of them each element of the output is; NOTHING for none."""


def move_blocks(layer: LayerTiles, number: int, sources: Sources, filling: int = 0) -> list[TileBlock]:
    """Return the blocks of tile `number`: one, or several of parts of its rows, where numbers lie so far apart that a worker has no
    room for what lies between. `filling` is what lies where a source is NOTHING.
    """
    attributes = tuple(sorted(layer.operation.attributes.items()))
    whole = _sources(sources, tuple(place.shape for place in layer.inputs), attributes)
    made, left = list[TileBlock](), pieces_of(layer, number)[::-1]
    while left:
        piece = left.pop()
        block = _block(layer, number, piece, whole, filling)
        if piece.width > ALIGNMENT_BYTES and (block.end > MOST_UNIT_BYTES or block.size_bytes > MOST_BLOCK_BYTES):
            left += piece.halves(ALIGNMENT_BYTES)[::-1]
        else:
            made.append(block)
    return made


def _block(layer: LayerTiles, number: int, piece: Piece, whole: I64, filling: int) -> TileBlock:
    block = TileBlock(number)
    output = block.region(piece.size)
    sample, within = np.divmod(piece.numbers, layer.output.size)
    elements, begin = whole[within], 0
    sources = np.full(piece.size, NOTHING, np.int64)
    for place in layer.inputs:  # elements are numbered over all inputs
        own = np.flatnonzero((elements >= begin) & (elements < begin + place.size))
        sources[own] = read_scattered(block, place, sample[own] * place.size + elements[own] - begin)
        begin += place.size
    if (sources == NOTHING).any():
        block.fill(output, piece.size, filling)
    move_scattered(block, sources, output)
    block.set(B_INPUT, output)
    block.dims(piece.size)
    write_piece(block, layer, output, piece)
    return block


@lru_cache(maxsize=4)
def _sources(sources: Sources, shapes: tuple[tuple[int, ...], ...], attributes: tuple[tuple[str, Any], ...]) -> I64:
    """Return the sources of a sample's output, flat."""
    numbers, begin = [], 0
    for shape in shapes:
        size = int(np.prod(shape))
        numbers.append(np.arange(begin, begin + size).reshape(shape))
        begin += size
    return np.ascontiguousarray(sources(numbers, dict(attributes))).reshape(-1)
