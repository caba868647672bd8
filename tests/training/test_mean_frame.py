"""The baseline that sees no motion: what the average frame tells it finds, what only the order of frames tells it does not."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the trainer's extra is not installed")

from models.training.gesture.mean_frame import mean_frame_accuracy  # noqa: E402 - needs torch

pytestmark = pytest.mark.wide


@pytest.fixture(autouse=True)
def one_thread():
    """Small products on many threads do little but wait, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def samples(rng, count, moving):
    """Blobs of two classes: at two places, or (moving) at both places in two orders."""
    labels = rng.integers(0, 2, count)
    frames = rng.random((count, 4, 6, 6), np.float32)
    for sample, label in zip(frames, labels, strict=True):
        sample[slice(0, 2) if moving else slice(0, 4), 1 if label else 4, 2] += 3
        if moving:
            sample[2:4, 4 if label else 1, 2] += 3
    return frames, labels


@pytest.mark.slow
@pytest.mark.parametrize("subjects", [None, [f"user{n % 8}" for n in range(80)]])
def test_places_are_told_apart_and_the_order_of_places_is_not(subjects):
    rng = np.random.default_rng(1)
    for moving, least, most in ((False, 1.0, 1.0), (True, 0.3, 0.7)):
        train, test = samples(rng, 80, moving), samples(rng, 80, moving)
        assert least <= mean_frame_accuracy(*train, *test, subjects) <= most


def test_frames_may_come_one_by_one_and_the_figure_is_the_same_each_time():
    rng = np.random.default_rng(2)
    train, test = samples(rng, 30, False), samples(rng, 30, False)
    noisy = (train[0] * 0.1 + rng.random(train[0].shape, np.float32), train[1])
    whole = mean_frame_accuracy(*noisy, *test)
    assert whole == mean_frame_accuracy(iter(noisy[0]), noisy[1], iter(test[0]), test[1])


@pytest.mark.parametrize(
    ("train", "test", "word"),
    [
        (((), ()), (np.ones((1, 2, 3)), [0]), "train"),
        ((np.ones((2, 2, 3)), [0]), (np.ones((1, 2, 3)), [0]), "train"),
        ((np.ones((1, 2, 3)), [0]), ((), ()), "test"),
        ((np.ones((1, 2, 3)), [0]), (np.ones((1, 2, 4)), [0]), "one size"),
    ],
)
def test_samples_that_do_not_fit_are_refused_in_one_line(train, test, word):
    with pytest.raises(ValueError, match=word) as error:
        mean_frame_accuracy(*train, *test)
    assert "\n" not in str(error.value)
