"""What a file that was exported here says beside its tensors: activations, segments, zoneout, and whether units are twins."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from reprlib import repr as short
from typing import Any

from models.network import SEGMENT_STATES, ModelError

ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid")  # as in models/heads/affine.py, which compiles code
_MAX_SEGMENT = 1 << 31
_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "segment": lambda value: type(value) is int and 0 < value < _MAX_SEGMENT,
    "state": lambda value: value in SEGMENT_STATES,
    "activations": lambda value: isinstance(value, dict) and all(name in ACTIVATIONS for name in value.values()),
    "zoneout": lambda value: isinstance(value, list) and all(type(z) in (int, float) and 0 <= z <= 1 for z in value),
    "twins": lambda value: type(value) is bool,
    "projection": lambda value: value in ("linear", "relu"),
}


def parse_facts(who: str, raw: bytes) -> dict[str, Any]:
    """Return what a file says of itself; ModelError, beginning with `who`, for what no export has written."""
    if not raw:
        return {}
    try:
        facts = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{who}: what it says beside its tensors is no JSON ({type(error).__name__})") from error
    if not isinstance(facts, dict):
        raise ModelError(f"{who}: says {short(facts)} beside its tensors; needs names and values")
    for name, value in facts.items():
        if name not in _CHECKS or not _holds(_CHECKS[name], value):
            raise ModelError(f"{who}: says {short(name)} {short(value)} beside its tensors, which no export has written")
    return facts


def _holds(check: Callable[[Any], bool], value: Any) -> bool:
    try:
        return check(value)
    except TypeError:  # a list or a dict in the place of a word
        return False
