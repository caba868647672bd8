"""Quantising: the numbers are the nearest on the grid, grids that are there stay, and what cannot be is refused in one line."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.network import ModelError, Network, Population, Projection, SparseRows
from models.quantise import Grid, quantise_network, quantise_rows, quantise_together
from models.seeded import seeded_egru

values = st.just(0.0) | st.floats(2.0**-30, 2.0**30, width=32) | st.floats(-(2.0**30), -(2.0**-30), width=32)
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=8), elements=values)
grids = st.builds(
    Grid,
    bits=st.integers(2, 8),
    powers_of_two=st.booleans(),
    per_row=st.booleans(),
    percentile=st.sampled_from([100.0, 99.0, 60.0]),
    keep=st.booleans(),
)


def rows_of(matrix):
    return SparseRows.from_dense(np.asarray(matrix, np.float32))


@given(matrices, grids)
@settings(deadline=None)
def test_every_number_is_the_nearest_of_its_rows_grid(matrix, grid):
    assume(matrix.any())
    weights = rows_of(matrix)
    done = quantise_rows("w", weights, grid)
    done.weights.check("w")
    numbers = done.weights.to_dense()
    assert numbers.dtype == np.int8
    assert np.abs(numbers.astype(int)).max(initial=0) <= grid.most
    assert len(set(done.scales.tolist())) == 1 or grid.per_row
    for row, scale in enumerate(done.scales.tolist()):
        exact = matrix[row].astype(np.float64) / scale
        nearest = np.clip(np.rint(exact), -grid.most, grid.most)
        assert numbers[row].tolist() == nearest.tolist()
        if grid.powers_of_two:
            assert math.frexp(scale)[0] == 0.5


@given(matrices, grids)
@settings(deadline=None)
def test_the_report_is_what_the_matrices_say(matrix, grid):
    assume(matrix.any())
    weights = rows_of(matrix)
    done = quantise_rows("w", weights, grid)
    restored = done.weights.to_dense().astype(np.float64) * done.scales[:, None]
    stored = matrix != 0
    errors = np.abs(restored - matrix)[stored]
    assert done.worst == pytest.approx(errors.max())
    assert done.error == pytest.approx(np.sqrt(np.mean(errors**2)))
    assert done.vanished == np.count_nonzero(stored & (restored == 0)) == weights.nonzeros - done.weights.nonzeros
    assert done.clipped == np.count_nonzero(np.abs(matrix / done.scales[:, None]) > grid.most + 0.5)
    if grid.percentile == 100:
        assert done.clipped == 0
        assert (errors <= np.repeat(done.scales / 2, stored.sum(axis=1)) * (1 + 1e-9)).all()
    assert done.to_float32().to_dense() == pytest.approx(restored.astype(np.float32), abs=0)


@given(
    hnp.arrays(np.int8, (4, 5), elements=st.integers(-127, 127)),
    st.sampled_from([1.0, 0.5, 2.0, 2.0**-7, 1 / 64, 0.1, 1 / 127, 0.0123]),
    st.booleans(),
)
@settings(deadline=None)
def test_weights_on_a_grid_come_back_as_they_were(numbers, step, per_row):
    """Even where their largest is not 127 steps: 127 / max would round them again."""
    assume(numbers.any())
    matrix = (numbers * np.float64(step)).astype(np.float32)
    done = quantise_rows("w", rows_of(matrix), Grid(per_row=per_row))
    assert (done.clipped, done.vanished) == (0, 0)
    assert done.to_float32().to_dense() == pytest.approx(matrix, rel=2e-7, abs=0)
    assert done.worst <= 1e-6 * np.abs(matrix).max()


def test_a_grid_that_is_there_is_kept_only_where_asked():
    """Multiples of 2 from -89 * 2 to 96 * 2: 127 / max is another grid, and loses."""
    matrix = np.array([[2.0 * n for n in (-89, 3, 17, 96)]])
    assert quantise_rows("w", rows_of(matrix), Grid()).weights.values.tolist() == [-89, 3, 17, 96]
    assert quantise_rows("w", rows_of(matrix), Grid(powers_of_two=True)).scales.tolist() == [2.0]
    assert quantise_rows("w", rows_of(matrix), Grid(keep=False)).worst > 0


@pytest.mark.parametrize(("largest", "scale"), [(127.0, 1.0), (127.1, 2.0), (63.5, 0.5), (1e-3, 2.0**-16)])
def test_a_power_of_two_is_the_smallest_that_clips_nothing(largest, scale):
    done = quantise_rows("w", rows_of([[largest, largest * 0.123456, -largest / 3.3]]), Grid(powers_of_two=True, keep=False))
    assert done.scales.tolist() == [scale]
    assert done.clipped == 0


def test_a_percentile_clips_the_largest_and_says_how_many():
    matrix = np.array([[*np.linspace(0.011, 1.017, 99), 50.0]], np.float32)
    whole, most = (quantise_rows("w", rows_of(matrix), Grid(percentile=p)) for p in (100.0, 99.0))
    assert (whole.clipped, most.clipped) == (0, 1)
    assert most.scales[0] == pytest.approx(1.017 / 127)
    assert most.weights.values[-1] == 127
    assert whole.vanished > 0
    assert most.vanished == 0


def test_a_row_without_weights_has_a_scale_of_its_own():
    done = quantise_rows("w", rows_of([[0, 0], [3.3, 1.1]]), Grid(per_row=True, keep=False))
    assert done.scales.tolist() == [1.0, pytest.approx(3.3 / 127)]


@pytest.mark.parametrize("per_row", [False, True])
def test_matrices_whose_sums_are_added_share_their_scales(per_row):
    rng = np.random.default_rng(1)
    first, second = (rows_of(rng.normal(0, deviation, (4, 6))) for deviation in (1, 3))
    done = quantise_together("port", [first, second], Grid(per_row=per_row))
    assert done[0].scales.tolist() == done[1].scales.tolist()
    whole = quantise_rows("w", rows_of(np.hstack([first.to_dense(), second.to_dense()])), Grid(per_row=per_row))
    assert done[0].scales.tolist() == whole.scales.tolist()
    assert np.hstack([part.weights.to_dense() for part in done]).tolist() == whole.weights.to_dense().tolist()


def test_a_network_is_quantised_port_by_port_and_layers_that_are_not_named_stay():
    rng = np.random.default_rng(2)
    weights = [rows_of(rng.normal(0, 1, (3, 4))), rows_of(rng.normal(0, 2, (3, 3))), rows_of(rng.normal(0, 1, (3, 3)))]
    first = Projection(0, "input", weights[0]), Projection(1, "input", weights[1], delay=1)
    populations = (
        Population("input", 4, payload="spike"),
        Population("a", 3, "k", first),
        Population("b", 3, "k", (Projection(1, "input", weights[2]),)),
    )
    network, done = quantise_network(Network(populations), {1: Grid()})
    assert list(done) == [(1, 0), (1, 1)]
    assert done[1, 0].scales.tolist() == done[1, 1].scales.tolist()
    assert [p.weights.numeric for p in network.populations[1].projections] == ["int8", "int8"]
    assert [p.delay for p in network.populations[1].projections] == [0, 1]
    assert network.populations[2] == populations[2]
    again, more = quantise_network(network, Grid())
    assert list(more) == [(2, 0)]  # int8 stays
    assert again.populations[1] == network.populations[1]


def test_a_seeded_network_keeps_its_signal():
    network = seeded_egru(8, (7, 8), 0.6, seed=5)
    _, done = quantise_network(network, Grid(per_row=True))
    assert all(part.signal_db > 35 for part in done.values())
    _, coarse = quantise_network(network, Grid(bits=4, per_row=True))
    assert all(coarse[at].signal_db < part.signal_db for at, part in done.items())


@pytest.mark.parametrize(
    ("matrix", "line"),
    [
        ([[0, 0]], "layer1, port 'input': has no weight that is not zero; nothing to fit a scale to"),
        ([[1, np.nan]], "layer1, port 'input': 1 of 2 values are not finite, first nan at 1"),
        ([[1, np.inf]], "layer1, port 'input': 1 of 2 values are not finite, first inf at 1"),
    ],
)
def test_what_cannot_be_quantised_is_refused_in_one_line(matrix, line):
    population = Population("layer1", 1, "k", (Projection(0, "input", rows_of(matrix)),))
    with pytest.raises(ModelError) as caught:
        quantise_network(Network((Population("input", 2), population)), Grid())
    assert str(caught.value) == line


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ModelError, match="9 bits; needs a whole number from 2 to 8"):
        Grid(bits=9)
    for percentile in (0.0, 101.0, float("nan")):
        with pytest.raises(ModelError, match="needs a number above 0, at most 100"):
            Grid(percentile=percentile)
    done = quantise_rows("w", rows_of([[1.0]]), Grid())
    with pytest.raises(ModelError, match="w: weights of int8; needs float32 to quantise"):
        quantise_rows("w", done.weights, Grid())
    with pytest.raises(ModelError, match="matrices of 1, 2 rows share a grid"):
        quantise_together("w", [rows_of([[1.0]]), rows_of([[1.0], [2.0]])], Grid())


def test_a_kernel_is_refused_where_only_matrices_are_quantised():
    from models.convolution import Convolution

    kernel = Convolution(np.ones((1, 1, 2, 2), np.float32), (1, 3, 3))
    layer = Population("c", 4, "lif", (Projection(0, "input", kernel),), payload="spike")
    with pytest.raises(ModelError, match=r"c, port 'input': weights that are a kernel"):
        quantise_network(Network((Population("in", 9), layer)), Grid())
