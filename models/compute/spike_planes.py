"""Spikes laid out as a picture, so that a convolution of many of them runs along its rows.

Scattered into the sums (`models/formats/conv.py`), each spike takes a few short loops whose lengths the processor guesses wrong.
Where there are many, they are first counted by place, on the planes of the source's channels, and each weight is then multiplied
with a stretch of a plane, eight places at a time. A sum gets the same terms in the same order, and zeros between them, which
change no bit of it: it begins at +0.

Rows and columns that lie a stride apart are neighbours on a plane: one is kept for each remainder. Planes, and what says where
each unit goes, are the emulator's and no part of the SRAM: the chip's core scatters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.compiling import inlined
from models.kernel_window import KernelWindow
from models.network import I64, Array

MOST_PLACES = 0xFFFF  # on all planes, so that a place is two bytes
MOST_UNITS = 1 << 16  # of the source, four bytes each


def plane_shape(window: KernelWindow) -> tuple[int, int, int]:
    """Return how many planes a window needs, and their rows and columns."""
    down, right = _reach(window)
    remainders = window.stride_rows * window.stride_columns
    return window.groups * window.of_group * remainders, -(-down // window.stride_rows), -(-right // window.stride_columns)


def _reach(window: KernelWindow) -> tuple[int, int]:
    """Return how many rows and columns of the padded source the window's outputs see."""
    down = (window.rows - 1) * window.stride_rows + window.dilation_rows * (window.kernel_rows - 1) + 1
    right = (window.columns - 1) * window.stride_columns + window.dilation_columns * (window.kernel_columns - 1) + 1
    return down, right


def plane_places(window: KernelWindow, units: int) -> I64:
    """Return where each of the source's first `units` lies on the planes, (units,); behind all of them for one that is not seen."""
    planes, rows, columns = plane_shape(window)
    channel, place = np.divmod(np.arange(units), window.height * window.width)
    row, column = np.divmod(place, window.width)
    row, column = row // window.pool_rows, column // window.pool_columns
    whole = (row < window.height // window.pool_rows) & (column < window.width // window.pool_columns)  # a pool drops the rest
    down = row + window.top - window.first_row * window.stride_rows
    right = column + window.left - window.first_column * window.stride_columns
    high, wide = _reach(window)
    seen = whole & (down >= 0) & (down < high) & (right >= 0) & (right < wide)
    return np.where(seen, _place(window, channel, down, right), planes * rows * columns)


def _place(window: KernelWindow, channel: I64, down: I64, right: I64) -> I64:
    """Return where rows and columns of the source's channels lie on the planes."""
    _, rows, columns = plane_shape(window)
    plane = (channel * window.stride_rows + down % window.stride_rows) * window.stride_columns + right % window.stride_columns
    return np.asarray((plane * rows + down // window.stride_rows) * columns + right // window.stride_columns, np.int64)


def tap_places(window: KernelWindow) -> I64:
    """Return how far behind an output's own place on the first plane each element of the kernel meets the source, (elements,)."""
    source, down, right = np.indices((window.of_group, window.kernel_rows, window.kernel_columns)).reshape(3, -1)
    return _place(window, source, down * window.dilation_rows, right * window.dilation_columns)


def few_spikes(window: KernelWindow, outputs: int) -> int:
    """Return below how many spikes scattering them takes less time, for a shard of so many outputs.

    Measured of the shipped gesture network's layers on one machine: a spike takes about as long as 100 stretches of eight places,
    each weight 4 more, and all of it 6 spikes. Neither is a matter of the result.
    """
    _, _, columns = plane_shape(window)
    stretches = window.elements * (4 * window.channels + outputs * columns // (8 * window.columns))
    return 6 + stretches // 100


@inlined
def multiply_planes(
    values: Array, window: Array, channels: Array, planes: Array, columns: Any, taps: Array, line: Array, weights: Array,
    places: Array, sums: Array,
) -> None:  # fmt: skip
    """Add the products of the weights and what lies on `planes`, of so many columns, to a lane's sums.

    `taps`: the places of the kernel's elements. Room for numbers: `line` for those of a plane, `weights` and `places` for three
    more than there are elements.
    """
    kind, groups, broad, skip = sums.dtype.type, np.int64(window[2]), np.int64(window[18]), np.int64(window[19])
    zero, area, gap, group_places = kind(0), np.int64(window[16]) * broad, columns - broad, (planes.size - 1) // groups
    for group in range(groups):
        for own in range(np.int64(channels[group]), np.int64(channels[group + 1])):
            low, high = max(own * area, skip), min((own + 1) * area, skip + sums.size)
            if low >= high:
                continue
            begin, last = low - own * area, high - 1 - own * area
            left = begin % broad
            begin, last = begin + begin // broad * gap, last + last // broad * gap
            met = 0
            for element in range(len(taps)):
                weight = kind(values[element, own])
                if weight != zero:
                    weights[met], places[met] = weight, group * group_places + taps[element]
                    met += 1
            for spare in range(met, met + 3):  # four are taken at a time
                weights[spare], places[spare] = zero, 0
            for q in range(begin, last + 1):
                line[q] = zero
            q, column = begin, left
            for at in range(low - skip, high - skip):
                line[q] = sums[at]
                q, column = q + 1, column + 1
                if column == broad:
                    q, column = q + gap, np.int64(0)
            for at in range(0, met, 4):
                first, second, third, fourth = weights[at], weights[at + 1], weights[at + 2], weights[at + 3]
                to_first, to_second = np.uint64(places[at]), np.uint64(places[at + 1])
                to_third, to_fourth = np.uint64(places[at + 2]), np.uint64(places[at + 3])
                for place in range(np.uint64(begin), np.uint64(last + 1)):
                    number = line[place] + first * kind(planes[to_first + place])
                    number += second * kind(planes[to_second + place])
                    number += third * kind(planes[to_third + place])
                    line[place] = number + fourth * kind(planes[to_fourth + place])
            q, column = begin, left
            for at in range(low - skip, high - skip):
                sums[at] = line[q]
                q, column = q + 1, column + 1
                if column == broad:
                    q, column = q + gap, np.int64(0)
