"""Weights that are a convolution's kernel: what they are as a matrix, that every format has the bits of the plain reference
wherever their outputs lie, and what of them a PE keeps.
"""

from __future__ import annotations

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import formats
from models.compute.spike_planes import few_spikes
from models.convolution import Convolution
from models.formats import conv
from models.kernel_window import KernelWindow, window_of
from models.network import ModelError
from models.numerics import PAYLOADS, SUMS, sum_of
from models.plain_convolution import PlainConvolution
from models.shard import PortShape, Shard, ShardPort
from tests.tools.convolutions import convolutions, splits

NUMERICS = [("float32", payload) for payload in ("float32", "spike", "count")]
NUMERICS += [("int8", payload) for payload in ("int8", "int32", "spike", "count")]
SMALL = Convolution(np.arange(1, 13, dtype=np.float32).reshape(2, 1, 2, 3), (1, 4, 5), padding=(1, 0, 0, 1))


def heard_by(weights, payload, seed, lanes=1):
    """Random numbers (lanes, columns) of a payload, half of them nothing."""
    rng, shape = np.random.default_rng(seed), (lanes, weights.shape[1])
    numbers = {
        "float32": lambda: rng.normal(0, 1, shape), "int8": lambda: rng.integers(-128, 128, shape),
        "int32": lambda: rng.integers(-(2**31), 2**31, shape), "count": lambda: rng.integers(1, 9, shape),
        "spike": lambda: np.ones(shape),
    }[payload]()  # fmt: skip
    return (numbers * (rng.random(shape) < 0.5)).astype(PAYLOADS[payload] or "u1")


# ---- the matrix


def test_a_convolution_by_hand():
    """Cross-correlation, as torch has it: the kernel is not turned round. A row of zeros is above, and on the right a column."""
    assert SMALL.output_shape == (2, 4, 4)
    matrix = SMALL.to_dense()
    assert matrix.shape == SMALL.shape == (32, 20)
    assert matrix[0].reshape(4, 5).tolist() == [[4, 5, 6, 0, 0], *[[0] * 5] * 3]  # its first row of weights lies on the padding
    assert matrix[16 + 3 * 4 + 3].reshape(4, 5).tolist() == [[0] * 5] * 2 + [[0, 0, 0, 7, 8], [0, 0, 0, 10, 11]]
    assert SMALL.nonzeros == np.count_nonzero(matrix)
    assert SMALL.places == SMALL.values.size == 12


def test_a_pool_sums_windows_first_and_drops_what_is_left_over():
    weights = replace(SMALL, padding=(0, 0, 0, 0), pool=(2, 1), kernel=SMALL.kernel[:, :, :1])
    assert weights.pooled_shape == (1, 2, 5)
    matrix = weights.to_dense()
    assert matrix[0].reshape(4, 5).tolist() == [[1, 2, 3, 0, 0]] * 2 + [[0] * 5] * 2
    left_over = replace(weights, pool=(3, 2))
    assert not left_over.to_dense().reshape(-1, 4, 5)[:, 3].any()
    assert not left_over.to_dense().reshape(-1, 4, 5)[:, :, 4].any()


@pytest.mark.wide
@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_matrix_is_torchs_convolution(data):
    torch = pytest.importorskip("torch")
    weights, functional = data.draw(convolutions("int8")), torch.nn.functional
    heard = heard_by(weights, "count", 1)[0]
    frame = torch.from_numpy(heard.reshape(1, *weights.input_shape).astype(np.float64))
    pooled = functional.avg_pool2d(frame, weights.pool) * (weights.pool[0] * weights.pool[1])
    top, left, bottom, right = weights.padding
    padded, kernel = functional.pad(pooled, (left, right, top, bottom)), torch.from_numpy(weights.kernel.astype(np.float64))
    said = functional.conv2d(padded, kernel, stride=weights.stride, dilation=weights.dilation, groups=weights.groups)[0]
    assert tuple(said.shape) == weights.output_shape
    sums = weights.to_dense().astype(np.int64) @ heard.astype(np.int64)
    assert sums.tolist() == said.reshape(-1).to(torch.int64).tolist()
    assert PlainConvolution(weights, is_float=False).of(heard[None]).tolist() == sums.tolist()


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_what_others_ask_of_a_kernel_is_what_its_matrix_says(data):
    weights = data.draw(convolutions("int8"))
    rows, dense = weights.to_rows(), weights.to_dense()
    rows.check("unrolled")  # ascending, no zeros
    assert dense.dtype == np.int8
    assert (weights.row_nonzeros == rows.row_nonzeros).all()
    assert weights.nonzeros == rows.nonzeros
    heard = np.random.default_rng(1).integers(0, 3, weights.shape[1])
    assert (weights.products(heard) == rows.products(heard)).all()
    full = replace(weights, kernel=np.ones_like(weights.kernel)).to_rows()
    assert (weights.row_met == full.row_nonzeros).all()
    assert (weights.meetings(heard) == full.products(heard)).all()
    some = np.flatnonzero(np.random.default_rng(2).random(len(dense)) < 0.5)
    part = weights.take(some)
    assert part.shape == (len(some), weights.shape[1])
    assert (part.to_dense() == dense[some]).all()
    assert (part.take(np.arange(len(some))[::2]).to_rows().row_nonzeros == rows.row_nonzeros[some[::2]]).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kernel": np.zeros((2, 3), np.float32)}, "needs four dimensions with something in each, has (2, 3)"),
        ({"kernel": np.zeros((0, 1, 2, 3), np.float32)}, "needs four dimensions with something in each"),
        ({"kernel": SMALL.kernel.astype(np.float64)}, "a kernel of type float64; needs float32 or int8"),
        ({"kernel": SMALL.kernel * np.float32("nan")}, "12 of 12 values are not finite"),
        ({"stride": (0, 1)}, "stride needs 2 whole numbers from 1, has (0, 1)"),
        ({"padding": (0, -1, 0, 0)}, "padding needs 4 whole numbers from 0"),
        ({"padding": (0, 0)}, "padding needs 4 whole numbers"),
        ({"dilation": (1.5, 1)}, "dilation needs 2 whole numbers"),
        ({"groups": 2}, "1 channels in, 2 out and 1 of each kernel do not go with 2 groups"),
        ({"input_shape": (2, 4, 5)}, "2 channels in, 2 out and 1 of each kernel do not go with 1 groups"),
        ({"input_shape": (1, 0, 5)}, "input shape needs 3 whole numbers from 1"),
        ({"dilation": (9, 1)}, "a kernel of 2x3 does not fit into 4x5 with its padding"),
        ({"pool": (5, 1)}, "no window of 5x1 fits into 4x5"),
    ],
)
def test_what_is_no_convolution_gets_a_line(change, words):
    with pytest.raises(ModelError) as caught:
        replace(SMALL, **change).check("conv1")
    assert str(caught.value).startswith("conv1: ")
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# ---- formats


class Kept:
    """A shard's port in one format, as a PE binds it, over arrays full of what was there before."""

    def __init__(self, name, weights, rows, numeric, lanes=1, trace=0.0, dense=False):
        form, part, kernel = formats.named(name), weights.take(rows), formats.keeps_kernel(name, weights)
        self.shape = PortShape(
            rows=len(rows), gates=1, source_units=weights.shape[1], nonzeros=part.nonzeros, lanes=lanes, trace=trace > 0,
            weight=numeric[0], payload=numeric[1], dense=dense, window=tuple(window_of(weights, rows)) if kernel else (),
        )  # fmt: skip
        self.shape = formats.laid_out(name, weights, rows, rows, self.shape)  # of one gate, so units are rows
        self.mem = {f.name: np.full(f.shape, 77, f.dtype) for f in form.fields(self.shape)}
        self.stored = form.encode(part if kernel else part.to_rows(), self.shape)
        for array, values in self.stored.items():
            self.mem[array][...] = values
        self.mem["sums"] = np.full((lanes, len(rows)), 77, SUMS[sum_of(*numeric)])
        self.mem["counts"] = np.full((lanes, 2), 77, np.uint32)
        self.port = form.port(self.mem, self.shape, trace)
        for lane in range(lanes):
            self.port.restart(lane=lane)

    def hear(self, heard):
        """Take numbers (lanes, columns) of a position; return sums (lanes, rows)."""
        self.port.clear()
        flat = np.ascontiguousarray(heard.reshape(-1))
        keys = np.flatnonzero(flat).astype(np.uint32)
        values = None if self.shape.payload == "spike" else flat if self.shape.dense else flat[keys]
        self.port.receive(0 if self.shape.dense else keys, values, len(flat) if self.shape.dense else len(keys))
        for lane in range(self.shape.lanes):
            self.port.product(lane=lane)
        return self.mem["sums"]


@pytest.mark.few(3)
@pytest.mark.parametrize("numeric", NUMERICS, ids="-".join)
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_every_format_and_every_split_has_the_plain_references_bits_and_work(numeric, data):
    weights, lanes = data.draw(convolutions(numeric[0])), data.draw(st.integers(1, 2))
    dense = numeric[1] != "spike" and data.draw(st.booleans())
    heard, plain = (
        heard_by(weights, numeric[1], data.draw(st.integers(0, 99)), lanes),
        PlainConvolution(weights, sum_of(*numeric) == "float32"),
    )
    need = np.stack([plain.of(numbers[None]) for numbers in heard])
    active = (heard != 0).sum(axis=0)
    for rows in data.draw(splits(weights.shape[0])):
        for name in formats.names():
            kept = Kept(name, weights, rows, numeric, lanes, dense=dense)
            assert kept.hear(heard).tobytes() == np.ascontiguousarray(need[:, rows]).tobytes(), name
            assert kept.mem["counts"][:, 0].sum() == weights.products(active)[rows].sum()
            if name == "conv":
                assert kept.mem["counts"][:, 1].sum() == weights.meetings(active)[rows].sum()


@pytest.mark.parametrize("weight", ["int8", "float32"])
@pytest.mark.parametrize("few", [0, 1 << 30], ids=["planes", "scattered"])
@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_spikes_on_planes_make_the_sums_and_the_work_of_spikes_that_are_scattered(few, weight, data):
    """However they come: a FIFO at a time, so that what a sum had before stays in it."""
    weights, lanes, numeric = data.draw(convolutions(weight, most=9)), data.draw(st.integers(1, 3)), (weight, "spike")
    heard = heard_by(weights, "spike", data.draw(st.integers(0, 99)), lanes)
    plain, active = PlainConvolution(weights, weight == "float32"), (heard != 0).sum(axis=0)
    need = np.stack([plain.of(numbers[None]) for numbers in heard])
    keys = np.flatnonzero(heard).astype(np.uint32)
    for rows in data.draw(splits(weights.shape[0])):
        with mock.patch.object(conv, "few_spikes", lambda *_: few):
            kept = Kept("conv", weights, rows, numeric, lanes)
        for again in range(2):  # the planes are empty again
            kept.port.clear()
            for part in np.array_split(keys, data.draw(st.integers(1, 4))):
                kept.port.receive(part, None, len(part))
            assert kept.mem["sums"].tobytes() == np.ascontiguousarray(need[:, rows]).tobytes(), again
            assert kept.mem["counts"].sum(axis=0).tolist() == [
                weights.products(active)[rows].sum(), weights.meetings(active)[rows].sum()
            ]  # fmt: skip


def test_many_spikes_take_planes_and_few_do_not():
    """By how many kept lines the processor would have to walk; neither is a matter of the result."""
    weights = Convolution(np.ones((16, 16, 3, 3), np.int8), (16, 15, 15), padding=(1, 1, 1, 1))
    rows = np.arange(171)
    window = KernelWindow(*Kept("conv", weights, rows, ("int8", "spike")).shape.window)
    least = few_spikes(window, len(rows))
    assert 20 < least < 80  # of 3,600 units, of which a tenth may fire
    calls = Kept("conv", weights, rows, ("int8", "spike")).port.receive
    planes = next(part for part in calls.parts if isinstance(part, np.ndarray) and part.dtype == np.uint8)
    for number in (least - 1, least):
        keys = np.arange(number, dtype=np.uint32)
        planes[-1] = 1  # is cleared with the planes alone
        calls(keys, None, number)
        assert planes.any() == (number < least)


@given(data=st.data())
@settings(deadline=None, max_examples=20)
def test_a_kernel_hears_a_trace_as_a_matrix_does(data):
    weights = data.draw(convolutions())
    rows = data.draw(splits(weights.shape[0]))[0]
    ports = [Kept(name, weights, rows, ("float32", "float32"), trace=0.7) for name in ("conv", "csr")]
    for seed in range(3):
        heard = heard_by(weights, "float32", seed)
        assert len({port.hear(heard).tobytes() for port in ports}) == 1


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_the_layout_follows_from_counts_and_holds_the_kernel_of_the_shards_channels_once(data):
    weight = data.draw(st.sampled_from(["float32", "int8"]))
    weights = data.draw(convolutions(weight))
    for rows in data.draw(splits(weights.shape[0])):
        kept = Kept("conv", weights, rows, (weight, "spike"))
        fields = {f.name: f for f in formats.named("conv").fields(kept.shape)}
        assert fields.keys() == kept.stored.keys()
        assert all((fields[n].shape, np.dtype(fields[n].dtype)) == (a.shape, a.dtype) for n, a in kept.stored.items())
        assert all(field.role == "weights" and not field.scratch for field in fields.values())
        channels = np.unique(rows // (weights.shape[0] // weights.output_shape[0]))
        assert (
            kept.stored["values"].tobytes() == np.ascontiguousarray(weights.kernel[channels].reshape(len(channels), -1).T).tobytes()
        )


def test_a_run_of_outputs_needs_no_index_and_others_pay_for_one():
    weights = Convolution(np.ones((4, 2, 3, 3), np.int8), (2, 64, 64), padding=(1, 1, 1, 1))
    units = np.arange(weights.shape[0])

    def kept_bytes(rows):
        shape = Kept("conv", weights, rows, ("int8", "spike")).shape
        return KernelWindow(*shape.window), sum(f.size_bytes for f in formats.named("conv").fields(shape))

    constants = 4 * len(KernelWindow._fields) + 4
    assert kept_bytes(units[: 64 * 64])[1] == 18 + constants  # an output channel
    assert kept_bytes(units[100:900])[1] == 18 + constants  # some of one
    window, run = kept_bytes(units[4000:8200])  # the end of one, all of another, and the beginning of a third
    assert (window.channels, window.skip, window.listed, run) == (3, 4000, 0, 3 * 18 + constants)
    block = units.reshape(4, 64, 64)[1:3, 10:20, 5:9].ravel()
    window, size = kept_bytes(block)
    assert (window.places, window.listed, size) == (len(block), 0, 2 * 18 + constants)
    window, size = kept_bytes(block[::2])
    assert (window.listed, size) == (1, 2 * 18 + constants + 2 * window.places)
    assert kept_bytes(units[:1])[0].places == 1


def test_no_layout_grows_where_a_shard_has_less():
    weights = Convolution(np.ones((6, 1, 3, 3), np.float32), (1, 9, 9))
    sizes = []
    for last in (1, 20, 49, 50, 100, 294):
        shape = Kept("conv", weights, np.arange(last), ("float32", "spike")).shape
        sizes.append(sum(f.size_bytes for f in formats.named("conv").fields(shape)))
    assert sizes == sorted(sizes)


def test_a_shard_with_a_kernel_is_the_same_behind_the_wire():
    weights = replace(SMALL, stride=tuple(np.array([1, 1])), input_shape=tuple(np.array([1, 4, 5])))  # as libraries give them
    kept = Kept("conv", weights, np.arange(3, 20), ("float32", "spike"))
    port = ShardPort(name="input", source=0, delay=0, shape=kept.shape, arrays=kept.stored)
    shard = Shard(
        population=1, kernel="lif", format="conv", width=32, lanes=1, units=np.arange(3, 20, dtype=np.uint32), ports=(port,),
        vectors={}, params={},
    )  # fmt: skip
    again = Shard.from_parts(shard.to_parts())
    assert all(type(number) is int for number in kept.shape.window)
    assert again.ports[0].shape == kept.shape
    assert all((again.ports[0].arrays[name] == array).all() for name, array in kept.stored.items())


def test_weights_that_are_no_convolution_are_packed():
    rows = SMALL.to_rows()
    shape = PortShape(rows=32, gates=1, source_units=20, nonzeros=rows.nonzeros, lanes=1, payload="spike")
    conv, packed = formats.named("conv"), formats.named("packed")
    assert conv.fields(shape) == packed.fields(shape)
    assert {n: a.tobytes() for n, a in conv.encode(rows, shape).items()} == {
        n: a.tobytes() for n, a in packed.encode(rows, shape).items()
    }
