"""A table: a tile is some rows of the output, of all samples; with a table a channel, a block has rows of whole ones, or of one."""

from __future__ import annotations

import math

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators._pieces import Piece, pieces_of, read_piece, write_piece
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_TABLE

_ENTRIES = 256


def configuration(layer: LayerTiles) -> dict[int, int]:  # noqa: ARG001 - the contract's arguments
    """Return no words."""
    return {}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`: one, or one a strip, or a run of channels."""
    table = layer.operation.arrays["table"]
    if table.ndim == 1:
        return [_block(layer, number, piece, (0, 1), (1, 1, piece.size)) for piece in pieces_of(layer, number)]
    shape, made = layer.output.shape, []
    if len(shape) == 2:  # a row has a number of each channel
        for piece in pieces_of(layer, number):
            made.append(_block(layer, number, piece, (piece.first % shape[1], piece.width), (piece.rows, piece.width, 1)))
        return made
    each = math.prod(shape[2:])  # numbers of a channel
    for piece in pieces_of(layer, number):
        first, end = piece.first, piece.first + piece.size
        while first < end:
            size = min(end, -(-(first + 1) // each) * each) - first
            channel = first // each % len(table)
            if first % each == 0 and size == each:
                size = min((end - first) // each, len(table) - channel) * each
            tables = max(1, size // each)
            own = Piece(first, size // piece.width, piece.width)
            made.append(_block(layer, number, own, (channel, tables), (1, tables, size // tables)))
            first += size
    return made


def _block(
    layer: LayerTiles, number: int, piece: Piece, tables: tuple[int, int], dims: tuple[int, int, int]
) -> TileBlock:  # fmt: skip
    block, (first, count) = TileBlock(number), tables
    output = block.region(piece.size)
    address = layer.store((layer.name, "table"), layer.operation.arrays["table"].tobytes)
    at = block.read_constant(address + _ENTRIES * first, _ENTRIES * count, stays=layer.stays)
    block.set(B_TABLE, at)
    block.set(B_INPUT, read_piece(block, layer, layer.inputs[0], piece))
    block.set(B_OUTPUT, output)
    block.dims(*dims)
    write_piece(block, layer, output, piece)
    return block
