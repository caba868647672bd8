"""Where the two hands are at each moment of a gesture.

A gesture is a function from random draws, a subject and times to two paths. Coordinates: u runs outwards from the middle of
the body on the hand's own side, v down from the shoulders; pixels at scale 1. So one description serves both hands, and
clockwise is turned into each hand's own sense of u: clockwise is as the camera sees it.

The classes share their places on purpose. A wave, a clockwise and a counter-clockwise circle of one hand have the same
distribution of middle, size and pace; clapping, rolling and drumming go on in front of the same chest. What tells them
apart is how the hands move. All numbers are assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from models.dvs.portable_random import Draws
from models.dvs.samples import CLASSES
from models.dvs.subjects import Subject
from models.network import F64, I64


class Hands(NamedTuple):
    """Paths of both hands: (2, times) each, the subject's right hand first."""

    u: F64
    v: F64


class _Path(NamedTuple):
    """The path of one hand."""

    u: F64
    v: F64


RIGHT, LEFT = 0, 1
_QUARTER = 0.25
# sin(2 pi x) / x in x**2 for |x| <= 1/4: Taylor's coefficients (2 pi)**(2k+1) / (2k+1)!, error below 1e-9.
_S = (
    6.283185307179586, -41.341702240399755, 81.60524927607504, -76.70585975306136, 42.058693944897655, -15.094642576822984,
    3.8199525848482822,
)  # fmt: skip


def sine(turns: F64) -> F64:
    """Return sin(2 pi turns) from exact steps alone: the same bits on every machine."""
    x = turns - np.rint(turns)  # within half a turn
    x = np.where(x > _QUARTER, 0.5 - x, np.where(x < -_QUARTER, -0.5 - x, x))
    square = x * x
    total = np.full_like(x, _S[-1])
    for coefficient in _S[-2::-1]:
        total = total * square + coefficient
    return np.asarray(total * x, np.float64)


class Trial:
    """One performance: a subject's draws and the times asked for."""

    def __init__(self, draws: Draws, subject: Subject, t_us: I64) -> None:
        self.draws, self.subject = draws, subject
        self.seconds: F64 = t_us.astype(np.float64) * 1e-6

    def phase(self, low_hz: float, high_hz: float) -> F64:
        """Return turns over time: a pace between the two, the subject's own factor, a slow swell, any start."""
        draws = self.draws
        hz = draws.uniform(low_hz, high_hz) * self.subject.speed
        swell = draws.uniform(0.0, 0.08)
        return draws.uniform(0, 1) + hz * self.seconds + swell * sine(draws.uniform(0.3, 0.8) * self.seconds + draws.uniform(0, 1))

    def size(self, low: float, high: float) -> float:
        """Return an amplitude in pixels at scale 1, with the subject's own factor."""
        return self.draws.uniform(low, high) * self.subject.reach

    def drift(self, pixels: float) -> F64:
        """Return a slow wander of about this amplitude."""
        return pixels * self.draws.uniform(0.3, 1) * sine(self.draws.uniform(0.2, 0.6) * self.seconds + self.draws.uniform(0, 1))

    def place(self, u: tuple[float, float], v: tuple[float, float]) -> _Path:
        """Return a hand that rests somewhere in a box, as still as hands are."""
        return _Path(self.draws.uniform(*u) + self.drift(1.2), self.draws.uniform(*v) + self.drift(1.2))

    def idle(self) -> _Path:
        """Return the hand that has nothing to do: down at the side, or held before the body."""
        if self.draws.chance(0.5):
            return self.place((8, 20), (34, 44))
        return self.place((2, 18), (12, 30))


def _tilted(turn: float, along: F64, across: F64, middle: _Path) -> _Path:
    """Return middle + (along, across) rotated by `turn` (in turns)."""
    sin, cos = sine(np.array([turn, turn + _QUARTER]))
    return _Path(middle.u + cos * along - sin * across, middle.v + sin * along + cos * across)


def _front(trial: Trial) -> _Path:
    """Return where one hand waves or circles."""
    return trial.place((0, 24), (-4, 22))


def _wave(trial: Trial) -> _Path:
    """Return a hand that goes to and fro along a slightly bent line that lies any way but upright."""
    swing = sine(trial.phase(1.2, 2.6))
    size, bend = trial.size(10, 16), trial.draws.uniform(-0.15, 0.15)
    return _tilted(trial.draws.uniform(-0.12, 0.12), size * swing, size * bend * (swing * swing - 0.5), _front(trial))


def _circle(sense: int) -> Callable[[Trial], _Path]:
    """Return a hand on an ellipse of any tilt; sense 1 is from u towards v."""

    def path(trial: Trial) -> _Path:
        phase = trial.phase(1.2, 2.6) * sense
        size, ratio = trial.size(10, 16), trial.draws.uniform(0.75, 1.0)
        return _tilted(trial.draws.uniform(0, 1), size * sine(phase + _QUARTER), size * ratio * sine(phase), _front(trial))

    return path


def _one_hand(side: int, path: Callable[[Trial], _Path]) -> Callable[[Trial], Hands]:
    def hands(trial: Trial) -> Hands:
        moving, still = path(trial), trial.idle()
        return _both(moving, still) if side == RIGHT else _both(still, moving)

    return hands


def _both(right: _Path, left: _Path) -> Hands:
    return Hands(np.stack([right.u, left.u]), np.stack([right.v, left.v]))


def _clapping(trial: Trial) -> Hands:
    """Return two hands that meet in the middle and part, on a line that may slant."""
    gap = 0.5 + 0.5 * sine(trial.phase(1.6, 3.2))
    size, height, slant = trial.size(10, 17), trial.draws.uniform(2, 26), trial.draws.uniform(-0.25, 0.25)
    shift, wander = trial.draws.uniform(-6, 6), trial.drift(1.5)
    u = 2.0 + size * gap
    right = _Path(u + shift, height + wander - slant * size * gap)
    return _both(right, _Path(u - shift, height + wander + slant * size * gap))


def _roll(trial: Trial) -> Hands:
    """Return two forearms that turn around each other, seen from the front or a little from above."""
    phase = trial.phase(1.3, 2.8) * trial.draws.pick((1, -1))
    size, flat = trial.size(8, 12), trial.draws.uniform(0.45, 0.8)
    reach, height, shift = trial.draws.uniform(-5, 6), trial.draws.uniform(2, 26), trial.draws.uniform(-6, 6)
    up, out = size * sine(phase), flat * size * sine(phase + _QUARTER)
    return _both(_Path(reach + shift + out, height + up), _Path(reach - shift - out, height - up))


def _drums(trial: Trial) -> Hands:
    """Return two hands that strike down in turn: fast down, slower up, a rest at the top."""
    phase = trial.phase(1.6, 3.0)
    height, shift = trial.draws.uniform(2, 26), trial.draws.uniform(-6, 6)
    paths = []
    for side in (RIGHT, LEFT):
        swing = 0.5 + 0.5 * sine(phase + 0.5 * side + 0.04 * sine(phase + 0.5 * side))
        strike = swing * swing * (1.5 - 0.5 * swing)
        where = trial.draws.uniform(5, 18) + (shift if side == RIGHT else -shift)
        paths.append(_Path(where + trial.drift(1.5) + 0.15 * strike, height - 6 + trial.size(11, 17) * strike))
    return _both(paths[0], paths[1])


def _guitar(trial: Trial) -> Hands:
    """Return one hand that strums before the belly and one that slides along the neck."""
    strum = sine(trial.phase(2.0, 3.6))
    middle = trial.place((-6, 14), (10, 30))
    strumming = _tilted(_QUARTER + trial.draws.uniform(-0.12, 0.12), trial.size(7, 12) * strum, 0 * strum, middle)
    slide = trial.size(0, 4) * sine(trial.phase(0.3, 0.9))
    neck = trial.place((8, 26), (0, 20))
    fretting = _Path(neck.u + slide, neck.v - 0.4 * slide)
    # A right-handed player strums with the right hand.
    return _both(fretting, strumming) if trial.subject.left_handed else _both(strumming, fretting)


def _other(trial: Trial) -> Hands:
    """Return one of the motions that are none of the ten."""
    kind = trial.draws.below(4)
    if kind == 0:  # both hands swing together, like wipers
        swing, size = sine(trial.phase(1.1, 2.2)), trial.size(10, 16)
        height, apart = trial.draws.uniform(-2, 20), trial.draws.uniform(10, 18)
        return _both(_Path(apart - size * swing, height + trial.drift(1.5)), _Path(apart + size * swing, height + trial.drift(1.5)))
    if kind == 1:  # both hands circle at once, mirrored or not
        phase, size = trial.phase(1.1, 2.2), trial.size(9, 13)
        other = phase * trial.draws.pick((1, -1)) + trial.draws.pick((0.0, 0.5))
        middle, second = trial.place((12, 24), (0, 22)), trial.place((12, 24), (0, 22))
        right = _tilted(0.0, size * sine(phase + _QUARTER), size * sine(phase), middle)
        return _both(right, _tilted(0.0, size * sine(other + _QUARTER), size * sine(other), second))
    if kind == 2:  # both hands lift and sink together
        lift, size = sine(trial.phase(1.0, 2.0)), trial.size(11, 17)
        paths = [_Path(at.u, at.v + size * lift) for at in (trial.place((6, 20), (4, 24)) for _ in range(2))]
        return _both(paths[0], paths[1])
    # the hands pull apart and together one above the other, aslant
    pull, size = sine(trial.phase(1.0, 2.0)), trial.size(10, 15)
    height, apart = trial.draws.uniform(6, 18), trial.draws.uniform(9, 16)
    return _both(_Path(apart + 0.7 * size * pull, height - size * pull), _Path(apart + 0.7 * size * pull, height + size * pull))


# The right hand's u runs to the left of the image: from u towards v is then counter-clockwise to the camera.
_GESTURES: tuple[Callable[[Trial], Hands], ...] = (
    _clapping, _one_hand(RIGHT, _wave), _one_hand(LEFT, _wave),
    _one_hand(RIGHT, _circle(-1)), _one_hand(RIGHT, _circle(1)), _one_hand(LEFT, _circle(1)), _one_hand(LEFT, _circle(-1)),
    _roll, _drums, _guitar, _other,
)  # fmt: skip
assert len(_GESTURES) == len(CLASSES)


def hands_of(label: int, draws: Draws, subject: Subject, t_us: I64) -> Hands:
    """Return the hands of a subject who performs class `label` at times `t_us` (times,) in microseconds, float64."""
    return _GESTURES[label](Trial(draws, subject, t_us))
