"""Weights of four bits, two to a byte, as they lie in SRAM and in a checkpoint: the first of a pair in the lower half.

A number is in two's complement, -8 to 7. What runs on the host holds them as int8, a number a byte; `models/compute/nibbles.py`
reads them in compiled code.
"""

from __future__ import annotations

import numpy as np

from models.network import Array

LEAST, MOST = -8, 7


def nibble_bytes(count: int) -> int:
    """Return the bytes that so many numbers take."""
    return (count + 1) // 2


def to_nibbles(numbers: Array) -> Array:
    """Return int8 numbers (..., n), -8 to 7, as bytes (..., (n + 1) // 2) uint8; an odd last one has 0 above it."""
    halves = np.zeros((*numbers.shape[:-1], 2 * nibble_bytes(numbers.shape[-1])), np.uint8)
    halves[..., : numbers.shape[-1]] = numbers.astype(np.int8).view(np.uint8) & 0xF
    pairs: Array = halves[..., ::2] | halves[..., 1::2] << 4
    return pairs


def from_nibbles(stored: Array, count: int) -> Array:
    """Return the first `count` numbers of bytes (n,) uint8, as int8."""
    halves = np.stack([stored & 0xF, stored >> 4], axis=-1).reshape(-1)[:count]
    return (halves.astype(np.int8) ^ 8) - np.int8(8)
