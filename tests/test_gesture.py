"""The gesture classifier's head and read-out: every bit by loops written out, the values by torch and by float64."""

import itertools
from dataclasses import replace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.compute.compiling import _dispatchers
from models.heads import gesture as module
from models.heads.gesture import ConvLayer, Gesture, Scores, features_of
from models.network import ModelError

ZERO = np.float32(0)
numbers = st.floats(-2, 2, width=32) | st.sampled_from([0.0, -0.0, 0.1, 3e7, -3e7, 2.0**-149])


def arrays(*shape):
    return hnp.arrays(np.float32, shape, elements=numbers)


def normal(rng, *shape):
    return (rng.normal(0, 1, shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def classifier(head, size, features=3, units=4, classes=2, rng=None, **more):
    rng = rng or np.random.default_rng(1)
    width, channels = size, 1
    for layer in head:
        width, channels = layer.width(width), len(layer.weight)
    parts = normal(rng, features, channels * width**2), normal(rng, features), normal(rng, classes, units), normal(rng, classes)
    return Gesture(tuple(head), *parts, tuple(f"c{n}" for n in range(classes)), size=size, **more)


def alexnet(width=1.0, rng=None):
    """The authors' layer plan (EvNN, benchmarks/dvs_gesture) at a share of its channels."""
    rng = rng or np.random.default_rng(2)
    layers, before = [], 1
    for out, k, stride, padding, pool in (
        (64, 11, 4, 2, True),
        (192, 5, 1, 2, True),
        (384, 3, 1, 1, False),
        (256, 3, 1, 1, False),
        (256, 3, 1, 1, False),
    ):
        out = int(out * width)
        layers.append(ConvLayer(normal(rng, out, before, k, k), normal(rng, out), stride, padding, pool))
        before = out
    return classifier(layers, 32, 512, 256, 11, rng)


# ---- the head, bit for bit


def by_loops(layer, frame, relu=True):
    """One frame (channels, size, size) through a layer: a scalar at a time, zeros of the padding included."""
    p, stride, k = layer.padding, layer.stride, layer.weight.shape[2]
    padded = np.pad(frame, ((0, 0), (p, p), (p, p)))
    width = (padded.shape[1] - k) // stride + 1
    out = np.empty((len(layer.weight), width, width), np.float32)
    for o, y, x in itertools.product(range(len(out)), range(width), range(width)):
        total = ZERO
        for c, ky, kx in itertools.product(range(len(frame)), range(k), range(k)):
            total = total + layer.weight[o, c, ky, kx] * padded[c, y * stride + ky, x * stride + kx]
        total = total + layer.bias[o]
        out[o, y, x] = ZERO if relu and total < 0 else total
    if layer.pool:
        half = (width - 3) // 2 + 1
        pooled = [[out[:, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3].max(axis=(1, 2)) for x in range(half)] for y in range(half)]
        out = np.array(pooled, np.float32).transpose(2, 0, 1)
    return out


@st.composite
def heads(draw):
    """One or two small convolutions and frames that they fit."""
    size, channels, layers = draw(st.integers(3, 7)), 1, []
    width = size
    for _ in range(draw(st.integers(0, 2))):
        out, k = draw(st.integers(1, 3)), draw(st.integers(1, min(3, width)))
        stride, padding = draw(st.integers(1, 2)), draw(st.integers(0, k - 1))
        layer = ConvLayer(draw(arrays(out, channels, k, k)), draw(arrays(out)), stride, padding)
        if layer.width(width) >= 3 and draw(st.booleans()):
            layer = replace(layer, pool=True)
        layers.append(layer)
        width, channels = layer.width(width), out
    linear = draw(arrays(2, channels * width**2)), draw(arrays(2))
    relu = draw(st.booleans())
    one = np.ones((1, 1), np.float32)
    made = Gesture(tuple(layers), *linear, one, one[0], ("any",), size=size, feature_relu=relu)
    return made, draw(arrays(draw(st.integers(1, 2)), size, size))


@given(heads())
@settings(deadline=None, max_examples=60)
def test_features_are_sums_in_ascending_channel_row_and_column_with_the_bias_last(case):
    """To the bit (a zero of either sign is a zero): products with zeros and padding, left out, would change nothing."""
    made, frames = case
    for frame, features in zip(frames, features_of(made, frames), strict=True):
        seen = frame[None]
        for layer in made.head:
            seen = by_loops(layer, seen)
        want = []
        for row, bias in zip(made.linear_weight, made.linear_bias, strict=True):
            total = ZERO
            for weight, value in zip(row, seen.ravel(), strict=True):
                total = total + weight * value
            total = total + bias
            want.append(ZERO if made.feature_relu and total < 0 else total)
        assert (features + ZERO).tobytes() == (np.array(want, np.float32) + ZERO).tobytes()


def test_a_frame_alone_has_the_features_that_it_has_among_others():
    made = alexnet(0.1)
    frames = np.random.default_rng(3).random((70, 32, 32), np.float32)  # more than go through side by side
    together = features_of(made, frames)
    assert together.shape == (70, 512)
    for n in (0, 1, 63, 64, 69):
        assert features_of(made, frames[n : n + 1]).tobytes() == together[n].tobytes()
    assert features_of(made, frames[:0]).shape == (0, 512)


def test_the_authors_plan_at_32_pixels_leaves_one_pixel_and_512_features():
    made = alexnet(0.5)
    assert (made.head[0].convolved(32), made.widths) == (7, [32, 3, 1, 1, 1, 1])
    assert [len(layer.weight) for layer in made.head] == [32, 96, 192, 128, 128]
    assert (made.features, made.units, made.frames) == (512, 256, 68)


# ---- the head's values


@pytest.mark.wide
def test_values_are_those_of_torch():
    """Within 1e-5 of the largest: both are float32, in other orders."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    made = alexnet(0.25)
    frames = np.random.default_rng(4).poisson(0.3, (9, 32, 32)).astype(np.float32)
    seen = torch.from_numpy(frames)[:, None]
    for layer in made.head:
        weight, bias = torch.from_numpy(layer.weight), torch.from_numpy(layer.bias)
        seen = functional.relu(functional.conv2d(seen, weight, bias, layer.stride, layer.padding))
        seen = functional.max_pool2d(seen, 3, 2) if layer.pool else seen
    want = functional.linear(seen.flatten(1), torch.from_numpy(made.linear_weight), torch.from_numpy(made.linear_bias)).numpy()
    assert np.abs(features_of(made, frames) - want).max() <= 1e-5 * np.abs(want).max()


def test_values_are_those_of_float64():
    """By windows and `einsum`, within 1e-5 of the largest; the flattened order is (channel, row, column)."""
    rng = np.random.default_rng(5)
    head = (
        ConvLayer(normal(rng, 5, 1, 5, 5), normal(rng, 5), 2, 2, True),
        ConvLayer(normal(rng, 6, 5, 2, 2), normal(rng, 6), 1, 1),
    )
    made = classifier(head, 19, 8, rng=rng)
    frames = rng.random((4, 19, 19)).astype(np.float32)
    seen = frames[:, None].astype(np.float64)
    for layer in head:
        p, k = layer.padding, layer.weight.shape[2]
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(seen, ((0, 0), (0, 0), (p, p), (p, p))), (k, k), (2, 3))
        seen = np.einsum("ncyxij,ocij->noyx", windows[:, :, :: layer.stride, :: layer.stride], layer.weight.astype(np.float64))
        seen = np.maximum(seen + layer.bias[None, :, None, None], 0)
        if layer.pool:
            seen = np.lib.stride_tricks.sliding_window_view(seen, (3, 3), (2, 3))[:, :, ::2, ::2].max(axis=(4, 5))
    assert seen.shape[2] > 1
    want = seen.reshape(4, -1) @ made.linear_weight.T.astype(np.float64) + made.linear_bias
    assert np.abs(features_of(made, frames) - want).max() <= 1e-5 * np.abs(want).max()


def test_nothing_is_compiled_behind_the_warm_up():
    module.warm()
    before = [len(d.signatures) for d in _dispatchers]
    made = alexnet(0.1)
    frames = np.ones((2, 32, 32), np.float32)
    frames.flags.writeable = False
    features_of(made, frames)
    features_of(made, frames.transpose(0, 2, 1))
    Scores(made).scores()
    assert [len(d.signatures) for d in _dispatchers] == before


# ---- the read-out


@st.composite
def answers(draw):
    """A read-out, and the events of some positions: keys ascending, values float32."""
    units, classes = draw(st.integers(1, 5)), draw(st.integers(1, 3))
    none = np.ones((1, 9), np.float32), np.ones(1, np.float32)
    names = tuple(f"c{n}" for n in range(classes))
    trace = draw(st.sampled_from([0.0, 0.9, 0.5]))
    made = Gesture((), *none, draw(arrays(classes, units)), draw(arrays(classes)), names, size=3, trace=trace)
    positions = []
    for _ in range(draw(st.integers(1, 6))):
        keys = np.flatnonzero(draw(hnp.arrays(bool, units))).astype(np.uint32)
        positions.append((keys, draw(arrays(len(keys)))))
    return made, positions


@given(answers())
@settings(deadline=None, max_examples=80)
def test_scores_rise_position_by_position_as_loops_say_to_the_bit(case):
    made, positions = case
    keep = np.float32(made.trace)
    share = np.float32(1) - keep
    heard, total = [ZERO] * made.units, [ZERO] * made.units
    scores = Scores(made)
    assert (scores.scores() + ZERO).tobytes() == (made.readout_bias + ZERO).tobytes()  # silence
    for count, (keys, values) in enumerate(positions, start=1):
        scores.add(keys, values)
        y = dict(zip(keys.tolist(), values, strict=True))
        for unit in range(made.units):
            heard[unit] = keep * heard[unit] + share * y.get(unit, ZERO)
            total[unit] = total[unit] + heard[unit]
        want = []
        for row, bias in zip(made.readout_weight, made.readout_bias, strict=True):
            score = ZERO
            for weight, value in zip(row, total, strict=True):
                score = score + weight * (value / np.float32(count))
            want.append(score + bias)
        assert (scores.scores() + ZERO).tobytes() == (np.array(want, np.float32) + ZERO).tobytes()
        assert scores.positions == count


@pytest.mark.parametrize("trace", [0.0, 0.9])
def test_scores_are_the_mean_over_time_of_those_of_each_position(trace):
    """What a training loop computes: within 1e-6 in float64."""
    rng = np.random.default_rng(6)
    made = classifier((), 3, units=256, classes=11, rng=rng, trace=trace)
    scores, heard, each = Scores(made), np.zeros(256), []
    for _ in range(68):
        y = np.where(rng.random(256) < 0.2, rng.random(256), 0).astype(np.float32)
        heard = trace * heard + (1 - trace) * y
        each.append(made.readout_weight.astype(np.float64) @ heard + made.readout_bias)
        scores.add(np.flatnonzero(y).astype(np.uint32), y[y != 0])
    assert np.abs(scores.scores() - np.mean(each, axis=0)).max() < 1e-6


def test_a_sequence_takes_its_own_events_out_of_those_of_a_batch():
    made = classifier((), 3, units=4, trace=0.5)
    rng = np.random.default_rng(7)
    lanes, alone = [Scores(made, lane) for lane in range(3)], [Scores(made) for _ in range(3)]
    for _ in range(5):
        y = np.where(rng.random((3, 4)) < 0.6, rng.random((3, 4)), 0).astype(np.float32)
        keys = np.flatnonzero(y).astype(np.uint32)
        for lane in range(3):
            lanes[lane].add(keys, y.ravel()[keys])
            mine = np.flatnonzero(y[lane]).astype(np.uint32)
            alone[lane].add(mine, y[lane, mine])
    assert [s.scores().tobytes() for s in lanes] == [s.scores().tobytes() for s in alone]
    assert len({s.scores().tobytes() for s in lanes}) == 3


def test_events_of_the_wire_are_taken_and_a_reset_forgets_them():
    made = classifier((), 3, units=4, trace=0.9)
    scores, silent = Scores(made), Scores(made).scores()
    scores.add(np.frombuffer(np.array([1, 3], "<u4").tobytes(), "<u4"), np.frombuffer(np.array([1, 2], "<f4").tobytes(), "<f4"))
    assert scores.scores().tobytes() != silent.tobytes()
    scores.reset()
    assert (scores.scores().tobytes(), scores.positions) == (silent.tobytes(), 0)


# ---- what cannot be


GOOD = classifier((ConvLayer(np.ones((2, 1, 3, 3), np.float32), np.zeros(2, np.float32), pool=True),), 8)
OTHER = np.ones((2, 5, 1, 1), np.float32)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"size": 0}, "frames need 1 to 1024 pixels, have 0"),
        ({"size": 4}, "frames of 4 pixels become 4 > 0; needs at least 1"),
        ({"size": 9}, "gesture: linear weight needs shape"),
        ({"head": (ConvLayer(OTHER, np.zeros(2, np.float32)),)}, "convolution 1 is for 5 channels, hears 1"),
        ({"linear_bias": np.zeros(2, np.float32)}, "gesture: linear bias needs shape (3,), has (2,)"),
        ({"readout_weight": np.zeros((3, 4), np.float32)}, "gesture: readout weight needs shape (2, 4), has (3, 4)"),
        ({"readout_weight": np.zeros((2, 0), np.float32)}, "gesture: readout weight needs shape"),
        ({"readout_bias": np.zeros(3, np.float32)}, "gesture: readout bias needs shape (2,), has (3,)"),
        ({"readout_bias": np.array([np.inf, 0], np.float32)}, "readout_bias: 1 of 2 values are not finite"),
        ({"classes": ("a", "a")}, "no name twice"),
        ({"classes": ("a", "")}, "needs classes with names"),
        ({"classes": ("a", "b\n")}, "needs classes with names"),
        ({"polarity": "none"}, "polarity 'none' is not known here, needs 'mean' or 'diff'"),
        ({"bin_us": 0}, "has 0 us in a slice of 1700000 us"),
        ({"slice_us": 10}, "has 25000 us in a slice of 10 us"),
        ({"scale": 0.0}, "scale 0.0 needs a finite number above 0"),
        ({"scale": float("inf")}, "scale inf"),
        ({"trace": 1.0}, "trace 1.0 needs a number from 0 to below 1"),
        ({"trace": float("nan")}, "trace nan"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused_in_one_line(change, line):
    with pytest.raises(ModelError) as caught:
        replace(GOOD, **change)
    assert line in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("shape", "bias", "more"),
    [
        ((2, 1, 3), 2, {}),
        ((2, 1, 3, 2), 2, {}),
        ((2, 0, 3, 3), 2, {}),
        ((2, 1, 3, 3), 3, {}),
        ((2, 1, 3, 3), 2, {"stride": 0}),
        ((2, 1, 3, 3), 2, {"padding": 3}),
        ((2, 1, 3, 3), 2, {"padding": -1}),
    ],
)
def test_a_convolution_that_cannot_be(shape, bias, more):
    with pytest.raises(ModelError, match="convolution: needs"):
        ConvLayer(np.ones(shape, np.float32), np.zeros(bias, np.float32), **more)


@pytest.mark.parametrize("shape", [(8, 8), (1, 7, 8), (1, 8, 7), (1, 1, 8, 8)])
def test_frames_of_another_size_are_refused(shape):
    with pytest.raises(ModelError, match=r"frames: need shape \(n, 8, 8\), have"):
        features_of(GOOD, np.zeros(shape, np.float32))
