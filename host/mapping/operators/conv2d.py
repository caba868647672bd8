"""A convolution: a tile is channels, rows and columns of the output of one sample; it reads the rows that its windows see."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from host.mapping.layer_tiles import LayerTiles, pair, pieces, span
from host.mapping.tile_block import Move, Rows, TileBlock
from models.dnn.program import (
    B_ADD,
    B_INPUT,
    B_LAST,
    B_OUTPUT,
    B_RIGHT,
    B_SUMS,
    C_DILATIONS,
    C_FLAGS,
    C_KERNEL,
    C_STRIDES,
    CUT_DEPTH,
    MULTIPLIED,
)
from models.dnn.tiles import Conv2dTiling
from models.dnn.work import Conv2dWork


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    tiling = layer.tiling
    assert isinstance(tiling, Conv2dTiling)
    work = tiling.work
    flags = MULTIPLIED * work.multiplied | CUT_DEPTH * (tiling.parts > 1)
    return {
        **layer.step_words(), **pair(C_KERNEL, work.kernel), **pair(C_STRIDES, work.strides), **pair(C_DILATIONS, work.dilations),
        C_FLAGS: flags,
    }  # fmt: skip


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`, one a part of the channels in."""
    tiling = layer.tiling
    assert isinstance(tiling, Conv2dTiling)
    parts = pieces(tiling.work.in_channels, tiling.in_channels)
    return [part(layer, number, n, first=n == 0, last=n == parts - 1) for n in range(parts)]


def part(layer: LayerTiles, number: int, which: int, *, first: bool, last: bool) -> TileBlock:
    """Return the block of a part of the channels in; one behind the last part ends with sums that are there."""
    tiling = layer.tiling
    assert isinstance(tiling, Conv2dTiling)
    work = tiling.work
    cuts = (
        work.samples, pieces(work.out_channels, tiling.channels), pieces(work.out_height, tiling.rows),
        pieces(work.out_width, tiling.columns),
    )  # fmt: skip
    sample, *at = (int(n) for n in np.unravel_index(number, cuts))
    channel, channels = span(at[0], tiling.channels, work.out_channels)
    top, rows = span(at[1], tiling.rows, work.out_height)
    left, columns = span(at[2], tiling.columns, work.out_width)
    whole, each = work.in_channels, tiling.in_channels
    begin, depth = span(which, each, whole) if which * each < whole else (whole, 0)
    block = TileBlock(number * tiling.parts + min(which, tiling.parts - 1))
    sums, output = block.region(4 * channels * rows * columns), block.region(channels * rows * columns)
    weights = layer.operation.arrays["weights"][channel : channel + channels, begin : begin + depth]
    parameters = layer.read_parameters(
        block, ("conv2d", channel, channels, begin, depth), slice(channel, channel + channels), partial(np.asarray, weights)
    )
    (_, high), (_, wide) = _seen(work, (top, rows), (left, columns))
    window = read_window(block, layer, sample, (begin, depth), (top, rows), (left, columns))[0] if depth else 0
    for word, value in ((B_SUMS, sums), (B_OUTPUT, output), (B_RIGHT, parameters), (B_INPUT, window)):
        block.set(word, value)
    block.set(B_ADD, int(not first))
    block.set(B_LAST, int(last))
    block.dims(depth, high, wide, channels, rows, columns)
    if last:
        plane = work.out_height * work.out_width
        start = (sample * work.out_channels + channel) * plane + top * work.out_width + left
        block.write_rows(layer.output, output, first=start, groups=channels, rows=rows, width=columns, group_numbers=plane)
    return block


def _seen(work: Conv2dWork, rows: tuple[int, int], columns: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return where the windows of rows, and of columns, begin in the padded input, and how much of it they see."""
    down, across = (
        (begin * stride, (count - 1) * stride + dilation * (kernel - 1) + 1)
        for (begin, count), stride, dilation, kernel in zip((rows, columns), work.strides, work.dilations, work.kernel, strict=True)
    )
    return down, across


def read_window(
    block: TileBlock, layer: LayerTiles, sample: int, channels: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]
) -> tuple[int, int, int]:  # fmt: skip
    """Read what a tile's windows see of some channels, padding included; return where it lies, its rows and its columns."""
    tiling, (first, depth) = layer.tiling, channels
    assert isinstance(tiling, Conv2dTiling)
    work, x, attributes = tiling.work, layer.inputs[0], layer.operation.attributes
    all_channels, height, width = x.shape[-3:]
    (top, high), (left, wide) = _seen(work, rows, columns)
    top, left = top - attributes["pads"][0], left - attributes["pads"][1]
    y0, y1 = min(max(top, 0), height), max(min(top + high, height), 0)
    x0, x1 = min(max(left, 0), width), max(min(left + wide, width), 0)
    seen_rows, seen_columns = max(y1 - y0, 0), max(x1 - x0, 0)
    begin = (sample * all_channels + first) * height * width
    is_bordered = (seen_rows, seen_columns) != (high, wide)
    have, plane = _read_planes(block, layer, begin, depth, (y0, seen_rows))
    if not is_bordered and seen_columns == width == have.pitch and plane == high * wide:
        return have.at, high, wide
    at = block.region(depth * high * wide)
    if is_bordered:
        block.fill(at, depth * high * wide, int(attributes["pad_value"]))
    if seen_rows and seen_columns:
        to = at + (y0 - top) * wide + x0 - left
        block.moves.append(Move(have.at + x0, to, depth, seen_rows, seen_columns, plane, have.pitch, high * wide, wide))
    return at, high, wide


def _read_planes(block: TileBlock, layer: LayerTiles, begin: int, depth: int, rows: tuple[int, int]) -> tuple[Rows, int]:
    """Read rows of planes, whole ones as one piece; return where the first lies, and how many bytes from plane to plane."""
    x, (y0, count) = layer.inputs[0], rows
    height, width = x.shape[-2:]
    if not count:
        return Rows(0, width), 0
    if count == height:
        have = block.read_rows(x, begin, depth * height, width)
        return have, height * have.pitch
    planes = [block.read_rows(x, begin + n * height * width + y0 * width, count, width) for n in range(depth)]
    block.keep_together(planes[0].at, planes[-1].at)
    distances = {later.at - one.at for one, later in pairwise(planes)}
    assert len(distances) < 2, "planes of one size lie evenly"
    return planes[0], distances.pop() if distances else 0
