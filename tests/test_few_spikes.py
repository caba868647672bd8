"""Few-Spikes neurons: K bits a value, most significant first, against the integer CNN with the same quantiser."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.mapping import strategies
from host.mapping.dealing import deal_layer, pieces_of
from models.few_spikes import Quantiser
from models.graph_check import check_network
from models.kernels import fs, fs_complex
from models.network import ModelError, Network, Population, Projection, SparseRows
from models.reference import Reference
from models.retrieval.grid import Grid
from models.retrieval.network import Unrolled, quantised
from models.spiking import vectors_of
from pe.residents import _check_together


def said_by_kernel(kernel, x, params, payload, **others):
    """What a shard of a kernel says of pre-activations x, (K, units)."""
    units = len(x)
    params = {**kernel.DEFAULTS, **params}
    mem = {"input.sums": np.asarray(x, np.float32)[None], "units": np.arange(units, dtype=np.uint32)}
    mem |= {"drive.sums": np.zeros((1, units), np.float32), "v": np.full((1, units), 77, np.float32)}
    mem |= vectors_of(units, kernel.FILL, **others)
    mem |= {"counts": np.zeros(1, np.uint32), "send_keys": np.zeros(units, np.uint32), "send_values": np.zeros(units, payload)}
    stepper, said = kernel.stepper(mem, units, params), []
    for phase in range(kernel.ticks(params)):
        events = stepper.step(lane=0, before=0, phase=phase)
        row = np.zeros(units, payload)
        row[mem["send_keys"][:events]] = mem["send_values"][:events]
        said.append(row)
    return np.array(said), mem["counts"].tolist()


@pytest.mark.parametrize("bits", [1, 2, 8, 16])
@pytest.mark.parametrize("rounds", [0.0, 1.0])
def test_a_value_is_said_bit_by_bit_most_significant_first(bits, rounds):
    x = np.concatenate([np.linspace(-0.5, 2.5, 61), np.arange(8) / 2.0**bits]).astype(np.float32)
    said, (ticks,) = said_by_kernel(fs, x, {"bits": float(bits), "alpha": 2.0, "rounds": rounds}, "<i4")
    scaled = x.astype(np.float64) * 2**bits / 2
    steps = np.clip(np.floor(scaled + rounds / 2), 0, 2**bits - 1).astype(int)
    assert said.sum(axis=0).tolist() == steps.tolist()
    assert [set(row.tolist()) - {0} <= {1 << (bits - 1 - t)} for t, row in enumerate(said)] == [True] * bits
    assert ticks == bits * len(x)
    saturated = Quantiser({"bits": float(bits), "alpha": 2.0, "rounds": rounds}).saturated(np.maximum(x, 0))
    assert saturated == np.count_nonzero(scaled + rounds / 2 >= 2**bits)


def test_a_value_at_a_threshold_is_said():
    said, _ = said_by_kernel(fs, [1 / 16, 1 / 2, 15 / 16], {"bits": 4.0, "rounds": 0.0}, "<f4")
    assert said.sum(axis=0).tolist() == [1 / 16, 1 / 2, 15 / 16]  # a strict comparison would lose a step of each


@pytest.mark.parametrize("payload", ["<i4", "<f4"])
@given(seed=st.integers(0, 10_000), bits=st.integers(1, 16), rounds=st.sampled_from([0.0, 1.0]))
@settings(deadline=None, max_examples=25)
def test_kernels_say_what_the_plain_reference_says(payload, seed, bits, rounds):
    x = np.random.default_rng(seed).normal(0, 0.7, 12).astype(np.float32)
    name, params = {"<i4": "int32", "<f4": "float32"}[payload], {"bits": float(bits), "alpha": 1.0, "rounds": rounds}
    from models.reference import neurons_of

    for kernel, others in ((fs, {"bias": 0.1}), (fs_complex, {"theta": 0.3, "gain": 1.5})):
        population = Population("a", 12, kernel.__name__.split(".")[-1], (), vectors_of(12, kernel.FILL, **others), params, name)
        neurons = neurons_of(population)
        sums = {"input": x, "drive": np.zeros(12, np.float32)}
        plain = np.array([neurons.step({} if phase else sums, phase) for phase in range(bits)])
        assert np.array_equal(said_by_kernel(kernel, x, params, payload, **others)[0], plain)


def test_the_complex_soft_threshold_couples_the_parts():
    x = [3.0, 4.0, 0.3, 0.4, -0.6, 0.0, 0.0, 0.0]  # sizes 5, 0.5, 0.6, 0
    said, _ = said_by_kernel(fs_complex, x, {"bits": 16.0, "alpha": 8.0}, "<f4", theta=0.5)
    assert said.sum(axis=0) == pytest.approx([2.7, 3.6, 0, 0, -0.1, 0, 0, 0], abs=8 / 2**17)


def chain(rng, kernel_bits, rounds):
    """Three ReLU layers of int8 weights, and the weights."""
    widths, populations, matrices = (9, 14, 10, 6), [Population("in", 9, payload="int32")], []
    for number, (into, out) in enumerate(itertools.pairwise(widths)):
        weights = rng.integers(-127, 128, (out, into)).astype(np.int8)
        weights[rng.random(weights.shape) < 0.3] = 0
        gain = rng.uniform(0.5, 1.5) / 127 / 2 ** (kernel_bits if number else 0) / 2
        vectors = vectors_of(out, fs.FILL, gain=gain, bias=rng.normal(0, 0.1, out))
        params = {"bits": float(kernel_bits), "alpha": 1.0, "rounds": rounds}
        hears = (Projection(number, "input", SparseRows.from_dense(weights)),)
        populations.append(Population(f"l{number}", out, "fs", hears, vectors, params, "int32"))
        matrices.append((weights, vectors, params))
    return Network(tuple(populations)), matrices


@pytest.mark.parametrize("rounds", [0.0, 1.0])
@pytest.mark.parametrize("bits", [1, 5, 16])
def test_a_network_of_integer_weights_is_the_integer_cnn_with_the_same_quantiser(bits, rounds):
    rng = np.random.default_rng(bits)
    network, matrices = chain(rng, bits, rounds)
    check_network(network)
    reference = Reference(network)
    for _ in range(4):
        x = rng.integers(-2, 3, 9)
        sent, want = reference.step({0: x}), x
        for number, (weights, vectors, params) in enumerate(matrices, start=1):
            sums = (weights.astype(np.int64) @ want).astype(np.int32)
            want = Quantiser(params).steps(vectors["gain"] * sums.astype(np.float32) + vectors["bias"])
            assert sent[number].shape == (bits, len(want))
            assert sent[number].sum(axis=0).tolist() == want.tolist()


def unrolled(layers=3, cells=(6,), seed=3):
    rng, grid = np.random.default_rng(seed), Grid(tuple(n // 2 for n in cells), cells)
    kernels = rng.normal(0, 0.3, (layers, *cells)) + 1j * rng.normal(0, 0.3, (layers, *cells))
    ones = np.ones(layers, np.float32)
    return Unrolled(grid, kernels.astype(np.complex64), ones * np.float32(0.7), ones * np.float32(0.05), 8 * ones)


@pytest.mark.parametrize("cells", [(6,), (4, 6)])
def test_the_unrolled_network_of_16_bits_is_the_cnn(cells):
    model, rng = unrolled(cells=cells), np.random.default_rng(1)
    z = (rng.normal(0, 0.3, (1, *cells)) + 1j * rng.normal(0, 0.3, (1, *cells))).astype(np.complex64)
    want = model.values(z)
    network = model.network(16, int8=False)
    check_network(network)
    sent = Reference(network).step({0: z.reshape(-1).view(np.float32)})
    for number, x in enumerate(want, start=1):
        assert sent[number].sum(axis=0).view(np.complex64) == pytest.approx(x.reshape(-1), abs=1e-3)


def test_int8_kernels_have_one_scale_and_no_zero_weight_is_stored():
    (real, imaginary), scale = quantised(np.array([1.27, 0.02j, 0.004 - 0.63j], np.complex64))
    assert (real.tolist(), imaginary.tolist(), scale) == ([127, 0, 0], [0, 2, -63], pytest.approx(0.01))


def test_a_pair_of_parts_lies_on_one_pe_whatever_the_deal():
    network = unrolled(cells=(16,)).network()
    for pes in (1, 3, 5, 16):
        for even in (True, False):
            for ((_, units),) in deal_layer(network, 2, pes, even):
                assert len(units) % 2 == 0
                assert (units[::2] % 2 == 0).all()
                assert (units[1::2] == units[::2] + 1).all()
    assert pieces_of(network, (2,)) == 16
    assert strategies.names()


def test_a_split_pair_is_refused():
    shard = SimpleNamespace(units=np.array([0, 2], np.uint32), population=1, kernel="fs_complex")
    with pytest.raises(ModelError, match="needs 2 units together; a deal splits them"):
        _check_together(shard, 2)
    _check_together(SimpleNamespace(units=np.array([2, 3], np.uint32)), 2)


@pytest.mark.parametrize(("params", "line"), [
    ({"bits": 17.0}, r"l0: bits 17.0; needs a whole number from 1 to 16"),
    ({"bits": 0.0}, r"l0: takes 0 ticks a position; needs 1 to 1024"),
    ({"alpha": 3.0}, r"l0: alpha 3.0; needs a power of two"),
    ({"rounds": 2.0}, r"l0: rounds 2.0; needs 0 \(cut off\) or 1 \(round\)"),
])  # fmt: skip
def test_what_no_neuron_can_have_gets_one_line(params, line):
    weights = SparseRows.from_dense(np.eye(2, dtype=np.int8))
    hears = (Projection(0, "input", weights),)
    layer = Population("l0", 2, "fs", hears, vectors_of(2, fs.FILL), params, "int32")
    with pytest.raises(ModelError, match=line):
        check_network(Network((Population("in", 2, payload="int32"), layer)))
