"""A convolution of each channel by itself: a tile is some planes of the output, whole, or strips of rows of a plane, each with what
its windows see of its own plane of the input.
"""

from __future__ import annotations

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair, span
from host.mapping.operators._pieces import strips_of
from host.mapping.tile_block import Move, TileBlock
from models.dnn.program import B_INPUT, B_OUTPUT, B_RIGHT, B_SUMS, C_DILATIONS, C_KERNEL, C_STRIDES
from models.dnn.tiles import CoreTiling


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    attributes, kernel = layer.operation.attributes, layer.operation.arrays["weights"].shape[2:]
    words = pair(C_KERNEL, kernel) | pair(C_STRIDES, attributes["strides"]) | pair(C_DILATIONS, attributes["dilations"])
    return {**layer.step_words(), **words}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the block of tile `number`, or several where it has planes of several samples, or strips."""
    tiling = layer.tiling
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    rows, channels, made = layer.output.shape[-2], layer.output.shape[1], []
    if tiling.work.strips > 1:
        return [_block(layer, number, (strip.plane, 1), (strip.top, strip.rows)) for strip in strips_of(layer, number, rows)]
    while count:  # a block has the weights of channels that lie one behind the other
        run = min(count, channels - first % channels)
        made.append(_block(layer, number, (first, run), (0, rows)))
        first, count = first + run, count - run
    return made


def _block(layer: LayerTiles, number: int, planes: tuple[int, int], made: tuple[int, int]) -> TileBlock:
    """Return the block of some planes of the output, of `made` rows from the first on."""
    (first, count), (top_row, rows) = planes, made
    attributes, weights = layer.operation.attributes, layer.operation.arrays["weights"]
    channels_in, height, width = layer.inputs[0].shape[-3:]
    channels, out_rows, columns = layer.output.shape[-3:]
    (top, left, _, right), each = attributes["pads"], channels // channels_in
    high = (rows - 1) * attributes["strides"][0] + attributes["dilations"][0] * (weights.shape[2] - 1) + 1
    wide, above = width + left + right, top_row * attributes["strides"][0] - top
    y0, y1 = min(max(above, 0), height), max(min(above + high, height), 0)
    sample, channel = divmod(first, channels)
    block = TileBlock(number)
    kernels = weights[channel : channel + count]
    parameters = layer.read_parameters(
        block, ("depthwise", channel, count), slice(channel, channel + count), lambda: np.asarray(kernels)
    )
    begin, end = channel // each, (channel + count - 1) // each + 1
    at, plane = block.region(count * high * wide), ((sample * channels_in + begin) * height) * width
    if any(attributes["pads"]):
        block.fill(at, count * high * wide, int(attributes["pad_value"]))
    if rows == out_rows:
        have = block.read_rows(layer.inputs[0], plane, (end - begin) * height, width)
        start = have.at + y0 * have.pitch
    else:
        have = block.read_rows(layer.inputs[0], plane + y0 * width, y1 - y0, width)
        start = have.at
    for n in range(count if each > 1 else 1):  # a plane that several channels hear is there for each of them
        planes_in = 1 if each > 1 else count
        from_plane = start + ((channel + n) // each - begin) * height * have.pitch
        to = at + n * high * wide + (y0 - above) * wide + left
        block.moves.append(Move(from_plane, to, planes_in, y1 - y0, width, height * have.pitch, have.pitch, high * wide, wide))
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
        layer.output, output, first=(first * out_rows + top_row) * columns, groups=1, rows=count * rows, width=columns,
        group_numbers=0,
    )  # fmt: skip
    return block
