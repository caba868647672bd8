"""Operators of an integer network, held to an oracle written apart: numpy's integers, one formula an operator."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import operators
from models.compute.mac_array import mac_conv2d, mac_matmul
from models.compute.requantise import step_of
from models.dnn.compute import compute_network
from models.dnn.integer import KINDS, OVERFLOWS, ROUNDINGS, IntegerNetwork, IntegerOperation, IntegerTensor, Requantisation
from models.dnn.reference import run_network
from models.network import ModelError

LIMIT = 1 << 23


def numbers(rng, *shape):
    return rng.integers(-128, 128, shape).astype(np.int8)


def scaling(rng, channels=1, *, rounding="half-up", multiplied=False, shift=9, low=-128, high=127, zero_point=0):
    multipliers = rng.integers(1 << 30, 1 << 31, channels) if multiplied else np.ones(channels, np.int64)
    shifts = np.full(channels, shift + 31 * multiplied, np.int32)
    return Requantisation(
        multipliers=multipliers, shifts=shifts, zero_point=zero_point, low=low, high=high, rounding=rounding
    )  # fmt: skip


def operation(kind, requantisation=None, arrays=None, inputs=1, **attributes):
    names = tuple(f"x{n}" for n in range(inputs))
    return IntegerOperation(
        name="one", kind=kind, inputs=names, output="y", attributes=attributes, arrays=arrays or {}, requantisation=requantisation
    )  # fmt: skip


def compute(one, inputs, shape, overflow="saturate"):
    """Return what the kernel makes, which is what the plain reference makes too."""
    have = operators.operator(one.kind).compute(one, inputs, shape, overflow)
    arrays = dict(zip([*one.inputs, one.output], [*inputs, have.values], strict=True))
    tensors = {
        name: IntegerTensor(name=name, shape=array.shape, dtype=array.dtype.name, scale=1.0, exponent=0)
        for name, array in arrays.items()
    }
    network = IntegerNetwork(
        inputs=one.inputs, outputs=("y",), tensors=tensors, operations=(one,), constants={},
        overflow=overflow.replace("error", "saturate"),
    )  # fmt: skip
    run = run_network(network, arrays)
    np.testing.assert_array_equal(have.values, run.tensors["y"])
    assert (have.overflowed, have.saturated) == (run.overflows.get("one", 0), run.saturated.get("one", 0))
    return have


def rounded(value, shift, rounding):
    """Python's own integers, by the definition of each rounding."""
    low, rest = divmod(value, 1 << shift)
    twice = 2 * rest - (1 << shift)
    up = {"floor": False, "half-up": twice >= 0, "even": twice > 0 or (twice == 0 and low % 2 == 1)}[rounding]
    return low + up if shift else value


def plainly(sums, one, overflow="saturate", axis=-1):
    """Return int8 of exact sums, with how many overflowed 24 bits."""
    out, overflows = np.empty(sums.shape, np.int8), 0
    for at in np.ndindex(sums.shape):
        total, own = int(sums[at]), at[axis] if one.multipliers.size > 1 else 0
        if not -LIMIT <= total < LIMIT:
            overflows += 1
            total = (total + LIMIT) % (2 * LIMIT) - LIMIT if overflow == "wrap" else max(-LIMIT, min(total, LIMIT - 1))
        value = one.zero_point + rounded(total * int(one.multipliers[own]), int(one.shifts[own]), one.rounding)
        out[at] = max(one.low, min(value, one.high))
    return out, overflows


def test_there_is_an_operator_for_each_kind():
    assert set(operators.names()) == set(KINDS)
    with pytest.raises(ModelError, match="did you mean 'matmul'"):
        operators.operator("matmull")


SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 40), st.integers(1, 35))


@settings(max_examples=40, deadline=None)
@given(shape=SHAPES, seed=st.integers(0, 999), rounding=st.sampled_from(ROUNDINGS), multiplied=st.booleans(), each=st.booleans())
def test_a_matrix_product_is_exact(shape, seed, rounding, multiplied, each):
    m, depth, n = shape
    rng = np.random.default_rng(seed)
    x, weights, bias = numbers(rng, 2, m, depth), numbers(rng, depth, n), rng.integers(-999, 999, n).astype(np.int32)
    scale = scaling(rng, n if each else 1, rounding=rounding, multiplied=multiplied, zero_point=3, low=0)
    have = compute(operation("matmul", scale, {"weights": weights, "bias": bias}), [x], (2, m, n))
    need, overflows = plainly(x.astype(np.int64) @ weights.astype(np.int64) + bias, scale)
    np.testing.assert_array_equal(have.values, need)
    assert have.overflowed == overflows == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_products_of_two_things_that_arrive_are_exact(seed):
    rng = np.random.default_rng(seed)
    x, y = numbers(rng, 2, 3, 5, 7), numbers(rng, 2, 3, 7, 6)
    scale = scaling(rng)
    have = compute(operation("batch_matmul", scale, inputs=2, offsets=(4, -3)), [x, y], (2, 3, 5, 6))
    need, _ = plainly((x.astype(np.int64) - 4) @ (y.astype(np.int64) + 3), scale)
    np.testing.assert_array_equal(have.values, need)


def convolved(x, weights, strides, dilations, pads, pad_value, each=None):
    """Return the exact sums of a convolution; with `each` channels out for one in, of a depthwise one."""
    top, left, bottom, right = pads
    x = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=pad_value)
    high, wide = (d * (k - 1) + 1 for d, k in zip(dilations, weights.shape[2:], strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, (high, wide), axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    if each:
        return np.einsum("sorcvu,ovu->sorc", np.repeat(windows, each, axis=1), weights[:, 0].astype(np.int64))
    return np.einsum("sircvu,oivu->sorc", windows, weights.astype(np.int64))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), kernel=st.tuples(st.integers(1, 3), st.integers(1, 4)), strides=st.tuples(*2 * [st.integers(1, 3)]),
    dilations=st.tuples(*2 * [st.integers(1, 2)]), pads=st.tuples(*4 * [st.integers(0, 2)]), depthwise=st.booleans(),
)  # fmt: skip
def test_a_convolution_is_exact(seed, kernel, strides, dilations, pads, depthwise):
    rng = np.random.default_rng(seed)
    x, bias = numbers(rng, 2, 3, 9, 11), rng.integers(-999, 999, 6).astype(np.int32)
    weights, kind = (numbers(rng, 6, 1 if depthwise else 3, *kernel)), "depthwise_conv2d" if depthwise else "conv2d"
    sums = convolved(x, weights, strides, dilations, pads, 5, each=2 * depthwise) + bias[:, None, None]
    scale = scaling(rng, 6, multiplied=True)
    arrays = {"weights": weights, "bias": bias}
    one = operation(kind, scale, arrays, strides=strides, dilations=dilations, pads=pads, pad_value=5)
    have = compute(one, [x], sums.shape)
    np.testing.assert_array_equal(have.values, plainly(sums, scale, axis=1)[0])


@pytest.mark.parametrize("kernel", [1, 3])
def test_any_split_of_the_depth_has_the_same_sums(kernel):
    rng = np.random.default_rng(1)
    a, b = numbers(rng, 6, 50), numbers(rng, 50, 33)
    whole, parts = np.empty((6, 33), np.int32), np.empty((6, 33), np.int32)
    mac_matmul(a, b, 1, -2, False, whole)
    for n, part in enumerate(np.array_split(np.arange(50), 4)):
        mac_matmul(np.ascontiguousarray(a[:, part]), np.ascontiguousarray(b[part]), 1, -2, n > 0, parts)
    np.testing.assert_array_equal(whole, parts)
    x, weights, ones = numbers(rng, 6, 8, 9), numbers(rng, 5, 6, kernel, kernel), np.ones(2, np.int64)
    whole, parts = (np.empty((5, 9 - kernel, 10 - kernel), np.int32) for _ in range(2))
    mac_conv2d(x, weights, ones, ones, False, whole)
    for n in range(3):
        mac_conv2d(x[2 * n : 2 * n + 2], np.ascontiguousarray(weights[:, 2 * n : 2 * n + 2]), ones, ones, n > 0, parts)
    np.testing.assert_array_equal(whole, parts)


@pytest.mark.parametrize(("overflow", "rounding"), [*itertools.product(OVERFLOWS, ROUNDINGS)])
def test_a_sum_of_more_than_24_bits_is_counted(overflow, rounding):
    rng = np.random.default_rng(2)
    x, weights = np.full((1, 2, 600), 127, np.int8), np.full((600, 3), 127, np.int8)
    x[0, 1, 300:], weights[:, 2] = -127, -128
    bias, scale = np.zeros(3, np.int32), scaling(rng, shift=17, rounding=rounding)
    have = compute(operation("matmul", scale, {"weights": weights, "bias": bias}), [x], (1, 2, 3), overflow)
    need, overflows = plainly(x.astype(np.int64) @ weights.astype(np.int64), scale, overflow)
    np.testing.assert_array_equal(have.values, need)
    assert have.overflowed == overflows == 3


def test_an_error_of_the_accumulator_names_the_operation():
    scale = scaling(np.random.default_rng(0), shift=17)
    weights = np.full((600, 1), 127, np.int8)
    lengths = {"x0": 600, "y": 1}
    tensors = {name: IntegerTensor(name=name, shape=(1, n), dtype="int8", scale=1.0, exponent=0) for name, n in lengths.items()}
    one = operation("matmul", scale, {"weights": weights, "bias": np.zeros(1, np.int32)})
    network = IntegerNetwork(inputs=("x0",), outputs=("y",), tensors=tensors, operations=(one,), constants={}, overflow="error")
    with pytest.raises(ModelError, match=r"operation one \(matmul\): 1 sums need more than the accumulator's 24 bits"):
        compute_network(network, {"x0": np.full((1, 600), 127, np.int8)})
    assert compute_network(network, {"x0": np.zeros((1, 600), np.int8)}).tensors["y"] == 0
    with pytest.raises(ModelError, match=r"input 'x0': needs int8 of \(1, 600\), has int8 of \(600,\)"):
        compute_network(network, {"x0": np.zeros(600, np.int8)})


def test_what_int8_has_no_place_for_is_counted_and_what_a_relu_takes_is_not():
    x, weights = np.array([[[100], [-100]]], np.int8), np.array([[2]], np.int8)
    for low, saturated in ((-128, 2), (0, 1)):
        scale = scaling(np.random.default_rng(0), shift=0, low=low)
        one = operation("matmul", scale, {"weights": weights, "bias": np.zeros(1, np.int32)})
        have = compute(one, [x], (1, 2, 1))
        assert have.values.ravel().tolist() == [127, low]
        assert have.saturated == saturated


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), rounding=st.sampled_from(ROUNDINGS))
def test_element_by_element(seed, rounding):
    rng = np.random.default_rng(seed)
    x, y, scale = numbers(rng, 2, 3, 5), numbers(rng, 1, 1, 5), scaling(rng, rounding=rounding, shift=4, zero_point=-7)
    wide_x, wide_y = x.astype(np.int64), y.astype(np.int64)
    have = compute(operation("add", scale, inputs=2, multipliers=(8, 3), offsets=(2, -1)), [x, y], x.shape)
    np.testing.assert_array_equal(have.values, plainly((wide_x - 2) * 8 + (wide_y + 1) * 3, scale)[0])
    have = compute(operation("multiply", scale, inputs=2, offsets=(2, -1)), [x, y], x.shape)
    np.testing.assert_array_equal(have.values, plainly((wide_x - 2) * (wide_y + 1), scale)[0])
    table = numbers(rng, 256)
    np.testing.assert_array_equal(compute(operation("table", arrays={"table": table}), [x], x.shape).values, table[wide_x + 128])
    tables = numbers(rng, 3, 256)
    have = compute(operation("table", arrays={"table": tables}), [x], x.shape)
    np.testing.assert_array_equal(have.values, tables[np.arange(3)[None, :, None], wide_x + 128])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), strides=st.tuples(*2 * [st.integers(1, 3)]), pads=st.tuples(*4 * [st.integers(0, 1)]))
def test_pools_and_means(seed, strides, pads):
    rng = np.random.default_rng(seed)
    x, scale = numbers(rng, 2, 3, 7, 8), scaling(rng, multiplied=True, shift=2)
    top, left, bottom, right = pads
    windows = {}
    for what, value in (("average", 6), ("max", -128)):
        wide = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=value)
        windows[what] = np.lib.stride_tricks.sliding_window_view(wide, (3, 2), axis=(2, 3))[:, :, :: strides[0], :: strides[1]]
    sums = (windows["average"] - 6).sum(axis=(4, 5))
    one = operation("average_pool2d", scale, kernel=(3, 2), strides=strides, pads=pads, offset=6)
    np.testing.assert_array_equal(compute(one, [x], sums.shape).values, plainly(sums, scale)[0])
    one = operation("max_pool2d", kernel=(3, 2), strides=strides, pads=pads, dilations=(1, 1))
    np.testing.assert_array_equal(compute(one, [x], sums.shape).values, windows["max"].max(axis=(4, 5)))
    sums = (x.astype(np.int64) - 6).sum(axis=(2, 3), keepdims=True)
    one = operation("mean", scale, axes=(2, 3), offset=6)
    np.testing.assert_array_equal(compute(one, [x], sums.shape).values, plainly(sums, scale)[0])


NEAR = {"floor": np.floor, "even": np.rint, "half-up": lambda v: np.floor((v + np.float32(0.5)).astype(np.float32))}


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rows_of_floats_have_the_bits_of_the_formula(rounding):
    rng = np.random.default_rng(4)
    x = numbers(rng, 2, 9, 65)
    scale = scaling(rng, shift=0, rounding=rounding, zero_point=-128)
    table = np.rint(np.exp(-np.arange(256) / 16) * (1 << 20)).astype(np.uint32)
    factor = np.float32(255)
    terms = table[x.max(axis=-1, keepdims=True).astype(np.int64) - x]
    ratio = factor / terms.sum(axis=-1, keepdims=True, dtype=np.int64).astype(np.float32)
    need = np.clip(NEAR[rounding](terms.astype(np.float32) * ratio).astype(np.int64) - 128, -128, 127)
    have = compute(operation("softmax", scale, {"table": table, "factor": factor[None]}), [x], x.shape)
    np.testing.assert_array_equal(have.values, need)
    causal = {"mask": np.tri(9, 65, dtype=np.uint8)}
    have = compute(operation("softmax", scale, {"table": table, "factor": factor[None], **causal}), [x], x.shape)
    assert (have.values[:, 0] == [127, *64 * [-128]]).all()

    scale = scaling(rng, shift=0, rounding=rounding)
    gamma, beta, epsilon = rng.normal(30, 4, 65).astype(np.float32), rng.normal(0, 9, 65).astype(np.float32), np.float32(1e-3)
    wide = x.astype(np.int64)
    total = wide.sum(axis=-1, keepdims=True)
    spread = 65 * (wide**2).sum(axis=-1, keepdims=True) - total**2
    inverse = np.float32(1) / np.sqrt(spread.astype(np.float32) + epsilon)
    value = ((65 * wide - total).astype(np.float32) * inverse) * gamma + beta
    need = np.clip(NEAR[rounding](value).astype(np.int64), -128, 127)
    arrays = {"gamma": gamma, "beta": beta, "epsilon": epsilon[None]}
    np.testing.assert_array_equal(compute(operation("layer_norm", scale, arrays), [x], x.shape).values, need)


def test_what_only_moves():
    x, border = numbers(np.random.default_rng(5), 1, 2, 3, 4), ((0, 0), (0, 0), (1, 0), (2, 1))
    for one, inputs, need in (
        (operation("reshape", shape=(1, 24)), [x], x.reshape(1, 24)),
        (operation("transpose", permutation=(0, 3, 1, 2)), [x], x.transpose(0, 3, 1, 2)),
        (operation("concat", inputs=2, axis=1), [x, x], np.concatenate([x, x], axis=1)),
        (operation("slice", starts=(0, 0, 1, 0), ends=(1, 2, 3, 4), steps=(1, 1, 1, 2)), [x], x[:, :, 1:3, ::2]),
        (operation("pad", pads=(0, 0, 1, 2, 0, 0, 0, 1), pad_value=-5), [x], np.pad(x, border, constant_values=-5)),
        (operation("resize_nearest", factors=(1, 1, 2, 3)), [x], x.repeat(2, axis=2).repeat(3, axis=3)),
    ):  # fmt: skip
        np.testing.assert_array_equal(compute(one, inputs, need.shape).values, need)
        assert operators.operator(one.kind).work(one, [array.shape for array in inputs], need.shape).output_bytes in (0, need.size)
    table, rows = numbers(np.random.default_rng(6), 9, 4), np.array([[3, 0, 8]], np.int32)
    have = compute(operation("gather", arrays={"weights": table}), [rows], (1, 3, 4))
    np.testing.assert_array_equal(have.values, table[rows])
    with pytest.raises(ModelError, match="index 9, needs 0 to 8: a table of 9 rows"):
        compute(operation("gather", arrays={"weights": table}), [rows + 1], (1, 3, 4))


def test_a_step_is_what_kernels_take():
    scale = scaling(np.random.default_rng(0), low=0, high=90, zero_point=4, rounding="even")
    assert step_of(scale, "wrap").tolist() == [4, 0, 90, ROUNDINGS.index("even"), OVERFLOWS.index("wrap")]
