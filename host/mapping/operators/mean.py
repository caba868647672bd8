"""A mean over axes: a tile is some means; numbers of a mean that lie apart are brought together."""

from __future__ import annotations

import math

import numpy as np

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators._pieces import Piece, pieces_of, write_piece
from host.mapping.scattered_numbers import read_in_order
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_SUMS, C_OFFSETS


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return {**layer.step_words(), C_OFFSETS: int(layer.operation.attributes["offset"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    (piece,), block = pieces_of(layer, number), TileBlock(number)
    layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
    output = block.region(piece.size)
    block.set(B_SUMS, block.region(8 * piece.size))
    block.set(B_INPUT, _read(block, layer, piece))
    block.set(B_OUTPUT, output)
    block.dims(piece.size, layer.inputs[0].size // layer.output.size)
    write_piece(block, layer, output, piece)
    return [block]


def _read(block: TileBlock, layer: LayerTiles, piece: Piece) -> int:
    """Read the numbers of a piece's means, those of a mean one behind the other; return where they lie."""
    x = layer.inputs[0]
    rank = len(x.shape)
    axes = sorted(axis % rank for axis in layer.operation.attributes["axes"])
    each = math.prod(x.shape[axis] for axis in axes)
    if axes == list(range(rank - len(axes), rank)):
        return block.read_numbers(x, piece.first * each, piece.size * each)
    order = [axis for axis in range(rank) if axis not in axes] + axes
    numbers = np.arange(x.size).reshape(x.shape).transpose(order).reshape(-1, each)
    sample, within = np.divmod(np.arange(piece.first, piece.first + piece.size), layer.output.size)
    return read_in_order(block, x, (sample[:, None] * x.size + numbers[within]).reshape(-1))
