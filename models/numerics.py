"""What numbers there are: what an event carries, what a weight is, and what their products are summed in.

A payload is a property of the population that sends: one multicast has one payload. A weight's type and that of the sums are
a projection's. Integer sums are exact (modulo 2**32), so any order and any split of them has the same bits; float32 sums run
in ascending source unit.
"""

from __future__ import annotations

import numpy as np

from models.network import ModelError

PAYLOADS = {"float32": "<f4", "int8": "|i1", "int32": "<i4", "count": "<u2", "spike": ""}
"""Payload -> numpy's type of what an event carries beside its key; a spike carries nothing and stands for a 1."""
WEIGHTS = {"float32": "<f4", "int8": "|i1", "int4": "|u1"}
"""Weight -> numpy's type of what is stored; of int4 two weights lie in a byte (`models/nibbles.py`)."""
INTEGERS = ("int8", "int4")
SUMS = {"float32": "<f4", "int32": "<i4"}
_SUMS = {
    "float32": {"float32": "float32", "spike": "float32", "count": "float32"},
    "int8": {"int8": "int32", "int32": "int32", "spike": "int32", "count": "int32"},
    "int4": {"int8": "int32"},
}


def payload_bytes(payload: str) -> int:
    """Return the bytes that an event carries beside its key; ModelError for no payload of ours."""
    if payload not in PAYLOADS:
        raise ModelError(f"unknown payload {payload!r}: have {', '.join(PAYLOADS)}")
    return np.dtype(PAYLOADS[payload]).itemsize if PAYLOADS[payload] else 0


def sum_of(weight: str, payload: str) -> str:
    """Return what products of such weights and events are summed in; ModelError where they do not go together."""
    if weight not in _SUMS or payload not in _SUMS[weight]:
        have = ", ".join(f"{w} with {p}" for w, payloads in _SUMS.items() for p in payloads)
        raise ModelError(f"weights of {weight} with events of {payload}: no sums for them; have {have}")
    return _SUMS[weight][payload]
