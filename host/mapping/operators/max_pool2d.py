"""A pool: a tile is some planes, whole."""

from __future__ import annotations

from host.mapping.layer_tiles import LayerTiles, pair, span
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, C_DILATIONS, C_KERNEL, C_PADS, C_STRIDES
from models.dnn.tiles import CoreTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    attributes = layer.operation.attributes
    words = pair(C_KERNEL, attributes["kernel"]) | pair(C_STRIDES, attributes["strides"]) | pair(C_PADS, attributes["pads"])
    return words | pair(C_DILATIONS, attributes.get("dilations", (1, 1)))


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    block = TileBlock(number)
    pool_planes(layer, number, block)
    return [block]


def pool_planes(layer: LayerTiles, number: int, block: TileBlock) -> int:
    """Read planes, set where they and their pools lie, and write those; return how many numbers come out."""
    tiling = layer.tiling
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    (high, wide), (rows, columns) = layer.inputs[0].shape[-2:], layer.output.shape[-2:]
    output = block.region(count * rows * columns)
    block.set(B_OUTPUT, output)
    block.set(B_INPUT, block.read_dense(layer.inputs[0], first * high * wide, count * high, wide))
    block.dims(count, high, wide, rows, columns)
    block.write_rows(
        layer.output, output, first=first * rows * columns, groups=1, rows=count * rows, width=columns, group_numbers=0
    )  # fmt: skip
    return count * rows * columns
