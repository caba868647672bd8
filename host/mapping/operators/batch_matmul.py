"""A product of two things that arrive: a tile is rows by columns of one of the output's matrices, of all samples'."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair, pieces, span
from host.mapping.scattered_numbers import read_matrix
from host.mapping.tile_block import TileBlock
from models.dnn.program import (
    B_ADD,
    B_INPUT,
    B_LAST,
    B_OUTPUT,
    B_RIGHT,
    B_SUMS,
    C_FLAGS,
    C_OFFSETS,
    CUT_DEPTH,
    MULTIPLIED,
)
from models.dnn.tiles import MatmulTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    tiling = layer.tiling
    assert isinstance(tiling, MatmulTiling)
    flags = MULTIPLIED * tiling.work.multiplied | CUT_DEPTH * (tiling.parts > 1)
    return {**layer.step_words(), **pair(C_OFFSETS, layer.operation.attributes["offsets"]), C_FLAGS: flags}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`, one a part of the depth."""
    tiling = layer.tiling
    assert isinstance(tiling, MatmulTiling)
    parts = pieces(tiling.work.depth, tiling.depth)
    return [part(layer, number, n, first=n == 0, last=n == parts - 1) for n in range(parts)]


def part(layer: LayerTiles, number: int, which: int, *, first: bool, last: bool) -> TileBlock:
    """Return the block of a part of the depth; one behind the last part ends with sums that are there."""
    tiling = layer.tiling
    assert isinstance(tiling, MatmulTiling)
    work, (x, y) = tiling.work, layer.inputs
    cuts = work.batches, pieces(work.rows, tiling.rows), pieces(work.columns, tiling.columns)
    matrix, *at = (int(n) for n in np.unravel_index(number, cuts))
    top, rows = span(at[0], tiling.rows, work.rows)
    left, columns = span(at[1], tiling.columns, work.columns)
    begin, depth = span(which, tiling.depth, work.depth) if which * tiling.depth < work.depth else (work.depth, 0)
    block = TileBlock(number * tiling.parts + min(which, tiling.parts - 1))
    sums, output = block.region(4 * rows * columns), block.region(rows * columns)  # first: where the part before left them
    layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
    if depth:
        at_left, at_right = (matrix * work.rows + top) * work.depth + begin, (matrix * work.depth + begin) * work.columns + left
        block.set(B_INPUT, read_matrix(block, x, at_left, rows, work.depth, depth))
        block.set(B_RIGHT, read_matrix(block, y, at_right, depth, work.columns, columns))
    block.set(B_SUMS, sums)
    block.set(B_OUTPUT, output)
    block.set(B_ADD, int(not first))
    block.set(B_LAST, int(last))
    block.dims(rows, depth, columns)
    if last:
        start = (matrix * work.rows + top) * work.columns + left
        block.write_rows(layer.output, output, first=start, groups=1, rows=rows, width=columns, group_numbers=0)
    return block
