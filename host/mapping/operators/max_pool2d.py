"""A pool: a tile is some planes, whole, or strips of rows of a plane, each with the rows that its windows see."""

from __future__ import annotations

from host.mapping.layer_tiles import LayerTiles, pair, span
from host.mapping.operators._pieces import strips_of
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, C_DILATIONS, C_KERNEL, C_PADS, C_STRIDES
from models.dnn.tiles import CoreTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    attributes = layer.operation.attributes
    words = pair(C_KERNEL, attributes["kernel"]) | pair(C_STRIDES, attributes["strides"]) | pair(C_PADS, attributes["pads"])
    return words | pair(C_DILATIONS, attributes.get("dilations", (1, 1)))


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`."""
    return [block for block, _ in pool_blocks(layer, number)]


def pool_blocks(layer: LayerTiles, number: int) -> list[tuple[TileBlock, int]]:
    """Return the blocks of tile `number`, which read planes and write their pools, and how many numbers come out of each."""
    tiling = layer.tiling
    assert isinstance(tiling, CoreTiling)
    (high, _), rows, top = layer.inputs[0].shape[-2:], layer.output.shape[-2], layer.operation.attributes["pads"][0]
    if tiling.work.strips == 1:
        first, count = span(number, tiling.units, tiling.work.units)
        return [_block(layer, number, (first, count), (0, high, top), (0, rows))]
    attributes, made = layer.operation.attributes, []
    reach = attributes.get("dilations", (1, 1))[0] * (attributes["kernel"][0] - 1) + 1
    for strip in strips_of(layer, number, rows):
        begin = strip.top * attributes["strides"][0] - top
        end = begin + (strip.rows - 1) * attributes["strides"][0] + reach
        seen = max(begin, 0), max(min(end, high), 1) - max(begin, 0), max(-begin, 0)
        made.append(_block(layer, number, (strip.plane, 1), seen, (strip.top, strip.rows)))
    return made


def _block(
    layer: LayerTiles, number: int, planes: tuple[int, int], seen: tuple[int, int, int], made: tuple[int, int]
) -> tuple[TileBlock, int]:
    """Return the block of some planes: of `made` rows of the output, from the first on, of `seen` rows of the input with so many
    rows of padding above.
    """
    block, (first, count), (top, rows) = TileBlock(number), planes, made
    (high, wide), (out_rows, columns) = layer.inputs[0].shape[-2:], layer.output.shape[-2:]
    results = count * rows * columns
    output = block.region(results)
    block.set(B_OUTPUT, output)
    block.set(B_INPUT, block.read_dense(layer.inputs[0], (first * high + seen[0]) * wide, count * seen[1], wide))
    block.dims(count, seen[1], wide, rows, columns, seen[2])
    block.write_rows(
        layer.output, output, first=(first * out_rows + top) * columns, groups=1, rows=count * rows, width=columns, group_numbers=0
    )  # fmt: skip
    return block, results
