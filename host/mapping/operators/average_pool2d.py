"""An average pool: planes or strips as a max pool's, with sums of 64 bits and one scale."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators import max_pool2d
from host.mapping.tile_block import TileBlock
from models.dnn.program import B_SUMS, C_OFFSETS


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return {**max_pool2d.configuration(layer), **layer.step_words(), C_OFFSETS: int(layer.operation.attributes["offset"])}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`."""
    made = []
    for block, results in max_pool2d.pool_blocks(layer, number):
        layer.read_parameters(block, ("scale",), slice(0, 1), lambda: np.zeros(0, np.int8))
        block.set(B_SUMS, block.region(8 * results))
        made.append(block)
    return made
