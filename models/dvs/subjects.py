"""A synthetic subject and the light: what stays the same over all of its gestures.

Every number here is assumed; the ranges are wide so that nobody in the test split looks or moves like somebody in the
train split. Lengths are in pixels of the 128 x 128 sensor.
"""

from dataclasses import dataclass

from models.dvs.portable_random import Draws

TRAIN_SUBJECTS, TEST_SUBJECTS = 24, 8


@dataclass(frozen=True)
class Light:
    """How a room is lit."""

    name: str
    intensity: float  # of white; the camera's dark current is added to it, so less light means less contrast
    noise_hz: float  # random events a second and pixel: more of them in less light
    slope: float  # how much brighter one side of the background is than the other


LIGHTS = (
    Light("fluorescent", 0.8, 0.15, 0.2),
    Light("fluorescent_led", 1.0, 0.10, 0.1),
    Light("lab", 0.6, 0.25, 0.3),
    Light("led", 0.4, 0.45, 0.5),
    Light("natural", 1.0, 0.15, 0.7),
)
"""Named as the lights of DVS128 Gesture are; what each is like is assumed."""


@dataclass(frozen=True)
class Subject:
    """One person: body, clothes and manner."""

    name: str
    scale: float  # size in the image; at 1 the shoulders are 34 pixels apart
    x: float  # middle of the shoulders
    y: float
    upper_arm: float  # length at scale 1
    forearm: float
    hand: float  # radius at scale 1
    arm: float  # radius at scale 1
    sleeves: float  # reflectance, 0 to 1
    torso: float
    skin: float
    background: float
    speed: float  # factor on the pace of every gesture
    reach: float  # factor on its size
    left_handed: bool


def subject_of(seed: int, number: int) -> Subject:
    """Return subject `number` (from 1) of the world with this seed."""
    draws = Draws(seed, 0x5B, number)
    torso = draws.uniform(0.15, 0.8)
    # Clothes and skin that cannot be told from each other would leave nothing to see.
    sleeves = _unlike(torso, draws.uniform(1.35, 1.9), draws)
    skin = _unlike(torso, draws.uniform(1.6, 2.4), draws)
    return Subject(
        name=f"user{number:02d}",
        scale=draws.uniform(0.82, 1.18),
        x=draws.uniform(56, 72),
        y=draws.uniform(40, 52),
        upper_arm=draws.uniform(20, 25),
        forearm=draws.uniform(18, 23),
        hand=draws.uniform(4.6, 6.4),
        arm=draws.uniform(3.4, 4.8),
        sleeves=sleeves,
        torso=torso,
        skin=skin,
        background=draws.uniform(0.15, 0.9),
        speed=draws.uniform(0.8, 1.25),
        reach=draws.uniform(0.8, 1.2),
        left_handed=draws.chance(0.2),
    )


def _unlike(shade: float, ratio: float, draws: Draws) -> float:
    """Return a reflectance that is `ratio` times brighter or darker than `shade`."""
    darker = shade / ratio > 0.1 and draws.chance(0.5)
    return shade / ratio if darker or shade * ratio > 0.95 else shade * ratio
