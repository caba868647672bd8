"""Events to frames: count per time bin and pixel, pool, merge polarity, scale.

As the EGRU authors do it: counts of 25 ms, 128 x 128 to the frame size by maximum over each block and polarity, then
polarity merged. Their code divides by 19.0 while training and 18.5 while testing (the largest counts of each set, it
seems); here one value serves both, `AUTHORS_SCALE`, so that a network sees what it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.dvs.samples import SENSOR, SLICE_US, DvsError, Events

AUTHORS_SCALE = 19.0
POLARITIES = ("mean", "diff", "both")
_MOST_CELLS = 1 << 28


@dataclass(frozen=True)
class FrameSpec:
    """How events become frames. Raises `DvsError` (one line) for what makes no frames."""

    bin_us: int = 25_000
    slice_us: int = SLICE_US
    size: int = 32  # pixels along each side; a divisor of 128
    polarity: str = "mean"  # `mean` of ON and OFF, `diff` ON less OFF, or `both` side by side
    scale: float = AUTHORS_SCALE  # counts are divided by this

    def __post_init__(self) -> None:
        if not 0 < self.bin_us <= self.slice_us:
            raise DvsError(f"FrameSpec: need 0 < bin_us <= slice_us, have {self.bin_us} and {self.slice_us}")
        if self.size < 1 or SENSOR % self.size:
            raise DvsError(f"FrameSpec: need a size that divides {SENSOR}, have {self.size}")
        if self.polarity not in POLARITIES:
            raise DvsError(f"FrameSpec: need polarity {', '.join(POLARITIES)}, have {self.polarity!r}")
        if not 0 < self.scale < float("inf"):
            raise DvsError(f"FrameSpec: need a positive scale, have {self.scale}")
        if self.frames * 2 * SENSOR * SENSOR > _MOST_CELLS:
            raise DvsError(f"FrameSpec: need at most {_MOST_CELLS // (2 * SENSOR * SENSOR)} frames a slice, have {self.frames}")

    @property
    def frames(self) -> int:
        """Whole bins in a slice; a rest shorter than a bin is dropped."""
        return self.slice_us // self.bin_us

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, size, size), or (frames, 2, size, size) for `both`: OFF first."""
        return (self.frames, *((2,) if self.polarity == "both" else ()), self.size, self.size)


def frames_of(events: Events, spec: FrameSpec) -> NDArray[np.float32]:
    """Return the frames of one sample, float32, of `spec.shape`.

    Events before 0 or after the last whole bin are left out. Counts are whole numbers, halved or subtracted and divided
    once, so the result is the same on every machine.
    """
    counts = _counts(events, spec)
    block = SENSOR // spec.size
    pooled = counts.reshape(spec.frames, 2, spec.size, block, spec.size, block).max(axis=(3, 5)).astype(np.float32)
    off, on = pooled[:, 0], pooled[:, 1]
    merged = pooled if spec.polarity == "both" else on - off if spec.polarity == "diff" else (on + off) * np.float32(0.5)
    return np.asarray(merged / np.float32(spec.scale), np.float32)


def _counts(events: Events, spec: FrameSpec) -> NDArray[np.int64]:
    """Return events per frame, polarity (OFF, ON), row and column: (frames, 2, 128, 128)."""
    t_us, x, y, p = events
    inside = (t_us >= 0) & (t_us < spec.frames * spec.bin_us)
    cell = t_us[inside] // spec.bin_us * 2 + p[inside]
    cell = (cell * SENSOR + y[inside]) * SENSOR + x[inside]
    shape = (spec.frames, 2, SENSOR, SENSOR)
    return np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
