"""A convolution computed plainly, for `models/reference`: each event adds a patch of the kernel, unit by unit."""

from __future__ import annotations

import numpy as np

from models.convolution import Convolution
from models.network import Array


class PlainConvolution:
    """The sums of a convolution: float32 with one accumulator a row in ascending source unit, or exact integers modulo 2**32."""

    def __init__(self, weights: Convolution, is_float: bool) -> None:
        self._weights, self._is_float = weights, is_float
        self._rows, self._columns = self._meetings(0), self._meetings(1)

    def _meetings(self, axis: int) -> list[tuple[Array, Array]]:
        """Return for each row (axis 0) or column (1) of the source which outputs it meets, each with an element of the kernel."""
        weights, length = self._weights, self._weights.input_shape[1 + axis]
        whole_windows = length // weights.pool[axis] * weights.pool[axis]
        met: list[tuple[list[int], list[int]]] = [([], []) for _ in range(length)]
        for output in range(weights.output_shape[1 + axis]):
            for element in range(weights.kernel.shape[2 + axis]):
                pooled = output * weights.stride[axis] + element * weights.dilation[axis] - weights.padding[axis]
                for place in range(pooled * weights.pool[axis], (pooled + 1) * weights.pool[axis]):
                    if 0 <= place < whole_windows:
                        met[place][0].append(output)
                        met[place][1].append(element)
        return [(np.array(outputs, np.int64), np.array(elements, np.int64)) for outputs, elements in met]

    def of(self, heard: Array) -> Array:
        """Return the sums (rows,) of what is heard of a position, (ticks, units)."""
        weights = self._weights
        channels_out, channels_in = weights.kernel.shape[0] // weights.groups, weights.kernel.shape[1]
        total = np.zeros(weights.output_shape, np.float32 if self._is_float else np.int64)
        kernel = weights.kernel.astype(total.dtype)
        rounds = heard.astype(np.float32) if self._is_float else heard.astype(np.int64).sum(axis=0, keepdims=True)
        for numbers in rounds.reshape(-1, *weights.input_shape):
            for channel, row, column in np.argwhere(numbers).tolist():  # ascending units
                group, of_group = divmod(channel, channels_in)
                own = slice(group * channels_out, (group + 1) * channels_out)
                (down, taken), (across, met) = self._rows[row], self._columns[column]
                part = kernel[own, of_group][:, taken[:, None], met] * numbers[channel, row, column]
                total[own, down[:, None], across] += part
        return total.reshape(-1).astype(np.float32 if self._is_float else np.int32)
