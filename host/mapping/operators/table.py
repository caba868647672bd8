"""A table: a tile is some rows of the output, of all samples."""

from __future__ import annotations

from host.mapping.layer_tiles import LayerTiles, span
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_TABLE
from models.dnn.tiles import CoreTiling
from models.network import ModelError


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words; ModelError for a table a channel."""
    if layer.operation.arrays["table"].ndim > 1:
        raise ModelError(f"operation {layer.name}: a table for each channel does not run on PEs yet; one for all does")
    return {}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    tiling, block = layer.tiling, TileBlock(number)
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    width, table = layer.output.row, layer.operation.arrays["table"]
    output = block.region(count * width)
    address = layer.store((layer.name, "table"), table.tobytes)
    block.set(B_TABLE, block.read_constant(address, table.nbytes, stays=layer.stays))
    block.set(B_INPUT, block.read_dense(layer.inputs[0], first * width, count, width))
    block.set(B_OUTPUT, output)
    block.dims(1, count * width)
    block.write_rows(layer.output, output, first=first * width, groups=1, rows=count, width=width, group_numbers=0)
    return [block]
