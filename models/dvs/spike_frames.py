"""Events to the spikes that a network hears: bins of time, pixels of blocks, polarities as channels, one or a count in each.

A network's file holds none of this, so whoever feeds one says it, and it is printed with the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.dvs.denoise import near_others
from models.dvs.samples import SENSOR, DvsError

POLARITIES = ("off-on", "on-off", "merged")
MOST_COUNT = 65_535  # what an event of a count carries
_MOST_CELLS = 1 << 28


class EventColumns(Protocol):
    """What is binned: columns of one length."""

    @property
    def t_us(self) -> NDArray[np.int64]:
        """Times in microseconds, ascending."""

    @property
    def x(self) -> NDArray[np.integer]:
        """Columns of the sensor, from the left."""

    @property
    def y(self) -> NDArray[np.integer]:
        """Rows of the sensor, from the top."""

    @property
    def p(self) -> NDArray[np.bool_]:
        """Whether it became brighter."""


@dataclass(frozen=True, kw_only=True)
class SpikeBins:
    """How events become the input of each step. Raises `DvsError` (one line) for what makes none.

    `size`: pixels along each side; a column x of a sensor `w` pixels wide becomes x * size // w. `polarity`: "off-on" (channel 0
    is OFF, as tonic has it), "on-off", or "merged" into one channel. `binary`: several events of a cell are one spike.
    `denoise_us`: events stay only where a pixel beside theirs fired so shortly before (0: all stay), before all that.
    """

    bin_us: int = 50_000
    steps: int = 34
    size: int = 32
    polarity: str = "off-on"
    binary: bool = True
    denoise_us: int = 0

    def __post_init__(self) -> None:
        for name in ("bin_us", "steps", "size"):
            if getattr(self, name) < 1:
                raise DvsError(f"SpikeBins: need {name} from 1, have {getattr(self, name)}")
        if self.denoise_us < 0:
            raise DvsError(f"SpikeBins: need denoise_us from 0, have {self.denoise_us}")
        if self.polarity not in POLARITIES:
            raise DvsError(f"SpikeBins: need polarity {', '.join(POLARITIES)}, have {self.polarity!r}")
        if self.steps * self.units > _MOST_CELLS:
            raise DvsError(f"SpikeBins: need at most {_MOST_CELLS // self.units} steps of this size, have {self.steps}")

    @property
    def channels(self) -> int:
        """Channels of a step's input."""
        return 1 if self.polarity == "merged" else 2

    @property
    def units(self) -> int:
        """Cells of a step's input: the network's input units."""
        return self.channels * self.size * self.size

    @property
    def duration_us(self) -> int:
        """Time that all steps take together."""
        return self.bin_us * self.steps

    def described(self) -> str:
        """Return in one line what a file of a network does not hold."""
        channel = {"off-on": "channel 0 OFF, 1 ON", "on-off": "channel 0 ON, 1 OFF", "merged": "ON and OFF merged"}[self.polarity]
        cell = "one spike a cell and bin" if self.binary else "events of a cell and bin counted"
        noise = f"; lonely events (none beside them in {self.denoise_us / 1000:g} ms) left out" if self.denoise_us else ""
        return f"{self.steps} steps of {self.bin_us / 1000:g} ms, {self.size} x {self.size}, {channel}, {cell}{noise}"


def spike_frames(events: EventColumns, bins: SpikeBins, sensor: tuple[int, int] = (SENSOR, SENSOR)) -> NDArray[np.uint16]:
    """Return spikes or counts of each step, (steps, channels, size, size) uint16.

    `sensor` is (width, height) in pixels. Events before 0 and after the last bin are left out.
    """
    t_us = events.t_us
    inside = (t_us >= 0) & (t_us < bins.duration_us)
    if bins.denoise_us:
        inside &= near_others(events, bins.denoise_us, sensor)
    step, size = t_us[inside] // bins.bin_us, bins.size
    row, column = (at[inside].astype(np.int64) * size // n for at, n in zip((events.y, events.x), sensor[::-1], strict=True))
    cell = step * bins.channels
    if bins.polarity != "merged":
        cell = cell + (events.p[inside] ^ (bins.polarity == "on-off"))
    cell = (cell * size + row) * size + column
    counts = np.bincount(cell, minlength=bins.steps * bins.units).reshape(bins.steps, bins.channels, size, size)
    return np.minimum(counts, 1 if bins.binary else MOST_COUNT).astype(np.uint16)
