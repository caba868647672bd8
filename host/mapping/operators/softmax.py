"""A softmax: a tile is some rows, of all samples; a mask lies in DRAM once, and a tile has its rows of it."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, float_word
from host.mapping.operators._pieces import Piece, pieces_of, read_piece, write_piece
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_MASK, B_OUTPUT, B_TABLE, C_FLOATS


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return {**layer.step_words(), C_FLOATS: float_word(layer.operation.arrays["factor"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    (piece,) = pieces_of(layer, number)
    block, table = TileBlock(number), layer.operation.arrays["table"]
    output = block.region(piece.size)
    address = layer.store((layer.name, "table"), lambda: table.astype("<u4").tobytes())
    block.set(B_TABLE, block.read_constant(address, 4 * table.size, stays=layer.stays))
    mask, rows = _read_mask(block, layer, piece)
    block.set(B_MASK, mask)
    block.set(B_INPUT, read_piece(block, layer, layer.inputs[0], piece))
    block.set(B_OUTPUT, output)
    block.dims(piece.rows, piece.width, rows)
    write_piece(block, layer, output, piece)
    return [block]


def _read_mask(block: TileBlock, layer: LayerTiles, piece: Piece) -> tuple[int, int]:
    """Read the rows of the mask that the rows of a piece have in turn; return where they lie, and how many they are."""
    mask = layer.operation.arrays.get("mask")
    if mask is None:
        at = block.region(piece.width)
        block.fill(at, piece.width, 1)
        return at, 1
    first, rows = piece.first // piece.width % len(mask), min(piece.rows, len(mask))
    if piece.width % 16 == 0 and first + rows <= len(mask):
        address = layer.store((layer.name, "mask"), mask.tobytes) + first * piece.width
    else:
        own = mask[(first + np.arange(rows)) % len(mask)]
        address = layer.store((layer.name, "mask", first, rows), own.tobytes)
    return block.read_constant(address, rows * piece.width, stays=layer.stays), rows
