"""exp, sigmoid and tanh in float32, from our own polynomials.

The C library's functions differ between machines in the last bit, which would change events and so every hash; the chip
has its own exponential unit too (1-2 ulp, SpiNNaker2 chip paper via a survey). These use only float32 additions,
multiplications, divisions and bit patterns, in a fixed order, so the bits are the same wherever IEEE 754 is kept.

Measured errors over every 997th float32 (`tests/test_exponentials.py`): exp 1.1 ulp, sigmoid 2.2 ulp, tanh 1.4 ulp at
most.

Coefficients: Chebyshev interpolation of degree 4 of (exp(r) - 1 - r) / r**2 on |r| <= 1.01 ln(2)/2 and of degree 5 of
(tanh(x)/x - 1) / x**2 in x**2 on |x| <= 0.55, computed with 40 digits and rounded to float32.
"""

import numpy as np

from models.compute.compiling import compiled, inlined

_LOG2_E = np.float32(1.4426950216293335)
_LN2_HIGH = np.float32(0.693359375)  # 355/512: its product with any exponent is exact
_LN2_LOW = np.float32(-2.12194440e-4)  # ln 2 - 355/512
_E2, _E3, _E4, _E5, _E6 = (
    np.float32(v) for v in (0.5, 0.16666573286056519, 0.04166654869914055, 0.008363774046301842, 0.0013926926767453551)
)
_T3, _T5, _T7 = (np.float32(v) for v in (-0.3333333432674408, 0.1333332359790802, -0.05396470054984093))
_T9, _T11, _T13 = (np.float32(v) for v in (0.02181844972074032, -0.008526332676410675, 0.0025263905990868807))
_EXP_MAX = np.float32(88.72283)  # above: +inf
_EXP_MIN = np.float32(-87.33654)  # below: 0 (results are never subnormal)
_TANH_SPLIT = np.float32(0.55)
_TANH_ONE = np.float32(9.02)  # from here on tanh rounds to 1
_ZERO, _ONE, _TWO, _INF = np.float32(0), np.float32(1), np.float32(2), np.float32(np.inf)
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)


@inlined
def exp32(x: np.float32) -> np.float32:
    """Return exp(x) as float32; 0 below -87.33654, +inf above 88.72283, NaN for NaN."""
    if not x >= _EXP_MIN:  # also true for NaN
        return _ZERO if x < _EXP_MIN else x
    if x > _EXP_MAX:
        return _INF
    n = np.float32(np.rint(x * _LOG2_E))
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    q = (((_E6 * r + _E5) * r + _E4) * r + _E3) * r + _E2
    y = (r * r) * q + r + _ONE
    # 2**n in two factors: n reaches 128 at the upper end, which one exponent field cannot hold.
    half = np.int32(n) >> np.int32(1)
    rest = np.int32(n) - half
    low = np.int32((half + _BIAS) << _MANTISSA_BITS).view(np.float32)
    high = np.int32((rest + _BIAS) << _MANTISSA_BITS).view(np.float32)
    return np.float32((y * low) * high)


@inlined
def sigmoid32(x: np.float32) -> np.float32:
    """Return 1 / (1 + exp(-x)) as float32."""
    return np.float32(_ONE / (_ONE + exp32(-x)))


@inlined
def tanh32(x: np.float32) -> np.float32:
    """Return tanh(x) as float32: an odd polynomial near zero, 1 - 2 / (exp(2 |x|) + 1) elsewhere."""
    a = np.abs(x)
    if a < _TANH_SPLIT:
        s = x * x
        t = ((((_T13 * s + _T11) * s + _T9) * s + _T7) * s + _T5) * s + _T3
        return np.float32(x + (x * s) * t)
    y = _ONE if a > _TANH_ONE else np.float32(_ONE - _TWO / (exp32(_TWO * a) + _ONE))
    return y if x > _ZERO else -y


@compiled
def sigmoid_of(x: np.ndarray, out: np.ndarray) -> None:
    """Write sigmoid32 of each element of `x` (float32, any length) into `out`."""
    for i in range(x.size):
        out[i] = sigmoid32(x[i])


@compiled
def tanh_of(x: np.ndarray, out: np.ndarray) -> None:
    """Write tanh32 of each element of `x` (float32, any length) into `out`."""
    for i in range(x.size):
        out[i] = tanh32(x[i])
