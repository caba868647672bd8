"""A convolution of each channel by itself: a tile is some planes of the output, whole, each with its own plane of the input."""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair, span
from host.mapping.tile_block import Move, TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_RIGHT, B_SUMS, C_DILATIONS, C_KERNEL, C_STRIDES
from models.dnn.tiles import CoreTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    attributes, kernel = layer.operation.attributes, layer.operation.arrays["weights"].shape[2:]
    words = pair(C_KERNEL, kernel) | pair(C_STRIDES, attributes["strides"]) | pair(C_DILATIONS, attributes["dilations"])
    return {**layer.step_words(), **words}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`, or several where it has planes of several samples."""
    tiling = layer.tiling
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    channels, made = layer.output.shape[1], []
    while count:  # a block has the weights of channels that lie one behind the other
        run = min(count, channels - first % channels)
        made.append(_block(layer, number, first, run))
        first, count = first + run, count - run
    return made


def _block(layer: LayerTiles, number: int, first: int, count: int) -> TileBlock:
    attributes, weights = layer.operation.attributes, layer.operation.arrays["weights"]
    channels_in, height, width = layer.inputs[0].shape[-3:]
    channels, rows, columns = layer.output.shape[-3:]
    (top, left, bottom, right), each = attributes["pads"], channels // channels_in
    high, wide = height + top + bottom, width + left + right
    sample, channel = divmod(first, channels)
    block = TileBlock(number)
    kernels = weights[channel : channel + count]
    parameters = layer.read_parameters(
        block, ("depthwise", channel, count), slice(channel, channel + count), lambda: np.asarray(kernels)
    )
    begin, end = channel // each, (channel + count - 1) // each + 1
    have = block.read_rows(layer.inputs[0], (sample * channels_in + begin) * height * width, (end - begin) * height, width)
    at = block.region(count * high * wide)
    if any(attributes["pads"]):
        block.fill(at, count * high * wide, int(attributes["pad_value"]))
    for n in range(count if each > 1 else 1):  # a plane that several channels hear is there for each of them
        planes = 1 if each > 1 else count
        start = have.at + ((channel + n) // each - begin) * height * have.pitch
        to = at + n * high * wide + top * wide + left
        block.moves.append(Move(start, to, planes, height, width, height * have.pitch, have.pitch, high * wide, wide))
    output = block.region(count * rows * columns)
    for word, value in (
        (B_RIGHT, parameters),
        (B_INPUT, at),
        (B_OUTPUT, output),
        (B_SUMS, block.region(4 * count * rows * columns)),
    ):
        block.set(word, value)
    block.dims(count, high, wide, rows, columns)
    block.write_rows(
        layer.output, output, first=first * rows * columns, groups=1, rows=count * rows, width=columns, group_numbers=0
    )
    return block
