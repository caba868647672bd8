"""Rows of a table by their indices: a tile is some rows of the output; a table that no worker has room for comes part by part."""

from __future__ import annotations

from functools import partial

import numpy as np

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators._pieces import pieces_of, write_piece
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_ADD, B_INPUT, B_OUTPUT, B_TABLE
from models.network import Array

INDEX_BYTES = 4
_MOST_TABLE_BYTES = 40 << 10


def configuration(layer: LayerTiles) -> dict[int, int]:  # noqa: ARG001 - the contract's arguments
    """Return no words."""
    return {}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`, one a part of the table: each copies the rows that lie in its part."""
    (piece,) = pieces_of(layer, number)
    table, made = layer.operation.arrays["weights"], []
    each = max(1, _MOST_TABLE_BYTES // piece.width)
    for begin in range(0, len(table), each):
        block, rows = TileBlock(number), table[begin : begin + each]
        output = block.region(piece.size)  # first: where the part before left it
        first = piece.first // piece.width
        block.set(B_INPUT, block.read_numbers(layer.inputs[0], INDEX_BYTES * first, INDEX_BYTES * piece.rows))
        address = layer.store((layer.name, "rows", begin), partial(_bytes_of, rows))
        block.set(B_TABLE, block.read_constant(address, rows.size, stays=layer.stays))
        block.set(B_OUTPUT, output)
        block.set(B_ADD, int(begin > 0))
        block.dims(piece.rows, piece.width, begin, len(rows), len(table))
        if begin + each >= len(table):
            write_piece(block, layer, output, piece)
        made.append(block)
    return made


def _bytes_of(rows: Array) -> bytes:
    return np.ascontiguousarray(rows, np.int8).tobytes()
