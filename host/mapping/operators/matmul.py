"""A matrix product by weights: a tile is rows by columns of the output, of all samples' rows; its weights lie as one piece."""

from __future__ import annotations

from functools import partial

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pieces, span
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_ADD, B_INPUT, B_LAST, B_OUTPUT, B_RIGHT, B_SUMS, C_FLAGS, CUT_DEPTH, MULTIPLIED
from models.dnn.tiles import MatmulTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    flags = MULTIPLIED * layer.tiling.work.multiplied | CUT_DEPTH * (layer.tiling.parts > 1)  # type: ignore[union-attr]
    return {**layer.step_words(), C_FLAGS: flags}


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
    work, x = tiling.work, layer.inputs[0]
    row, column = divmod(number, pieces(work.columns, tiling.columns))
    top, rows = span(row, tiling.rows, work.rows)
    left, columns = span(column, tiling.columns, work.columns)
    begin, depth = span(which, tiling.depth, work.depth) if which * tiling.depth < work.depth else (work.depth, 0)
    block = TileBlock(number * tiling.parts + min(which, tiling.parts - 1))
    sums, output = block.region(4 * rows * columns), block.region(rows * columns)  # first: where the part before left them
    weights = layer.operation.arrays["weights"][begin : begin + depth, left : left + columns]
    parameters = layer.read_parameters(
        block, ("matmul", begin, depth, left, columns), slice(left, left + columns), partial(np.asarray, weights)
    )
    if depth in (0, work.depth):
        at = block.read_dense(x, top * work.depth, rows, depth) if depth else 0
    else:
        at = _read_part(block, layer, top, rows, begin, depth)
    for word, value in ((B_SUMS, sums), (B_OUTPUT, output), (B_RIGHT, parameters), (B_INPUT, at)):
        block.set(word, value)
    block.set(B_ADD, int(not first))
    block.set(B_LAST, int(last))
    block.dims(rows, depth, columns)
    if last:
        block.write_rows(layer.output, output, first=top * work.columns + left, groups=1, rows=rows, width=columns, group_numbers=0)
    return block


def _read_part(block: TileBlock, layer: LayerTiles, top: int, rows: int, begin: int, depth: int) -> int:
    """Read a part of each row; return where they lie, without gaps."""
    x, whole = layer.inputs[0], layer.tiling.work.depth  # type: ignore[union-attr]
    starts = [block.read_numbers(x, (top + n) * whole + begin, depth) for n in range(rows)]
    at = block.region(rows * depth)
    for n, start in enumerate(starts):
        block.move(start, at + n * depth, depth)
    return at
