"""Cycles of the MAC array: the closed form equals a simulation cycle by cycle, and gives what was published, unfitted."""

import pytest

from host.cost.mac_array import conv2d_cycles, matmul_cycles, utilisation
from tests.tools import array_simulation

SHAPES = [(1, 64, 16), (1, 257, 33), (4, 1, 16), (4, 256, 16), (6, 103, 7), (64, 64, 64), (5, 768, 20), (4, 3072, 16)]


@pytest.mark.parametrize("ports", [1, 2])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_matrix_product_takes_what_the_simulation_counts(shape, ports):
    assert matmul_cycles(*shape, ports) == array_simulation.matmul_cycles(*shape, ports)


CONVOLUTIONS = [
    ((3, 3), 4, 6, 5, 17), ((7, 7), 3, 4, 2, 20), ((3, 3), 64, 4, 1, 56),
    ((5, 2), 7, 9, 3, 7), ((1, 1), 32, 5, 2, 19), ((3, 1), 5, 4, 2, 16),
]  # fmt: skip


@pytest.mark.parametrize("ports", [1, 2])
@pytest.mark.parametrize(("kernel", "channels", "out", "rows", "columns"), CONVOLUTIONS)
def test_a_convolution_takes_what_the_simulation_counts(kernel, channels, out, rows, columns, ports):
    have = conv2d_cycles(in_channels=channels, out_channels=out, out_rows=rows, out_columns=columns, kernel=kernel, ports=ports)
    assert have == array_simulation.conv2d_cycles(channels, kernel, out, rows, columns, ports)


def test_published_utilisations_need_no_fit():
    """78 % of transformers' matrix products, 16-19 % of one row, 22-50 % of convolutions (SpiNNaker2 chip paper, via a survey)."""
    assert utilisation(64 * 768 * 64, matmul_cycles(64, 768, 64)) == pytest.approx(0.78, abs=0.01)
    for depth in (64, 128, 256):
        assert 0.15 < utilisation(depth * 16, matmul_cycles(1, depth, 16)) < 0.2
    stem = conv2d_cycles(in_channels=3, out_channels=64, out_rows=224, out_columns=224, kernel=(7, 7))
    assert utilisation(3 * 49 * 64 * 112 * 112, stem) == pytest.approx(0.22, abs=0.01)
    narrow = conv2d_cycles(in_channels=512, out_channels=64, out_rows=7, out_columns=7, kernel=(3, 3))
    assert 0.4 < utilisation(512 * 9 * 64 * 49, narrow) < 0.5


def test_without_the_shared_port_nothing_published_is_explained():
    assert utilisation(64 * 768 * 64, matmul_cycles(64, 768, 64, ports=2)) > 0.95
    assert utilisation(256 * 16, matmul_cycles(1, 256, 16, ports=2)) > 0.24
