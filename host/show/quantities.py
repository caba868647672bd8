"""Quantities in words: three digits and an SI prefix, the same on the terminal, on the page and in Python."""

from __future__ import annotations

import math

_PREFIXES = {-12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
_DIGITS = 3
UNKNOWN = "?"


def format_quantity(value: float | None, unit: str) -> str:
    """Return a quantity in three digits, with the prefix that leaves 1 to 999 before the point: `2.34 ms`, `1.64 W`.

    "?" where it is None or no finite number.
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN
    power, prefix = prefix_of(value)
    return f"{format_digits(value / 10.0**power)} {prefix}{unit}"


def format_band(value: float, band: tuple[float, float] | list[float], unit: str) -> str:
    """Return a quantity with its band behind it, under one prefix: `2.34 ms (2.34 to 2.52)`; alone where the band is the value."""
    text = format_quantity(value, unit)
    return text if band[0] == band[1] == value else f"{text} ({format_ends(value, band)})"


def format_ends(value: float, band: tuple[float, float] | list[float], unit: str = "") -> str:
    """Return the two ends of a quantity's band, under the quantity's prefix, which stands behind them where `unit` is given."""
    power, prefix = prefix_of(value)
    ends = " to ".join(format_digits(end / 10.0**power) for end in band)
    return f"{ends} {prefix}{unit}" if unit else ends


def format_constant(value: float, ends: tuple[float, float] | None, unit: str) -> str:
    """Return a constant with its ends where it has some: `16 (8 to 1,000,000) flit`, `5.95 (2.4 to 6.4) Gbyte/s`."""
    power, prefix = prefix_of(value) if value and not 1e-3 <= abs(value) < 1e6 else (0, "")
    band = "" if ends is None else f" ({' to '.join(_plain(end / 10.0**power) for end in ends)})"
    return f"{_plain(value / 10.0**power)}{band} {prefix}{unit}".rstrip()


def _plain(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1e4 else f"{number:,.4g}"


def scale_of(value: float, unit: str) -> tuple[float, str]:
    """Return by what to multiply quantities so that `value`, the largest of them, has 1 to 999 before the point, and their unit."""
    power, prefix = prefix_of(value)
    return 10.0**-power, f"{prefix}{unit}"


def format_change(change: float | None) -> str:
    """Return a change as a share of what was, in percent with its sign: `-56 %`, `+0.4 %`; `0 %` where nothing changes."""
    if change is None or not math.isfinite(change):
        return UNKNOWN
    if change == 0:
        return "0 %"
    percent = 100 * change
    if abs(percent) >= 1000:
        return f"x {1 + change:.3g}"
    if abs(percent) < 0.005:
        return "~ 0 %"
    return f"{percent:+.{0 if abs(percent) >= 9.95 else 1 if abs(percent) >= 0.095 else 2}f} %"


def format_share(share: float) -> str:
    """Return a share in whole percent, and below 9.5 % with one digit more."""
    return f"{100 * share:.0f} %" if share >= 0.095 or share == 0 else f"{100 * share:.1f} %"


def prefix_of(value: float) -> tuple[int, str]:
    """Return the power of ten and the prefix under which three digits of a number stand: (-3, "m") of 0.002."""
    if value == 0 or not math.isfinite(value):
        return 0, ""
    power = min(max(3 * (_exponent(value) // 3), min(_PREFIXES)), max(_PREFIXES))
    return power, _PREFIXES[power]


def format_tick(value: float) -> str:
    """Return the number of a tick: `0.05`, `2,000`, and with an SI prefix from a million on and below a hundredth: `5 M`, `2 m`."""
    if value == 0 or 0.01 <= abs(value) < 1e6:
        return f"{value:,g}"
    power, prefix = prefix_of(value)
    return f"{value / 10.0**power:,g} {prefix}"


def format_digits(number: float) -> str:
    """Return three digits of a number, trailing zeros too."""
    if number == 0:
        return "0"
    exponent = _exponent(number)
    return f"{number:,.{max(0, _DIGITS - 1 - exponent)}f}" if exponent > -4 else f"{number:.{_DIGITS - 1}e}"


def _exponent(number: float) -> int:
    """Return the power of ten of a number as it is rounded to its digits."""
    return math.floor(math.log10(abs(float(f"{number:.{_DIGITS - 1}e}"))))
