"""Membranes and synaptic currents of spiking neurons: one step of a unit, and how often it fires.

Every product, sum, difference and quotient is rounded to float32 by itself, in the order written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from models.compute.compiling import inlined
from models.spiking import FORMS, MOST_SPIKES, RESETS, SYNAPSES

_DIFFERENCE, _QUOTIENT_INPUT, _QUOTIENT = map(FORMS.index, ("difference", "quotient-input", "quotient"))
_CURRENT_DIFFERENCE, _SUM_FIRST = map(SYNAPSES.index, ("difference", "sum-first"))
_ZERO, _SUBTRACT, _LATE, _NO_DELAY, _ZERO_LATE = range(len(RESETS))


@inlined
def membrane_after(form: int, v: Any, x: Any, rate: Any, leak: Any) -> Any:
    """Return the membrane v after a step on x, before it fires or resets."""
    if form == _DIFFERENCE:
        return v + rate * ((x + leak) - v)
    if form == _QUOTIENT_INPUT:
        return v + (x - (v - leak)) / rate
    if form == _QUOTIENT:
        return (v - (v - leak) / rate) + x
    return (rate * v + x) + leak


@inlined
def current_after(form: int, current: Any, x: Any, rate: Any) -> Any:
    """Return the synaptic current after a step on x."""
    if form == _CURRENT_DIFFERENCE:
        return current + rate * (x - current)
    if form == _SUM_FIRST:
        return rate * (current + x)
    return rate * current + x


@inlined
def spikes_of(v: Any, threshold: Any, inclusive: bool, many: bool) -> int:
    """Return how often a membrane v fires."""
    if not (v > threshold or (inclusive and v == threshold)):
        return 0
    if not many:
        return 1
    quotient = v / threshold
    if quotient >= MOST_SPIKES:
        return MOST_SPIKES
    spikes = int(quotient)
    if not inclusive and np.float32(spikes) == quotient:
        spikes -= 1
    return max(spikes, 1)


@inlined
def before_firing(kind: int, v: Any, earlier: int, threshold: Any, reset: Any) -> Any:
    """Return the membrane v after the resets of the step before, when it fired `earlier` times."""
    if kind in (_LATE, _NO_DELAY):
        return v - np.float32(earlier) * threshold
    if kind == _ZERO_LATE and earlier:
        return reset
    return v


@inlined
def after_firing(kind: int, v: Any, spikes: int, earlier: int, threshold: Any, reset: Any, floor: bool) -> Any:
    """Return the membrane v that is kept, after `spikes` of this step."""
    if kind == _ZERO and spikes:
        v = reset
    elif kind == _SUBTRACT:
        v = v - np.float32(spikes) * threshold
    elif kind == _NO_DELAY:
        v = v - np.float32(spikes - earlier) * threshold
    if floor:
        above = v + threshold
        v = (above if above > np.float32(0) else np.float32(0)) - threshold
    return v


@inlined
def resets_late(kind: int) -> bool:
    """Tell whether a reset looks at the step before."""
    return kind >= _LATE
