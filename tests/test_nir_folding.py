"""What has no state in a NIR file is folded: the weights between neurons compute what its nodes do one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from models.convolution import Convolution
from models.network import ModelError
from tests.tools.nir_files import chain, conv2d, graph, imported, lif, linear, neuron_if, port, stepped, write

pytest.importorskip("h5py")
STEPS = 4


def rng(seed=1):
    return np.random.default_rng(seed)


def random(*shape, seed=1):
    return rng(seed).normal(size=shape).astype(np.float32)


def conv(x, weight, *, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1, bias=None):
    """Return a cross-correlation of a map (channels, height, width), by its definition."""
    x = np.pad(x, ((0, 0), *padding))
    out, of_group, tall, wide = weight.shape
    rows = (x.shape[1] - dilation[0] * (tall - 1) - 1) // stride[0] + 1
    columns = (x.shape[2] - dilation[1] * (wide - 1) - 1) // stride[1] + 1
    y = np.zeros((out, rows, columns))
    for o, r, c in np.ndindex(*y.shape):
        first = o // (out // groups) * of_group
        for i, a, b in np.ndindex(of_group, tall, wide):
            y[o, r, c] += weight[o, i, a, b] * x[first + i, r * stride[0] + a * dilation[0], c * stride[1] + b * dilation[1]]
    return y if bias is None else y + np.asarray(bias)[:, None, None]


def pool(x, size, *, stride=None, padding=0, mean=False):
    ones = np.ones((len(x), 1, *size)) / (size[0] * size[1] if mean else 1)
    return conv(x, ones, stride=stride or size, padding=((padding, padding),) * 2, groups=len(x))


def values(path, root, x, **choices):
    """Return what an Output gives that weights feed, (STEPS, ...)."""
    of = imported(path, root, **choices)
    return stepped(of, x)[of.nodes[of.network.output]], of


def given_by(root, x, tmp_path, plainly, **choices):
    """Check that an Output gives what `plainly` makes of each step's input; return the import."""
    sent, of = values(tmp_path / "x.nir", root, x, **choices)
    expected = np.stack([np.asarray(plainly(row.astype(np.float64))).reshape(-1) for row in x])
    assert sent.shape == expected.shape
    np.testing.assert_allclose(sent, expected, rtol=2e-5, atol=2e-5)
    return of


def weights_of(of):
    return of.network.populations[of.network.output].projections[0].weights


CONVOLUTIONS = {
    "plain": {},
    "stride": {"stride": (2, 1)},
    "padding": {"padding": (1, 2)},
    "dilation": {"dilation": (2, 1)},
    "all": {"stride": (1, 2), "padding": (2, 1), "dilation": (1, 2)},
}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_stays_a_kernel(name, groups, tmp_path):
    """Not square, in any respect."""
    given, weight, x = CONVOLUTIONS[name], random(4, 4 // groups, 3, 2), random(STEPS, 4, 7, 9)
    params = {key: np.array(value) for key, value in given.items()}
    bias = random(4)
    node = conv2d(weight, groups=groups, bias=bias, input_shape=np.array([7, 9]), **params)
    rows = given.get("padding", (0, 0))
    like = {**given, "padding": ((rows[0], rows[0]), (rows[1], rows[1])), "groups": groups, "bias": bias}
    root = chain(("in", port("Input", 4, 7, 9)), ("c", node), ("out", {"type": "Output"}))
    of = given_by(root, x, tmp_path, lambda row: conv(row, weight, **like))
    assert isinstance(weights_of(of), Convolution)
    assert weights_of(of).places == weight.size


@pytest.mark.parametrize("form", [{"stride": 2, "padding": 1, "dilation": 1}, {"stride": np.array([2]), "padding": np.array([1])}])
def test_scalars_and_arrays_of_one_stand_for_both_dimensions(form, tmp_path):
    weight, x = random(3, 2, 3, 3), random(STEPS, 2, 6, 7)
    node = {"type": "Conv2d", "weight": weight, **form}  # no bias, no groups, no input_shape either
    root = chain(("in", port("Input", 2, 6, 7)), ("c", node), ("out", {"type": "Output"}))
    given_by(root, x, tmp_path, lambda row: conv(row, weight, stride=(2, 2), padding=((1, 1), (1, 1))))


@pytest.mark.parametrize(("tall", "wide"), [(3, 3), (2, 4)])
def test_padding_by_name(tall, wide, tmp_path):
    weight, x = random(2, 2, tall, wide), random(STEPS, 2, 6, 7)
    before = (tall - 1) // 2, (wide - 1) // 2
    same = tuple((first, size - 1 - first) for first, size in zip(before, (tall, wide), strict=True))
    for name, padding in (("same", same), ("valid", ((0, 0), (0, 0)))):
        root = chain(("in", port("Input", 2, 6, 7)), ("c", conv2d(weight, padding=name)), ("out", {"type": "Output"}))
        given_by(root, x, tmp_path, lambda row, padding=padding: conv(row, weight, padding=padding))
    root = chain(("in", port("Input", 2, 6, 7)), ("c", conv2d(weight, padding="same", stride=2)), ("out", {"type": "Output"}))
    with pytest.raises(ModelError, match=r"node c \(Conv2d\): padding 'same' with stride"):
        imported(tmp_path / "x.nir", root)


@pytest.mark.parametrize("shape", [(3, 9), (1, 3, 9)])
def test_a_convolution_of_one_dimension(shape, tmp_path):
    weight, x, bias = random(4, 3, 3), random(STEPS, 3, 9), random(4)
    node = {
        "type": "Conv1d", "weight": weight, "bias": bias, "stride": 2, "padding": 1, "dilation": 1, "groups": 1, "input_shape": 9,
    }  # fmt: skip
    root = chain(("in", port("Input", *shape)), ("c", node), ("out", port("Output", 4, 5)))
    plainly = lambda row: conv(row.reshape(3, 1, 9), weight[:, :, None], stride=(1, 2), padding=((0, 0), (1, 1)), bias=bias)  # noqa: E731
    of = given_by(root, x, tmp_path, plainly)
    assert isinstance(weights_of(of), Convolution)


POOLS = {"SumPool2d": False, "AvgPool2d": True}


@pytest.mark.parametrize("kind", POOLS)
def test_pools_before_convolutions_and_dense_layers_are_kernels_of_events(kind, tmp_path):
    """Rows and columns that no window covers are dropped."""
    weight, dense, x = random(3, 2, 3, 3), random(5, 2 * 3 * 4, seed=2), random(STEPS, 2, 7, 9)
    node = {"type": kind, "kernel_size": 2, "stride": np.array([2, 2]), "padding": np.array([0, 0])}
    root = chain(("in", port("Input", 2, 7, 9)), ("p", node), ("c", conv2d(weight, padding=1)), ("out", {"type": "Output"}))
    plainly = lambda row: conv(pool(row, (2, 2), mean=POOLS[kind]), weight, padding=((1, 1), (1, 1)))  # noqa: E731
    of = given_by(root, x, tmp_path, plainly)
    assert weights_of(of).pool == (2, 2)
    assert weights_of(of).places == weight.size
    flat = {"type": "Flatten", "input_type": np.array([2, 3, 4]), "start_dim": 0, "end_dim": -1}
    root = chain(("in", port("Input", 2, 7, 9)), ("p", node), ("f", flat), ("d", linear(dense)), ("out", port("Output", 5)))
    of = given_by(root, x, tmp_path, lambda row: dense @ pool(row, (2, 2), mean=POOLS[kind]).reshape(-1))
    assert weights_of(of).places == dense.size


def test_pools_behind_pools_and_straight_into_neurons(tmp_path):
    x = random(STEPS, 2, 13, 12)
    sums, means = ({"type": kind, "kernel_size": 2, "stride": 2, "padding": 0} for kind in POOLS)
    root = chain(("in", port("Input", 2, 13, 12)), ("p", sums), ("q", means), ("out", port("Output", 2, 3, 3)))
    of = given_by(root, x, tmp_path, lambda row: pool(pool(row, (2, 2)), (2, 2), mean=True))
    assert weights_of(of).pool == (4, 4)
    neuron = neuron_if((2, 6, 6), v_threshold=np.full((2, 6, 6), 2.5))
    root = chain(("in", port("Input", 2, 13, 12)), ("p", sums), ("n", neuron), ("out", port("Output", 2, 6, 6)))
    spikes = (rng().random((STEPS, 2, 13, 12)) < 0.5).astype(np.float32)
    sent = stepped(imported(tmp_path / "x.nir", root, exporter="norse"), spikes)["n"]
    assert np.array_equal(sent[0], np.stack([pool(row, (2, 2)) for row in spikes]).reshape(STEPS, -1)[0] > 2.5)


def test_windows_that_overlap_or_are_padded(tmp_path):
    x = random(STEPS, 2, 7, 8)
    node = {"type": "SumPool2d", "kernel_size": np.array([3, 2]), "stride": np.array([2, 1]), "padding": 1}
    root = chain(("in", port("Input", 2, 7, 8)), ("p", node), ("out", {"type": "Output"}))
    given_by(root, x, tmp_path, lambda row: pool(row, (3, 2), stride=(2, 1), padding=1))
    mean = {"type": "AvgPool2d", "kernel_size": 2, "padding": np.array([1, 0])}
    with pytest.raises(ModelError, match=r"node p \(AvgPool2d\): padding \(1, 0\): whether zeros outside count"):
        imported(tmp_path / "x.nir", chain(("in", port("Input", 2, 7, 8)), ("p", mean), ("out", {"type": "Output"})))


def test_scales_before_and_behind(tmp_path):
    weight, x = random(3, 2, 3, 3), random(STEPS, 2, 6, 6)
    channels, each, whole = random(2, 1, 1), random(3, 4, 4), np.float32(1.5)
    for first, second, stays in (
        (channels, whole, True),
        (channels, random(3, 1, 1, seed=3), True),
        (random(2, 6, 6), each, False),
    ):
        root = chain(
            ("in", port("Input", 2, 6, 6)), ("s", {"type": "Scale", "scale": first}), ("c", conv2d(weight)),
            ("t", {"type": "Scale", "scale": second}), ("out", port("Output", 3, 4, 4)),
        )  # fmt: skip
        of = given_by(root, x, tmp_path, lambda row, first=first, second=second: second * conv(first * row, weight))
        assert isinstance(weights_of(of), Convolution) == stays


def test_affine_behind_affine_and_convolution_behind_convolution(tmp_path):
    """With their biases, in one matrix."""
    one, other, b, c = random(5, 6), random(3, 5, seed=2), random(5), random(3, seed=2)
    root = chain(("in", port("Input", 6)), ("a", linear(one, b)), ("d", linear(other, c)), ("out", port("Output", 3)))
    given_by(root, random(STEPS, 6), tmp_path, lambda row: other @ (one @ row + b) + c)
    k, m, d = random(3, 2, 3, 3), random(2, 3, 2, 2, seed=2), random(2, seed=3)
    root = chain(
        ("in", port("Input", 2, 6, 7)), ("k", conv2d(k, bias=random(3), padding=1)), ("m", conv2d(m, bias=d, padding=1)),
        ("out", {"type": "Output"}),
    )  # fmt: skip
    around = ((1, 1), (1, 1))
    plainly = lambda row: conv(conv(row, k, bias=random(3), padding=around), m, bias=d, padding=around)  # noqa: E731
    given_by(root, random(STEPS, 2, 6, 7), tmp_path, plainly)


def test_a_matrix_on_the_last_dimension_and_one_that_takes_all_of_them(tmp_path):
    """NIR's Affine is of the last dimension; a dense layer with as many inputs as there are numbers takes them in C order."""
    last, every, x = random(4, 3), random(5, 6, seed=2), random(STEPS, 2, 3)
    root = chain(("in", port("Input", 2, 3)), ("a", linear(last, random(4))), ("out", port("Output", 2, 4)))
    given_by(root, x, tmp_path, lambda row: row @ last.T + random(4))
    root = chain(("in", port("Input", 2, 3)), ("a", linear(every)), ("out", port("Output", 5)))
    of = given_by(root, x, tmp_path, lambda row: every @ row.reshape(-1))
    assert "no Flatten between" in of.notes[0]


def test_edges_into_one_node_add_up_and_a_bias_counts_once(tmp_path):
    one, other, both = random(4, 3), random(4, 3, seed=2), random(2, 4, seed=3)
    nodes = {
        "in": port("Input", 3), "a": linear(one, random(4)), "b": linear(other), "c": linear(both, random(2)),
        "out": port("Output", 2),
    }  # fmt: skip
    edges = [("in", "a"), ("in", "b"), ("a", "c"), ("b", "c"), ("c", "out")]
    given_by(graph(nodes, edges), random(STEPS, 3), tmp_path, lambda row: both @ (one @ row + random(4) + other @ row) + random(2))


def test_delays_are_whole_steps_and_unequal_ones_become_several_projections(tmp_path):
    weight = random(3, 3)
    nodes = (
        ("in", port("Input", 3)), ("d", {"type": "Delay", "delay": np.array([0.0, 2e-4, 5e-4], np.float32)}), ("a", linear(weight)),
        ("n", lif(3)), ("out", port("Output", 3)),
    )  # fmt: skip
    of = imported(tmp_path / "x.nir", chain(*nodes))
    assert sorted(p.delay for p in of.network.populations[1].projections) == [0, 2, 5]
    x = (rng().random((30, 3)) < 0.5).astype(np.float32) * 2
    late = np.stack([np.concatenate([np.zeros(d), x[: 30 - d, i]]) for i, d in enumerate((0, 2, 5))], axis=1)
    plain = imported(tmp_path / "y.nir", chain(nodes[0], *nodes[2:]))
    assert np.array_equal(stepped(of, x)["n"], stepped(plain, late)["n"])
    assert np.any(stepped(of, x)["n"])
    whole = r"node d \(Delay\): delay needs whole numbers of steps .* has 0.0002 at 1, which is 0.666667 steps of 0.0003"
    with pytest.raises(ModelError, match=whole):
        imported(tmp_path / "x.nir", dt=3e-4, integrator="exponential")


def test_a_delay_without_a_step_and_one_of_a_bias_are_refused(tmp_path):
    delay = {"type": "Delay", "delay": np.float32(3.0)}
    ends, weights = (("n", neuron_if(2)), ("out", port("Output", 2))), random(2, 2)
    root = chain(("in", port("Input", 2)), ("d", delay), ("a", linear(weights)), *ends)
    with pytest.raises(ModelError, match=r"node d \(Delay\): how many steps its delay takes is not in the file; choose .* --dt"):
        imported(tmp_path / "x.nir", root, exporter="norse")
    root = chain(("in", port("Input", 2)), ("a", linear(weights, [1, 0])), ("d", delay), *ends)
    with pytest.raises(ModelError, match=r"node d \(Delay\): delays a bias"):
        imported(tmp_path / "x.nir", root, exporter="norse", dt=1.0)


def test_a_loop_without_a_neuron_is_refused(tmp_path):
    nodes = {"in": port("Input", 2), "a": linear(random(2, 2)), "b": linear(random(2, 2)), "out": port("Output", 2)}
    write(tmp_path / "x.nir", graph(nodes, [("in", "a"), ("a", "b"), ("b", "a"), ("b", "out")]))
    with pytest.raises(ModelError, match=r"lies in a loop without a neuron"):
        imported(tmp_path / "x.nir")
