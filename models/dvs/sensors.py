"""Recordings of other sensors on the pixels that networks here know: the middle square, scaled to 128 x 128.

A file that does not say its sensor's size is taken for the smallest known sensor that holds all its pixels, and that is said.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.dvs.samples import SENSOR, DvsError, Events

KNOWN = {
    "DVS128": (128, 128), "DAVIS240": (240, 180), "ATIS": (304, 240), "GenX320": (320, 320), "DAVIS346": (346, 260),
    "Gen3 VGA": (640, 480), "EVK4 HD": (1280, 720),
}  # fmt: skip


def smallest_sensor(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[tuple[int, int], str]:
    """Return (width, height) of the smallest known sensor that holds these pixels, and why in words; `DvsError` where none does."""
    most = int(x.max(initial=0)), int(y.max(initial=0))
    for name, (width, height) in KNOWN.items():
        if most[0] < width and most[1] < height:
            return (width, height), f"taken for {name}, {width} x {height}: the file does not say, its largest x, y are {most}"
    raise DvsError(f"pixel {most} lies outside every sensor that is known, {', '.join(KNOWN)}")


def on_sensor(
    t_us: NDArray[np.int64], x: NDArray[np.int64], y: NDArray[np.int64], p: NDArray[np.bool_], size: tuple[int, int]
) -> tuple[Events, str]:
    """Return events of a sensor of `size` (width, height) in order of time on 128 x 128 pixels, and in words what was done.

    `DvsError` for a sensor that is smaller: its pixels would lie apart. Events outside the sensor's middle square are left out.
    """
    width, height = size
    side = min(size)
    if side < SENSOR:
        raise DvsError(f"a sensor of {width} x {height}: needs at least {SENSOR} x {SENSOR}, which networks here were trained on")
    left, top = (width - side) // 2, (height - side) // 2
    x, y = x - left, y - top
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    order = np.flatnonzero(inside)[np.argsort(t_us[inside], kind="stable")]
    x, y = x[order] * SENSOR // side, y[order] * SENSOR // side
    events = Events(t_us[order], x.astype(np.uint8), y.astype(np.uint8), p[order])
    if size == (SENSOR, SENSOR):
        return events, f"{width} x {height}"
    part = "all of it" if width == height else f"its middle {side} x {side} ({np.count_nonzero(~inside):,} events lie outside)"
    return events, f"{width} x {height}, {part} scaled to {SENSOR} x {SENSOR}"
