"""The synthetic event camera: intensity frames in, polarity events out, by the usual model of a DVS pixel.

A pixel keeps the logarithm of the intensity at which it last fired; when the log intensity, taken to run in a straight
line from frame to frame, has moved by a threshold, it fires at the time of the crossing (Rebecq et al., ESIM, CoRL
2018). ON and OFF thresholds differ from pixel to pixel; a pixel that has fired is blind for the refractory time; pixels
leak ON events and fire at random in the dark, and some are hot (Hu, Liu and Delbruck, v2e, CVPR Workshops 2021). Not
modelled: the photoreceptor's finite bandwidth, the arbiter of the address bus, jitter of time stamps.

The logarithm is a polynomial of our own and every decision follows from exact float32 steps, so the same frames give
the same events on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.compute.compiling import compiled, inlined
from models.dvs.portable_random import Draws
from models.dvs.samples import SENSOR, Events

F32 = NDArray[np.float32]
Frame = tuple[int, F32, NDArray[np.int64]]
"""Time in microseconds, the image (128, 128) float32 >= 0, and the part that may differ from the frame before:
first row, row after the last, first column, column after the last."""

DARK = 0.02  # added to each intensity (white is 1): dark current, which bounds the contrast of dark things (assumed)
THRESHOLD = 0.2  # nominal change of the natural logarithm that fires a pixel (v2e's default)
MISMATCH = 0.03  # standard deviation of the thresholds from pixel to pixel (v2e's default)
LOWEST_THRESHOLD = 0.1
REFRACTORY_US = 500  # time after an event in which a pixel cannot fire (v2e's default is 0.5 ms)
LEAK_HZ = 0.1  # ON events a second and pixel without any change (v2e's default)
HOT_PIXELS, HOT_HZ = 12, 60.0  # how many pixels fire without a cause, and how often (assumed)

_PIXELS = SENSOR * SENSOR
_MOST_CROSSINGS = 96  # of one pixel between two frames: intensities up to 100 give ln(100 / DARK) / LOWEST_THRESHOLD


@dataclass(frozen=True, eq=False)
class Camera:
    """One sensor with its own pixels."""

    on: F32  # ON threshold of each pixel, (16384,), row by row
    off: F32
    hot: NDArray[np.int64]  # which pixels are hot


@lru_cache(maxsize=4)
def camera_of(seed: int) -> Camera:
    """Return the sensor with this serial number."""
    draws = Draws(seed, 0xCA)
    on, off = (np.maximum(THRESHOLD + MISMATCH * draws.normals(_PIXELS), LOWEST_THRESHOLD).astype(np.float32) for _ in range(2))
    hot = np.array([draws.below(_PIXELS) for _ in range(HOT_PIXELS)], np.int64)
    for part in (on, off, hot):
        part.setflags(write=False)  # every recording of this camera shares them
    return Camera(on, off, hot)


def record(camera: Camera, frames: Iterable[Frame], draws: Draws, noise_hz: float) -> Events:
    """Return what the camera sees, from the first frame's time (inclusive) to the last's (exclusive).

    `frames` are two or more, ascending in time. `draws` say where each pixel stands at the beginning, and make the noise:
    `noise_hz` random events a second and pixel, ON and OFF alike, besides leak and hot pixels.
    """
    log_now, level = np.empty(_PIXELS, np.float32), np.empty(_PIXELS, np.float32)
    keys, count = np.empty(1 << 17, np.int64), 0
    start = before = -1
    for t_us, image, (top, bottom, left, right) in frames:
        if before < 0:
            start = t_us
            _settle(image, log_now)
            # Not all pixels of an edge are equally far from their next event.
            level[:] = log_now + (draws.uniforms(_PIXELS).astype(np.float32) - np.float32(0.5)) * np.minimum(camera.on, camera.off)
        else:
            need = count + _MOST_CROSSINGS * int((bottom - top) * (right - left))
            if need > keys.size:
                keys = np.concatenate([keys, np.empty(max(need - keys.size, keys.size), np.int64)])
            count = _step(image, top, bottom, left, right, before, t_us, log_now, level, camera.on, camera.off, keys, count)
        before = t_us
    noise = _noise(camera, draws, noise_hz, start, before)
    together = np.sort(np.concatenate([keys[:count], noise]))
    rested = together[_rested(together)]
    pixel = (rested >> 1) & (_PIXELS - 1)
    return Events(
        rested >> 15, (pixel % SENSOR).astype(np.uint8), (pixel // SENSOR).astype(np.uint8), (rested & 1).astype(np.bool_)
    )


def _noise(camera: Camera, draws: Draws, noise_hz: float, start_us: int, end_us: int) -> NDArray[np.int64]:
    """Return keys of leak, random and hot-pixel events, as many as their rates give on average."""
    seconds = (end_us - start_us) * 1e-6

    def times(count: int) -> NDArray[np.int64]:
        return start_us + np.floor(draws.uniforms(count) * (end_us - start_us)).astype(np.int64)

    def pixels(count: int) -> NDArray[np.int64]:
        return np.floor(draws.uniforms(count) * _PIXELS).astype(np.int64)

    leaks, random_ones = int(LEAK_HZ * _PIXELS * seconds), int(noise_hz * _PIXELS * seconds)
    leak = (times(leaks) << 15) | (pixels(leaks) << 1) | 1
    coin = (draws.uniforms(random_ones) < 0.5).astype(np.int64)
    either = (times(random_ones) << 15) | (pixels(random_ones) << 1) | coin
    each = int(HOT_HZ * seconds)
    hot = (times(each * camera.hot.size) << 15) | (np.repeat(camera.hot, each) << 1) | 1
    return np.concatenate([leak, either, hot])


def _rested(keys: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the events, ascending in time, find their pixel out of its refractory time."""
    rested = np.empty(keys.size, np.bool_)
    _rest(keys, np.full(_PIXELS, np.iinfo(np.int64).min // 2, np.int64), rested)
    return rested


@compiled
def _rest(keys: np.ndarray, last: np.ndarray, rested: np.ndarray) -> None:
    for i in range(keys.size):
        t = keys[i] >> 15
        pixel = (keys[i] >> 1) & (_PIXELS - 1)
        rested[i] = t - last[pixel] >= REFRACTORY_US
        if rested[i]:
            last[pixel] = t


# (ln(1 + r) - r) / r**2 on [sqrt(1/2) - 1, sqrt(2) - 1], degree 6, from its values at 4,000 Chebyshev nodes.
_LN2 = np.float32(0.6931472)
_SQRT2_BITS = np.int32(0x3FB504F3)
_ONE_BITS = np.int32(0x3F800000)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = (
    np.float32(v) for v in (-0.5000008, 0.33334354, -0.24983448, 0.19918212, -0.17102107, 0.1608035, -0.1043442)
)
_ZERO, _ONE, _DARK = np.float32(0), np.float32(1), np.float32(DARK)


@inlined
def _log(x: np.float32) -> np.float32:
    """Return the natural logarithm of a positive, normal float32, to about 1e-6."""
    bits = np.float32(x).view(np.int32)
    exponent = (bits - _ONE_BITS) >> np.int32(23)
    mantissa = np.int32(bits - (exponent << np.int32(23)))
    if mantissa > _SQRT2_BITS:
        mantissa -= np.int32(1 << 23)
        exponent += np.int32(1)
    r = np.int32(mantissa).view(np.float32) - _ONE
    p = (((((_P6 * r + _P5) * r + _P4) * r + _P3) * r + _P2) * r + _P1) * r + _P0
    return np.float32(np.float32(exponent) * _LN2 + (r + (r * r) * p))


@compiled
def _settle(image: np.ndarray, log_now: np.ndarray) -> None:
    for y in range(SENSOR):
        for x in range(SENSOR):
            log_now[y * SENSOR + x] = _log(np.float32(image[y, x] + _DARK))


@compiled
def _step(
    image: np.ndarray, top: int, bottom: int, left: int, right: int, before_us: int, now_us: int,
    log_now: np.ndarray, level: np.ndarray, on: np.ndarray, off: np.ndarray, keys: np.ndarray, count: int,
) -> int:  # fmt: skip
    """Append (time, pixel, polarity) as one integer for each crossing; return the new count."""
    span = np.float32(now_us - before_us)
    for y in range(top, bottom):
        for x in range(left, right):
            pixel = y * SENSOR + x
            new = _log(np.float32(image[y, x] + _DARK))
            old = log_now[pixel]
            if new == old:
                continue
            log_now[pixel] = new
            # The first crossing may lie where the noise at the start put it: before this interval.
            while new - level[pixel] >= on[pixel] or level[pixel] - new >= off[pixel]:
                brighter = new >= level[pixel]
                level[pixel] += on[pixel] if brighter else -off[pixel]
                share = np.float32(min(max((level[pixel] - old) / (new - old), _ZERO), _ONE))
                t = min(before_us + int(span * share), now_us - 1)
                keys[count] = (t << 15) | (pixel << 1) | int(brighter)
                count += 1
    return count
