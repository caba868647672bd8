"""The filter that takes a camera's background noise out of its events: one stays if a neighbour fired shortly before it.

A thing that moves makes events side by side; leaks and random events stand alone (Delbruck, "Frame-free dynamic digital vision",
2008; tonic calls it Denoise, there with four neighbours in place of eight).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.compute.compiling import compiled

_LONG_AGO = np.iinfo(np.int64).min // 2


class EventPlaces(Protocol):
    """What is filtered: columns of one length."""

    @property
    def t_us(self) -> NDArray[np.int64]:
        """Times in microseconds, ascending."""

    @property
    def x(self) -> NDArray[np.integer]:
        """Columns of the sensor, from the left."""

    @property
    def y(self) -> NDArray[np.integer]:
        """Rows of the sensor, from the top."""


def near_others(events: EventPlaces, window_us: int, sensor: tuple[int, int]) -> NDArray[np.bool_]:
    """Return which events had one of their pixel's eight neighbours fire in the `window_us` before them, of either polarity.

    `sensor` is (width, height) in pixels; every event counts as a neighbour, also one that does not stay.
    """
    near = np.empty(len(events.t_us), np.bool_)
    last = np.full((sensor[1] + 2, sensor[0] + 2), _LONG_AGO, np.int64)
    _mark(events.t_us, events.x.astype(np.int64), events.y.astype(np.int64), window_us, last, near)
    return near


@compiled
def _mark(t_us: np.ndarray, x: np.ndarray, y: np.ndarray, window_us: int, last: np.ndarray, near: np.ndarray) -> None:
    for i in range(t_us.size):
        row, column = y[i] + 1, x[i] + 1  # a border all around never fires
        near[i] = False
        for r in range(row - 1, row + 2):
            for c in range(column - 1, column + 2):
                if (r != row or c != column) and t_us[i] - last[r, c] <= window_us:
                    near[i] = True
        last[row, column] = t_us[i]
