"""A mean over the last axes: a tile is some means, each of numbers that lie one behind the other."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, span
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_SUMS, C_OFFSETS
from models.dnn.tiles import CoreTiling
from models.network import ModelError


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words; ModelError for a mean over other axes than the last."""
    rank = len(layer.inputs[0].shape)
    axes = sorted(axis % rank for axis in layer.operation.attributes["axes"])
    if axes != list(range(rank - len(axes), rank)):
        raise ModelError(
            f"operation {layer.name}: a mean over axes {axes} of {rank} does not run on PEs yet; one over the last does"
        )
    return {**layer.step_words(), C_OFFSETS: int(layer.operation.attributes["offset"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    tiling, block = layer.tiling, TileBlock(number)
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    each = layer.inputs[0].size // layer.output.size
    layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
    output = block.region(count)
    block.set(B_SUMS, block.region(8 * count))
    block.set(B_INPUT, block.read_numbers(layer.inputs[0], first * each, count * each))
    block.set(B_OUTPUT, output)
    block.dims(count, each)
    width = layer.output.row
    block.write_rows(layer.output, output, first=first, groups=1, rows=count // width, width=width, group_numbers=0)
    return [block]
