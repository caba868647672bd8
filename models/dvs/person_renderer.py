"""A person before a wall, painted as intensity frames: head, torso, two arms of two links each, two hands.

Everything is a capsule (a line with a radius) with soft edges of one pixel. Elbows follow from the hands (two links
and the law of cosines), so only square roots and exact float steps are used and a frame is the same on every machine.
Only the part of the image around the arms is painted again for each frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from models.compute.compiling import compiled
from models.dvs.gestures import Hands
from models.dvs.portable_random import Draws
from models.dvs.samples import SENSOR
from models.dvs.subjects import Light, Subject
from models.network import F32, I64

_SHOULDER = 17.0  # half the distance between the shoulders at scale 1, in pixels; all lengths here are assumed
_NOTHING = (0, 0, 0, 0, SENSOR, 0, SENSOR, 0)  # a box (see `_paint`) before anything is painted


def frames(hands: Hands, subject: Subject, light: Light, draws: Draws, t_us: I64) -> Iterator[tuple[int, F32, I64]]:
    """Yield for each time: the time, the image (the same array each time), and the rows and columns that may differ.

    `hands` are paths over the times `t_us`; `draws` say where the subject stands this time, and what hangs on the wall.
    """
    scale = subject.scale * draws.uniform(0.96, 1.04)
    x, y = subject.x + draws.uniform(-5, 5), subject.y + draws.uniform(-4, 4)
    still = _still(subject, light, draws, x, y, scale)
    capsules = _arms(hands, subject, draws, x, y, scale)
    shades = np.array([subject.sleeves] * 4 + [subject.skin] * 2, np.float32) * np.float32(light.intensity)
    image, box = still.copy(), np.array(_NOTHING, np.int64)
    for number, time in enumerate(t_us):
        _paint(still, image, capsules[number], shades, box)
        yield int(time), image, box[:4]


def _still(subject: Subject, light: Light, draws: Draws, x: float, y: float, scale: float) -> F32:
    """Return what does not move: wall, furniture, torso and head."""
    across = np.linspace(-0.5, 0.5, SENSOR) * light.slope * draws.pick((1, -1))
    wall = np.maximum(subject.background * (1.0 + across[None, :] + 0 * across[:, None]), 0.02)
    for _ in range(4):  # pictures and cupboards
        top, left = draws.below(SENSOR), draws.below(SENSOR)
        wall[top : top + 10 + draws.below(50), left : left + 8 + draws.below(40)] *= draws.uniform(0.6, 1.4)
    still = (np.minimum(wall, 1.0) * light.intensity).astype(np.float32)
    torso = [x, y + 20 * scale, x, y + 100 * scale, 17 * scale]
    shoulders = [x - 13 * scale, y + 4 * scale, x + 13 * scale, y + 4 * scale, 6 * scale]
    head = [x, y - 20 * scale, x, y - 14 * scale, 9 * scale]
    body = np.array([torso, shoulders, head], np.float32)
    shades = np.array([subject.torso, subject.torso, subject.skin], np.float32) * np.float32(light.intensity)
    image = still.copy()
    _paint(still, image, body, shades, np.array(_NOTHING, np.int64))
    return image


def _arms(hands: Hands, subject: Subject, draws: Draws, x: float, y: float, scale: float) -> F32:
    """Return the six capsules of both arms at each time: (times, 6, 5) of x0, y0, x1, y1, radius."""
    # Arms that point towards the camera look shorter.
    upper = subject.upper_arm * scale * draws.uniform(0.8, 1.0)
    fore = subject.forearm * scale * draws.uniform(0.8, 1.0)
    capsules = np.empty((hands.u.shape[1], 6, 5))
    for side, sign in ((0, -1.0), (1, 1.0)):  # the subject's right is the image's left
        shoulder_x, shoulder_y = x + sign * _SHOULDER * scale, y + 2.0
        dx, dy = x + sign * hands.u[side] * scale - shoulder_x, hands.v[side] * scale + y - shoulder_y
        distance = np.sqrt(dx * dx + dy * dy) + 1e-6
        stretched = np.clip(distance, abs(upper - fore) + 1.0, upper + fore - 0.5)
        dx, dy = dx * (stretched / distance), dy * (stretched / distance)
        along = (upper * upper - fore * fore + stretched * stretched) / (2 * stretched)
        aside = np.sqrt(np.maximum(upper * upper - along * along, 0.0))
        ux, uy = dx / stretched, dy / stretched
        # Elbows point away from the body and down.
        elbow_x, elbow_y = shoulder_x + ux * along + sign * uy * aside, shoulder_y + uy * along - sign * ux * aside
        hand_x, hand_y = shoulder_x + dx, shoulder_y + dy
        for row, ends in enumerate(
            (
                (shoulder_x, shoulder_y, elbow_x, elbow_y, subject.arm * 1.2 * scale),
                (elbow_x, elbow_y, hand_x, hand_y, subject.arm * scale),
                (hand_x, hand_y, hand_x + 2 * ux, hand_y + 2 * uy, subject.hand * scale),
            )
        ):
            for column, value in enumerate(ends):
                capsules[:, 2 * row + side, column] = value
    return capsules.astype(np.float32)


_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@compiled
def _paint(still: np.ndarray, image: np.ndarray, capsules: np.ndarray, shades: np.ndarray, box: np.ndarray) -> None:
    """Paint the capsules over `still`, the last one in front.

    `box` holds rows and columns as first, after the last: in 4:8 what was painted, read and written; in 0:4, written, the
    part that may differ from before the call.
    """
    top, bottom, left, right = SENSOR, 0, SENSOR, 0
    for c in range(capsules.shape[0]):
        reach = capsules[c, 4] + _ONE
        top = min(top, int(np.floor(min(capsules[c, 1], capsules[c, 3]) - reach)))
        bottom = max(bottom, int(np.ceil(max(capsules[c, 1], capsules[c, 3]) + reach)) + 1)
        left = min(left, int(np.floor(min(capsules[c, 0], capsules[c, 2]) - reach)))
        right = max(right, int(np.ceil(max(capsules[c, 0], capsules[c, 2]) + reach)) + 1)
    top, bottom, left, right = max(top, 0), min(bottom, SENSOR), max(left, 0), min(right, SENSOR)
    box[0], box[1] = min(top, box[4]), max(bottom, box[5])
    box[2], box[3] = min(left, box[6]), max(right, box[7])
    box[4], box[5], box[6], box[7] = top, bottom, left, right
    for y in range(box[0], box[1]):
        for x in range(box[2], box[3]):
            image[y, x] = still[y, x]
    for c in range(capsules.shape[0]):
        x0, y0, radius = capsules[c, 0], capsules[c, 1], capsules[c, 4]
        dx, dy = capsules[c, 2] - x0, capsules[c, 3] - y0
        square = dx * dx + dy * dy
        inverse = _ONE / square if square > _ZERO else _ZERO
        inner, outer = max(radius - _HALF, _ZERO), radius + _HALF
        reach = radius + _ONE
        first, after = max(int(np.floor(min(x0, x0 + dx) - reach)), 0), min(int(np.ceil(max(x0, x0 + dx) + reach)) + 1, SENSOR)
        for y in range(max(int(np.floor(min(y0, y0 + dy) - reach)), 0), min(int(np.ceil(max(y0, y0 + dy) + reach)) + 1, SENSOR)):
            py = np.float32(y) - y0
            for x in range(first, after):
                px = np.float32(x) - x0
                at = min(max((px * dx + py * dy) * inverse, _ZERO), _ONE)
                qx, qy = px - at * dx, py - at * dy
                away = qx * qx + qy * qy
                if away >= outer * outer:
                    continue
                if away <= inner * inner:
                    image[y, x] = shades[c]
                else:
                    image[y, x] += (outer - np.sqrt(away)) * (shades[c] - image[y, x])
