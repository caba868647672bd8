"""Frames: every event is counted once, pooled by maximum, merged by polarity, scaled."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dvs.frames import AUTHORS_SCALE, FrameSpec, frames_of
from models.dvs.samples import SENSOR, DvsError, Events
from tests.tools.dvs_bytes import no_events

SMALL = FrameSpec(bin_us=10, slice_us=45, scale=1.0)


def events(*rows):
    """Events from (time, x, y, polarity)."""
    t, x, y, p = np.array(rows, np.int64).reshape(-1, 4).T
    return Events(t, x.astype(np.uint8), y.astype(np.uint8), p.astype(np.bool_))


@st.composite
def recordings(draw):
    rows = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 127), st.integers(0, 127), st.integers(0, 1)), max_size=40))
    return events(*sorted(rows))


def test_the_published_slice_makes_68_frames_of_32_by_32():
    spec = FrameSpec()
    assert (spec.frames, spec.shape, spec.scale) == (68, (68, 32, 32), AUTHORS_SCALE)
    frames = frames_of(no_events(), spec)
    assert frames.shape == spec.shape
    assert frames.dtype == np.float32
    assert not frames.any()


def test_a_bin_begins_at_its_first_microsecond_and_a_rest_shorter_than_a_bin_is_dropped():
    frames = frames_of(events((0, 0, 0, 1), (9, 0, 0, 1), (10, 0, 0, 1), (39, 0, 0, 1), (40, 0, 0, 1)), SMALL)
    assert (frames[:, 0, 0] * 2).tolist() == [2, 1, 0, 1]


def test_x_is_the_column_and_y_the_row():
    assert np.argwhere(frames_of(events((0, 127, 5, 1)), SMALL)).tolist() == [[0, 1, 31]]


def test_the_maximum_of_a_block_is_taken_for_each_polarity_before_they_are_merged():
    # Pixel (0, 0): two ON. Pixel (3, 3) of the same block: one ON, three OFF.
    block = events(*[(0, 0, 0, 1)] * 2, (1, 3, 3, 1), *[(2, 3, 3, 0)] * 3)
    expected = {"mean": (3 + 2) / 2, "diff": 2 - 3}
    for polarity, value in expected.items():
        assert frames_of(block, FrameSpec(10, 10, 32, polarity, 1.0))[0, 0, 0] == value
    both = frames_of(block, FrameSpec(10, 10, 32, "both", 1.0))
    assert both.shape == (1, 2, 32, 32)
    assert both[0, :, 0, 0].tolist() == [3, 2]


@settings(max_examples=40, deadline=None)
@given(recording=recordings(), size=st.sampled_from([1, 2, 4, 8, 16, 32, 64, 128]))
def test_without_pooling_every_event_of_the_slice_is_counted_once_and_pooling_takes_the_maximum(recording, size):
    whole = frames_of(recording, FrameSpec(10, 45, SENSOR, "both", 1.0))
    assert whole.sum() == (recording.t_us < 40).sum()
    pooled = frames_of(recording, FrameSpec(10, 45, size, "both", 1.0))
    block = SENSOR // size
    for row in range(0, size, max(size // 2, 1)):
        part = whole[:, :, row * block : (row + 1) * block, :block]
        assert (pooled[:, :, row, 0] == part.max(axis=(2, 3))).all()


@settings(max_examples=20, deadline=None)
@given(recording=recordings(), scale=st.floats(0.01, 100))
def test_frames_are_counts_divided_by_the_scale(recording, scale):
    counts = frames_of(recording, SMALL)
    assert (frames_of(recording, FrameSpec(10, 45, scale=scale)) == counts / np.float32(scale)).all()


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ({"bin_us": 0}, "bin_us"),
        ({"bin_us": 2, "slice_us": 1}, "bin_us"),
        ({"size": 33}, "divides 128"),
        ({"size": 0}, "divides 128"),
        ({"polarity": "sum"}, "polarity"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"bin_us": 1, "slice_us": 10**12}, "frames a slice"),
    ],
)
def test_a_specification_that_makes_no_frames_is_refused_in_one_line(bad, word):
    with pytest.raises(DvsError, match=word) as error:
        FrameSpec(**bad)
    assert "\n" not in str(error.value)
