"""A product of two things that arrive: a tile is some rows of the output, of all samples."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair, span
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_RIGHT, C_OFFSETS
from models.dnn.tiles import CoreTiling
from models.network import ModelError


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words; ModelError where one of the two is to be repeated."""
    if any(one.size != layer.output.size for one in layer.inputs):
        shapes = " and ".join(str(one.shape) for one in layer.inputs)
        raise ModelError(f"operation {layer.name}: {shapes} of different shapes do not run on PEs yet; equal ones do")
    attributes = layer.operation.attributes
    return {**layer.step_words(), **pair(C_OFFSETS, attributes["offsets"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`."""
    tiling, block = layer.tiling, TileBlock(number)
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    width = layer.output.row
    output = block.region(count * width)
    layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
    for word, place in zip((B_INPUT, B_RIGHT), layer.inputs, strict=True):
        block.set(word, block.read_dense(place, first * width, count, width))
    block.set(B_OUTPUT, output)
    block.dims(count * width)
    block.write_rows(layer.output, output, first=first * width, groups=1, rows=count, width=width, group_numbers=0)
    return [block]
