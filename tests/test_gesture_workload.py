"""The gesture workload by itself: rounds, features in DRAM, classes, and what is shown."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.errors import HostError
from host.workloads.dvs.readout import ClassReadout, class_of
from host.workloads.dvs.results import Setting
from host.workloads.dvs.source import SampleSource, SampleStore, picture_of
from host.workloads.lane_sets import read_lanes
from models.dvs.frames import FrameSpec, frames_of
from models.dvs.samples import DvsError
from models.dvs.synthetic import open_synthetic
from models.heads.gesture import Scores, features_of
from models.network import Population
from noc.dram import Dram
from noc.packet import FRESH, RESET, VALID, Section
from tests.tools.gestures import small

GESTURE = small().gesture
FRAMES = GESTURE.frames
COUNT = 7
SPEC = FrameSpec(GESTURE.bin_us, GESTURE.slice_us, GESTURE.size, GESTURE.polarity, GESTURE.scale)


@functools.cache
def first_samples():
    """The first samples of the synthetic test set."""
    return list(itertools.islice(open_synthetic("test", GESTURE.slice_us).samples(), COUNT))


@functools.cache
def features():
    return [features_of(GESTURE, frames_of(sample.events, SPEC)) for sample in first_samples()]


def workload(lanes, heard, most=COUNT, capacity=1 << 22):
    dram = Dram(capacity, 16)
    store = SampleStore(dram, Population("features", GESTURE.features), frames=FRAMES, lanes=lanes, samples=most)
    return SampleSource(GESTURE, iter(heard), store, lanes=lanes, limit=most, into=0), dram


def readout_of(source):
    setting = Setting(GESTURE.classes, "here", "", "test", None, FRAMES, GESTURE.bin_us, GESTURE.slice_us, {})
    return ClassReadout(GESTURE, source, setting, list)


def fed(feed, lanes):
    """The vectors that a feed's events make, one a lane."""
    vectors = np.zeros(lanes * GESTURE.features, np.float32)
    keys, values = feed.events[0]
    vectors[np.frombuffer(keys, "<u4")] = np.frombuffer(values, "<f4")
    return vectors.reshape(lanes, -1)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9))
def test_samples_run_in_rounds_and_each_round_begins_fresh(lanes, most):
    work, dram = workload(lanes, first_samples(), most)
    count = min(most, COUNT)
    for position in itertools.count():
        feed = work.next()
        if feed is None:
            break
        turn, frame = divmod(position, FRAMES)
        assert feed.position == position
        assert feed.flags == (VALID if frame else VALID | FRESH | RESET)
        running = [turn * lanes + lane < count for lane in range(lanes)]
        begin, reset, idle = read_lanes(feed.flags, feed.lanes, lanes)
        assert begin.tolist() == reset.tolist() == [runs and frame == 0 for runs in running]
        assert idle.tolist() == [not runs for runs in running]
        for lane, vector in enumerate(fed(feed, lanes)):
            number = turn * lanes + lane
            assert work.sequence_at(lane, position) == ((number, frame) if number < count else None)
            assert (vector == (features()[number][frame] if number < count else 0)).all()
    assert position == -(-count // lanes) * FRAMES == work.positions
    assert work.exhausted()
    assert dram.read_bytes == dram.written_bytes == 4 * GESTURE.features * FRAMES * count


def test_the_classes_are_those_of_the_scores_of_each_sample_alone():
    work, _ = workload(3, first_samples())
    readout = readout_of(work)
    rng = np.random.default_rng(3)
    events = rng.random((work.positions + 2 * FRAMES, 3 * GESTURE.units)).astype(np.float32)
    while (feed := work.next()) is not None:
        keys = np.flatnonzero(events[feed.position] > 0.7).astype("<u4")
        section = Section(2, VALID, feed.position, keys.tobytes(), events[feed.position][keys].tobytes(), b"")
        readout.answer(feed.position, {2: [section]})
    assert [answer.name for answer in readout.answers] == [sample.name for sample in first_samples()]
    for number, answer in enumerate(readout.answers):
        alone = Scores(GESTURE, number % 3)
        for position in range(number // 3 * FRAMES, (number // 3 + 1) * FRAMES):
            keys = np.flatnonzero(events[position] > 0.7).astype("<u4")
            alone.add(keys, events[position][keys])
        assert answer.scores == alone.scores().tolist()
        assert answer.prediction == class_of(np.array(answer.scores, np.float32))
    assert readout.progress().done == COUNT * FRAMES


def test_of_equal_scores_the_first_class_wins_and_no_number_loses():
    assert class_of(np.array([1, 3, 3], np.float32)) == 1
    assert class_of(np.array([np.nan, -5, np.nan], np.float32)) == 1
    assert class_of(np.full(3, np.nan, np.float32)) == 0


def test_a_set_that_is_larger_than_the_memory_is_streamed_through_it():
    """Room for five samples: two rounds of two, and a set of seven."""
    each = 4 * GESTURE.features * FRAMES
    work, _ = workload(2, first_samples(), capacity=2 * (0x400 + 5 * each))
    while (feed := work.next()) is not None:
        turn, frame = divmod(feed.position, FRAMES)
        for lane, vector in enumerate(fed(feed, 2)):
            number = 2 * turn + lane
            assert (vector == (features()[number][frame] if number < COUNT else 0)).all()


def test_where_two_rounds_do_not_fit_the_memory_it_is_refused_in_one_line():
    each = 4 * GESTURE.features * FRAMES
    with pytest.raises(HostError) as caught:
        workload(3, first_samples(), capacity=2 * (0x400 + 5 * each))
    assert str(caught.value) == f"DRAM: features of 6 samples need {6 * each:,} B, has room for 5 in {2 * (0x400 + 5 * each):,} B"
    assert caught.value.code == 3


@pytest.mark.parametrize("error", [DvsError("folder: gone"), OSError("disk on\nfire")])
def test_a_set_that_breaks_off_runs_as_far_as_it_was_read(error):
    def broken():
        yield from first_samples()[:4]
        raise error

    work, _ = workload(3, broken())
    while work.next() is not None:
        pass
    assert work.positions == 2 * FRAMES
    assert work.ended == " ".join(str(error).split())
    assert readout_of(work).progress().total == 4 * FRAMES


def test_the_picture_of_a_frame_is_as_bright_as_the_sample_gets():
    frames = np.zeros((2, 4, 4), np.float32)
    assert picture_of(frames).max() == 0
    frames[0, 1, 2], frames[1, 3, 3] = -2.0, 1.0
    picture = picture_of(frames).reshape(2, 4, 4)
    assert picture[0, 1, 2] == 255
    assert picture[1, 3, 3] in range(126, 130)
    assert np.count_nonzero(picture) == 2
