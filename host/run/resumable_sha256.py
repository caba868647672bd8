"""`ResumableSha256`: SHA-256 (FIPS 180-4) whose state can be written down in the middle, which hashlib's cannot."""

from __future__ import annotations

from math import isqrt

import numpy as np

from models.compute.compiling import compiled
from models.network import U32, Array

_BLOCK_BYTES = 64
_WORD = 0xFFFFFFFF


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _cube_root(number: int) -> int:
    """Return the whole part of a number's cube root."""
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle)
    return low


# The first 32 bits behind the point of the square and cube roots of the first primes, as the standard has it (4.2.2, 5.3.3).
_FIRST = np.array([isqrt(prime << 64) & _WORD for prime in _primes(8)], np.uint32)
_ROUNDS = np.array([_cube_root(prime << 96) & _WORD for prime in _primes(64)], np.uint32)


@compiled
def _turned(word: np.uint64, by: np.uint64) -> np.uint64:
    return ((word >> by) | (word << (np.uint64(32) - by))) & np.uint64(0xFFFFFFFF)


@compiled
def _compress(state: U32, rounds: U32, raw: Array) -> None:
    """Take whole blocks (bytes, a multiple of 64) into the state of eight words."""
    mask, words = np.uint64(0xFFFFFFFF), np.empty(64, np.uint64)
    for begin in range(0, len(raw), 64):
        for t in range(16):
            at = begin + 4 * t
            words[t] = (
                np.uint64(raw[at]) << np.uint64(24) | np.uint64(raw[at + 1]) << np.uint64(16)
                | np.uint64(raw[at + 2]) << np.uint64(8) | np.uint64(raw[at + 3])
            )  # fmt: skip
        for t in range(16, 64):
            x, y = words[t - 15], words[t - 2]
            small = _turned(x, np.uint64(7)) ^ _turned(x, np.uint64(18)) ^ (x >> np.uint64(3))
            large = _turned(y, np.uint64(17)) ^ _turned(y, np.uint64(19)) ^ (y >> np.uint64(10))
            words[t] = (words[t - 16] + small + words[t - 7] + large) & mask
        a, b, c, d = np.uint64(state[0]), np.uint64(state[1]), np.uint64(state[2]), np.uint64(state[3])
        e, f, g, h = np.uint64(state[4]), np.uint64(state[5]), np.uint64(state[6]), np.uint64(state[7])
        for t in range(64):
            mixed = _turned(e, np.uint64(6)) ^ _turned(e, np.uint64(11)) ^ _turned(e, np.uint64(25))
            first = h + mixed + ((e & f) ^ (~e & mask & g)) + np.uint64(rounds[t]) + words[t]
            mixed = _turned(a, np.uint64(2)) ^ _turned(a, np.uint64(13)) ^ _turned(a, np.uint64(22))
            second = mixed + ((a & b) ^ (a & c) ^ (b & c))
            h, g, f, e = g, f, e, (d + first) & mask
            d, c, b, a = c, b, a, (first + second) & mask
        for place, word in enumerate((a, b, c, d, e, f, g, h)):
            state[place] = np.uint32((np.uint64(state[place]) + word) & mask)


class ResumableSha256:
    """A running digest, as `hashlib.sha256()` is one."""

    def __init__(self, state: bytes = b"") -> None:
        """Begin, or go on from a `state`."""
        self._words, self._size, self._rest = _FIRST.copy(), 0, b""
        if state:
            self._words = np.frombuffer(state, "<u4", 8).astype(np.uint32)
            self._size, self._rest = int.from_bytes(state[32:40], "little"), state[40:]

    @property
    def state(self) -> bytes:
        """All that is needed to go on: the words, the count of bytes, and what is no block yet."""
        return self._words.astype("<u4").tobytes() + self._size.to_bytes(8, "little") + self._rest

    def update(self, raw: bytes) -> None:
        """Take bytes."""
        self._size += len(raw)
        raw = self._rest + raw if self._rest else raw
        whole = len(raw) - len(raw) % _BLOCK_BYTES
        if whole:
            _compress(self._words, _ROUNDS, np.frombuffer(raw, np.uint8, whole))
        self._rest = raw[whole:]

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""
        other = ResumableSha256(self.state)
        zeros = -(self._size + 9) % _BLOCK_BYTES
        other.update(b"\x80" + bytes(zeros) + (8 * self._size).to_bytes(8, "big"))
        return other._words.astype(">u4").tobytes()

    def hexdigest(self) -> str:
        """Return the same as text."""
        return self.digest().hex()


def warm() -> None:
    """Compile what takes blocks, or load it from the cache."""
    ResumableSha256().update(bytes(_BLOCK_BYTES))
