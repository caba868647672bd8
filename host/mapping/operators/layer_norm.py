"""A layer normalisation: a tile is some rows, of all samples; every worker has the factors and terms of the columns."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, float_word
from host.mapping.operators._pieces import pieces_of, read_piece, write_piece
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_TABLE, C_FLOATS


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return {**layer.step_words(), C_FLOATS: float_word(layer.operation.arrays["epsilon"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    (piece,) = pieces_of(layer, number)
    block, arrays = TileBlock(number), layer.operation.arrays
    output = block.region(piece.size)
    columns = np.concatenate([arrays["gamma"], arrays["beta"]]).astype("<f4")
    address = layer.store((layer.name, "columns"), columns.tobytes)
    block.set(B_TABLE, block.read_constant(address, columns.nbytes, stays=layer.stays))
    block.set(B_INPUT, read_piece(block, layer, layer.inputs[0], piece))
    block.set(B_OUTPUT, output)
    block.dims(piece.rows, piece.width)
    write_piece(block, layer, output, piece)
    return [block]
