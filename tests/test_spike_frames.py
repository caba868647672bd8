"""Events as spikes of steps, columns of tables by their names, and other sensors' pixels."""

from __future__ import annotations

import numpy as np
import pytest

from models.dvs.denoise import near_others
from models.dvs.event_columns import columns_of
from models.dvs.samples import DvsError, Events
from models.dvs.sensors import KNOWN, on_sensor, smallest_sensor
from models.dvs.spike_frames import SpikeBins, spike_frames

EVENTS = Events(
    np.array([0, 999, 1000, 1500, 2999, 3000]), np.array([0, 1, 4, 5, 127, 9], np.uint8), np.array([0, 3, 8, 9, 127, 9], np.uint8),
    np.array([True, True, False, False, True, True]),
)  # fmt: skip


def bins(**changes):
    return SpikeBins(**{"bin_us": 1000, "steps": 3, "size": 32} | changes)


def test_a_cell_of_a_bin_spikes_once_and_off_is_the_first_channel():
    spikes = spike_frames(EVENTS, bins())
    assert spikes.shape == (3, 2, 32, 32)
    assert np.argwhere(spikes).tolist() == [[0, 1, 0, 0], [1, 0, 2, 1], [2, 1, 31, 31]]
    assert spikes.max() == 1  # two events of the first cell and of the second, and what comes after the last bin is left out


def test_counts_channels_and_sizes_are_as_they_are_said():
    assert spike_frames(EVENTS, bins(binary=False)).max() == 2
    swapped = spike_frames(EVENTS, bins(polarity="on-off"))
    assert (swapped == spike_frames(EVENTS, bins())[:, ::-1]).all()
    merged = spike_frames(EVENTS, bins(polarity="merged"))
    assert (merged[:, 0] == spike_frames(EVENTS, bins()).sum(axis=1)).all()
    wide = spike_frames(EVENTS, bins(size=16), sensor=(128, 256))
    assert np.argwhere(wide).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [2, 1, 7, 15]]


def test_events_without_another_beside_them_are_left_out():
    t_us = np.array([0, 400, 500, 900, 1500, 2900])  # a pair side by side, one far away, the first again, a pair too late
    x, y = np.array([4, 5, 90, 4, 126, 127], np.uint8), np.array([8, 9, 90, 8, 127, 127], np.uint8)
    events = Events(t_us, x, y, np.array([True, False, True, True, True, True]))
    assert np.flatnonzero(near_others(events, 1000, (128, 128))).tolist() == [1, 3]
    assert np.flatnonzero(near_others(events, 1400, (128, 128))).tolist() == [1, 3, 5]
    assert np.argwhere(spike_frames(events, bins(denoise_us=1000))).tolist() == [[0, 0, 2, 1], [0, 1, 2, 1]]
    assert bins(denoise_us=1000).described().endswith("; lonely events (none beside them in 1 ms) left out")


@pytest.mark.parametrize("changes", [{"denoise_us": -1}, {"steps": 0}, {"bin_us": 0}, {"polarity": "both"}, {"steps": 1 << 20}])
def test_what_makes_no_bins_is_refused_in_a_line(changes):
    with pytest.raises(DvsError, match="SpikeBins: need"):
        bins(**changes)


def test_bins_are_described_in_a_line():
    assert bins().described() == "3 steps of 1 ms, 32 x 32, channel 0 OFF, 1 ON, one spike a cell and bin"


def test_columns_are_found_by_their_names_in_any_order():
    assert columns_of(["Polarity", "y", "t_ms", "x"]) == (2, 3, 1, 0, "ms")
    assert columns_of(["x", "extra", "y", "on", "timestamp"])[:4] == (4, 0, 2, 3)
    assert columns_of(["t", "x", "y", "p"]).unit_us("s") == 1e6
    with pytest.raises(DvsError, match=r"needs named columns .* \(t: t or ts or time or times\), has a, x, y, p"):
        columns_of(["a", "x", "y", "p"])
    with pytest.raises(DvsError, match="has two columns that are x"):
        columns_of(["x", "xs", "y", "t", "p"])


def events_at(*pixels):
    x, y = np.array(pixels, np.int64).T
    return np.arange(len(x))[::-1].copy(), x, y, np.ones(len(x), bool)


def test_another_sensors_middle_square_is_scaled_and_what_lies_outside_is_told():
    events, said = on_sensor(*events_at((0, 5), (43, 0), (302, 259), (303, 10)), (346, 260))
    assert list(zip(events.x.tolist(), events.y.tolist(), strict=True)) == [(127, 127), (0, 0)]  # in order of time
    assert said == "346 x 260, its middle 260 x 260 (2 events lie outside) scaled to 128 x 128"
    events, said = on_sensor(*events_at((3, 5)), (128, 128))
    assert (events.x[0], events.y[0], said) == (3, 5, "128 x 128")


def test_a_smaller_sensor_is_refused_by_its_size():
    with pytest.raises(DvsError, match="a sensor of 34 x 34: needs at least 128 x 128"):
        on_sensor(*events_at((3, 5)), (34, 34))


def test_a_sensor_that_a_file_does_not_name_is_the_smallest_that_holds_its_pixels():
    _, x, y, _ = events_at((300, 5), (3, 200))
    size, why = smallest_sensor(x, y)
    assert (size, why) == ((304, 240), "taken for ATIS, 304 x 240: the file does not say, its largest x, y are (300, 200)")
    with pytest.raises(DvsError, match=f"lies outside every sensor that is known, {next(iter(KNOWN))}"):
        smallest_sensor(np.array([5000]), np.array([3]))
