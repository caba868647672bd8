"""Which outputs of a convolution a shard has: what memory and addresses of its kernel follow from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from models.convolution import Convolution
from models.network import I64


class KernelWindow(NamedTuple):
    """A convolution without its numbers, and the part of its outputs that a shard has; whole numbers, which travel with the shard.

    The source's `height` and `width`, `groups`, channels in `of_group`; pool, kernel, stride; how many rows and columns are
    padded before the first (`top`, `left`); dilation. The shard's outputs lie in `channels`, in `rows` from `first_row` and
    `columns` from `first_column`: all of them in C order, or a run of them, which leaves out the first `skip`. If they are
    `listed`, any of them. An event meets at most `met` of the channels: those of its group.
    """

    height: int
    width: int
    groups: int
    of_group: int
    pool_rows: int
    pool_columns: int
    kernel_rows: int
    kernel_columns: int
    stride_rows: int
    stride_columns: int
    top: int
    left: int
    dilation_rows: int
    dilation_columns: int
    channels: int
    first_row: int
    rows: int
    first_column: int
    columns: int
    skip: int = 0
    listed: int = 0
    met: int = 0

    @property
    def elements(self) -> int:
        """Number of weights of a channel out."""
        return self.of_group * self.kernel_rows * self.kernel_columns

    @property
    def places(self) -> int:
        """Number of outputs of the window."""
        return self.channels * self.rows * self.columns


def window_of(whole: Convolution, outputs: I64) -> KernelWindow:
    """Return the window of a shard that has `outputs` of a convolution, ascending, at least one."""
    _, tall, broad = whole.output_shape
    channel, place = np.divmod(outputs, tall * broad)
    row, column = np.divmod(place, broad)
    own = np.unique(channel)
    channels, met = len(own), int(np.bincount(own // (len(whole.kernel) // whole.groups)).max())
    top, rows, left, columns = int(row.min()), int(np.ptp(row)) + 1, int(column.min()), int(np.ptp(column)) + 1
    skip = listed = 0
    if channels * rows * columns > len(outputs):
        in_a_run = int(outputs[-1] - outputs[0]) + 1 == len(outputs)
        if in_a_run:
            left, columns = 0, broad
            if channels > 1:
                top, rows = 0, tall
            skip = int(outputs[0]) - (int(channel[0]) * tall + top) * broad
        listed = int(not in_a_run)
    numbers = *whole.input_shape[1:], whole.groups, whole.kernel.shape[1], *whole.pool, *whole.kernel.shape[2:], *whole.stride
    own_numbers = channels, top, rows, left, columns, skip, listed, met
    return KernelWindow._make(map(int, (*numbers, *whole.padding[:2], *whole.dilation, *own_numbers)))


def largest_window(windows: list[KernelWindow]) -> KernelWindow:
    """Return a window that takes no less memory than any of these."""
    return KernelWindow(*map(max, zip(*windows, strict=True)))  # its memory grows with each of its numbers
