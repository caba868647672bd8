"""What exp, sigmoid and tanh promise: error, ends, order, and the same bits on every machine."""

import ast
import hashlib
from pathlib import Path

import numpy as np
import pytest

from models.compute import exponentials
from models.compute.compiling import compiled
from models.compute.exponentials import exp32, sigmoid_of, tanh_of

SMALLEST_NORMAL = 2.0**-126
LARGEST = float(np.finfo(np.float32).max)
LN2 = np.log(2.0)


@compiled
def exp_of(x: np.ndarray, out: np.ndarray) -> None:
    """Write exp32 of each element of `x` (float32, any length) into `out`."""
    for i in range(x.size):
        out[i] = exp32(x[i])


def _sigmoid64(x):
    small = np.exp(-np.abs(x))  # never overflows
    return np.where(x >= 0, 1, small) / (1 + small)


FUNCTIONS = {"exp": (exp_of, np.exp, 1.1), "sigmoid": (sigmoid_of, _sigmoid64, 2.2), "tanh": (tanh_of, np.tanh, 1.4)}
each = pytest.mark.parametrize("name", FUNCTIONS)


def ours(name, x):
    x = np.asarray(x, np.float32)
    out = np.empty_like(x)
    FUNCTIONS[name][0](x, out)
    return out


def bits(values):
    return [f"{n:08x}" for n in np.asarray(values, np.float32).view(np.uint32).tolist()]


def every(stride):
    """Each `stride`-th finite float32 of either sign, ascending."""
    patterns = np.arange(0, 1 << 32, stride, dtype=np.uint64).astype(np.uint32)
    x = patterns.view(np.float32)
    return np.sort(x[np.isfinite(x)])


def around(centre, count=3000):
    """The `count` consecutive float32 about `centre`, ascending."""
    middle = int(np.abs(np.float32(centre)).view(np.uint32))
    values = np.arange(max(middle - count // 2, 0), middle + count // 2, dtype=np.uint32).view(np.float32)
    return np.sort(np.copysign(values, np.float32(centre)))


EVERY_997TH = every(997)


@pytest.mark.few(1)
@each
def test_error_stays_within_the_stated_bound_over_all_finite_floats(name):
    """In units of the float32 spacing at the exact value, wherever that is a normal number."""
    _, exact_of, bound = FUNCTIONS[name]
    got = ours(name, EVERY_997TH).astype(np.float64)
    with np.errstate(all="ignore"):
        exact = exact_of(EVERY_997TH.astype(np.float64))
    normal = (np.abs(exact) >= SMALLEST_NORMAL) & (np.abs(exact) <= LARGEST)
    got, exact = got[normal], exact[normal]
    ulps = np.abs(got - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert normal.sum() > 1_000_000
    assert ulps.max() <= bound
    assert ulps.max() > bound - 0.2  # the bound is a measurement, no loose promise


@each
def test_what_is_too_small_for_a_normal_number_is_wrong_by_less_than_one(name):
    _, exact_of, _ = FUNCTIONS[name]
    with np.errstate(all="ignore"):
        exact = exact_of(EVERY_997TH.astype(np.float64))
    small = np.abs(exact) < SMALLEST_NORMAL
    assert np.abs(ours(name, EVERY_997TH[small]) - exact[small]).max() < SMALLEST_NORMAL


def test_special_values():
    huge, inf, nan = LARGEST, np.inf, np.nan
    assert ours("exp", [0, -0.0, inf, -inf, huge, -huge]).tolist() == [1, 1, inf, 0, inf, 0]
    assert ours("sigmoid", [0, -0.0, inf, -inf, huge, -huge]).tolist() == [0.5, 0.5, 1, 0, 1, 0]
    assert ours("tanh", [0, -0.0, inf, -inf, huge, -huge]).tolist() == [0, 0, 1, -1, 1, -1]
    assert all(np.isnan(ours(name, [nan]))[0] for name in FUNCTIONS)


def test_exp_ends_where_it_says():
    """0 below -87.33654, +inf above 88.72283, and never a subnormal between."""
    low, high = np.float32(-87.33654), np.float32(88.72283)
    below, above = np.nextafter(low, np.float32(-100)), np.nextafter(high, np.float32(100))
    assert ours("exp", [below, above]).tolist() == [0, np.inf]
    first, last = ours("exp", [low, high])
    assert first >= SMALLEST_NORMAL
    assert np.isfinite(last)


@each
def test_order_is_kept(name):
    """A larger argument never gives a smaller result: over the stride, and float by float across every seam."""
    seams = [0.55, -0.55, 9.02, -9.02, 4.51, 88.72283, -87.33654, 1e-30]
    seams += [(n + 0.5) * LN2 for n in range(-126, 128, 3)]  # where the power of two changes
    for x in (EVERY_997TH, *map(around, seams)):
        with np.errstate(invalid="ignore"):  # inf - inf
            assert not (np.diff(ours(name, x).astype(np.float64)) < 0).any()


def test_ranges_and_symmetry():
    x = EVERY_997TH
    assert (ours("exp", x) >= 0).all()
    sigmoid, tanh = ours("sigmoid", x), ours("tanh", x)
    assert ((sigmoid >= 0) & (sigmoid <= 1)).all()
    assert (np.abs(tanh) <= 1).all()
    assert np.array_equal(ours("tanh", -x), -tanh)


GOLDEN_X = [-87.0, -9.03, -3.25, -0.55, -1e-3, 0.1, 0.34657, 0.54999, 1.0, 2.718, 10.5, 88.5]
GOLDEN = {
    "exp": "00b33687 38fb2904 3d1ed1b4 3f13b2fc 3f7fbe7f 3f8d763e 3fb504c8 3fdddaab 402df854 4172665d 470ddb81 7f4cdcc4",
    "sigmoid": "00b33687 38fb2151 3d18e414 3ebb5295 3effdf3c 3f066509 3f15f60b 3f22568f 3f3b26a8 3f70260a 3f7ffe32 3f800000",
    "tanh": "bf800000 bf800000 bf7f3b3d bf002218 ba83126c 3dcc1ebc 3eaaaa3f 3f00219a 3f42f7d6 3f7dc76a 3f800000 3f800000",
}


@each
def test_bits_are_the_same_on_every_machine(name):
    assert bits(ours(name, GOLDEN_X)) == GOLDEN[name].split()


@each
def test_all_bits_are_the_same_on_every_machine(name):
    digest = hashlib.sha256(ours(name, EVERY_997TH[::7]).tobytes()).hexdigest()
    assert digest[:16] == {"exp": "69eb0cfa4f815e8e", "sigmoid": "a5d544df0879a155", "tanh": "1b71e23f5ce16f88"}[name]


def test_nothing_of_the_c_library_is_called():
    """Of numpy only types, rounding, the absolute value and constants: no exp, log, power or root."""
    source = ast.parse(Path(exponentials.__file__).read_text(encoding="utf-8"))
    used = {node.attr for node in ast.walk(source) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "np"}
    assert used <= {"float32", "int32", "rint", "abs", "inf", "ndarray"}
    imported = {ast.unparse(node) for node in ast.walk(source) if isinstance(node, ast.Import | ast.ImportFrom)}
    assert imported <= {
        "from __future__ import annotations",
        "import numpy as np",
        "from models.compute.compiling import compiled, inlined",
    }
