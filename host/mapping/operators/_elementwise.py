"""Elements of two things that arrive: a tile is some rows of the output, of all samples; what is smaller is repeated."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair
from host.mapping.operators._pieces import pieces_of, read_piece, write_piece
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_RIGHT, C_OFFSETS


def element_words(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return {**layer.step_words(), **pair(C_OFFSETS, layer.operation.attributes["offsets"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`: one, or one a strip."""
    made = []
    for piece in pieces_of(layer, number):
        block = TileBlock(number)
        output = block.region(piece.size)
        layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
        for word, place in zip((B_INPUT, B_RIGHT), layer.inputs, strict=True):
            block.set(word, read_piece(block, layer, place, piece))
        block.set(B_OUTPUT, output)
        block.dims(piece.size)
        write_piece(block, layer, output, piece)
        made.append(block)
    return made
