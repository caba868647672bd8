"""Sets of synthetic gestures: subjects, lights and repetitions, rendered and recorded as they are asked for.

Everything follows from one seed, so a sample is the same whichever others are rendered, in whichever order. It knows
no file format: `write_dataset.py` writes the same recordings to files.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from models.dvs.camera import camera_of, record
from models.dvs.gestures import hands_of
from models.dvs.person_renderer import frames
from models.dvs.portable_random import Draws
from models.dvs.samples import CLASSES, SLICE_US, Damage, DvsError, Events, GestureSet, Sample, check_split
from models.dvs.subjects import LIGHTS, TEST_SUBJECTS, TRAIN_SUBJECTS, subject_of

FRAME_US = 2_000  # time between rendered frames: hands move less than a pixel in it
REPETITIONS = {"train": 2, "test": 1}  # how often each subject performs each gesture under each light
SUBJECTS = {"train": TRAIN_SUBJECTS, "test": TEST_SUBJECTS}
MOST_SUBJECTS = 500
MOST_REPETITIONS = 1_000_000
_FIRST = {"train": 1, "test": MOST_SUBJECTS + 1}
SOURCE = "synthetic event camera (Gennaker): no recordings of people"
LONGEST_US = 60_000_000


class DatasetPlan(NamedTuple):
    """How many of each: every subject performs every gesture, under every light, so often."""

    subjects: int
    lights: int
    repetitions: int


def checked_plan(who: str, seed: int, subjects: int, lights: int, repetitions: int, slice_us: int) -> DatasetPlan:
    """Return the numbers as a plan; raise `DvsError` for `who` where one is out of its range."""
    bounds = (
        ("subjects", subjects, 1, MOST_SUBJECTS), ("lights", lights, 1, len(LIGHTS)), ("seed", seed, 0, 2**32 - 1),
        ("repetitions", repetitions, 1, MOST_REPETITIONS), ("microseconds a slice", slice_us, 1, LONGEST_US),
    )  # fmt: skip
    for what, have, least, most in bounds:
        if not least <= have <= most:
            raise DvsError(f"{who}: need {least} to {most} as {what}, have {have}")
    return DatasetPlan(subjects, lights, repetitions)


def rendered(seed: int, person: int, light: int, label: int, repetition: int, slice_us: int = SLICE_US) -> Events:
    """Return the events of one performance; times from 0 to below `slice_us`, microseconds.

    `seed` makes the world: its subjects and its camera. `person` counts from 1, in the test split from `MOST_SUBJECTS` + 1,
    `repetition` from 0; `light` and `label` are places in `LIGHTS` and `CLASSES`.
    """
    draws = Draws(seed, 0x9E, person, light, label, repetition)
    subject, lit = subject_of(seed, person), LIGHTS[light]
    t_us = np.minimum(np.arange(0, slice_us + FRAME_US, FRAME_US, dtype=np.int64), slice_us)
    hands = hands_of(label, draws, subject, t_us)
    return record(camera_of(seed), frames(hands, subject, lit, draws, t_us), draws, lit.noise_hz)


def open_synthetic(
    split: str, slice_us: int = SLICE_US, seed: int = 1, subjects: int | None = None, lights: int = 4,
    repetitions: int | None = None,
) -> GestureSet:  # fmt: skip
    """Return a set of synthetic gestures; nobody of the test split is in the train split.

    Samples of `slice_us` microseconds come in rounds of eleven, every class once in each, so that the first N cover the
    classes: `repetitions` of each by each of the `subjects` under each of the first `lights` lights, by default as
    `REPETITIONS` and `SUBJECTS` say. Another seed gives other subjects and another camera. Raises `DvsError`.
    """
    check_split("open_synthetic", split, slice_us)
    people = SUBJECTS[split] if subjects is None else subjects
    times = REPETITIONS[split] if repetitions is None else repetitions
    plan = checked_plan("open_synthetic", seed, people, lights, times, slice_us)

    def read(_: list[Damage]) -> Iterator[Sample]:
        for person, light, label, repetition in _order(split, seed, plan):
            events = rendered(seed, person, light, label, repetition, slice_us)
            name = f"{recording_name(seed, person, light)}[{repetition * len(CLASSES) + label}]#0"
            yield Sample(events, label, subject_of(seed, person).name, name)

    return GestureSet(
        name="synthetic", split=split, source=f"{SOURCE}, seed {seed}", read=read, count=people * lights * times * len(CLASSES)
    )


def recording_name(seed: int, person: int, light: int) -> str:
    """Return the file name of a recording, as DVS128 Gesture names its own."""
    return f"{subject_of(seed, person).name}_{LIGHTS[light].name}.aedat"


def people_of(split: str, subjects: int) -> range:
    """Return the numbers of a split's subjects."""
    return range(_FIRST[split], _FIRST[split] + subjects)


def _order(split: str, seed: int, plan: DatasetPlan) -> Iterator[tuple[int, int, int, int]]:
    """Yield (person, light, label, repetition): every one once, each class once in every eleven."""
    draws = Draws(seed, 0x0D, _FIRST[split])
    rounds = [(person, light) for person in people_of(split, plan.subjects) for light in range(plan.lights)]
    for repetition in range(plan.repetitions):
        # Each class meets the performances in its own order, so that a round shows different people.
        orders = [draws.shuffled(rounds) for _ in CLASSES]
        for number in range(len(rounds)):
            for label in draws.shuffled(range(len(CLASSES))):
                person, light = orders[label][number]
                yield person, light, label, repetition
