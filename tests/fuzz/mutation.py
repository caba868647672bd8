"""Mutations of messages and files: bytes changed anywhere, and values changed within msgpack."""

import random

import msgpack

ODD_BYTES = (0, 1, 0x7F, 0x80, 0x90, 0x9F, 0xA0, 0xC0, 0xC1, 0xC4, 0xC6, 0xCF, 0xD3, 0xDC, 0xDD, 0xDF, 0xFF)
ODD_VALUES = (
    None, True, -1, 0, 1, 255, 1 << 31, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63), 0.5, float("nan"), float("inf"), "",
    "\n", "\ud800", "host", "PE(1,1,0)@0", "<f4", "<f4,", "float32", b"", b"\0", bytes(7), bytes(300), [], [[]], {},
    {"": 0}, {0: []},
)  # fmt: skip
MOST_BYTES = 1 << 16


def mutated(raw: bytes, rng: random.Random, others: list[bytes], *, tree: bool) -> bytes:
    """Return `raw` with one to four changes; with `tree`, half the time within what msgpack makes of it."""
    if tree and rng.random() < 0.5:
        try:
            value = msgpack.unpackb(raw, strict_map_key=False, unicode_errors="surrogatepass")
            for _ in range(rng.choice((1, 1, 1, 2, 3))):
                value = _with_other_value(value, rng)
            return msgpack.packb(value, unicode_errors="surrogatepass")
        except Exception:
            pass
    out = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        _change_bytes(out, rng, others)
    return bytes(out[:MOST_BYTES])


def _change_bytes(out: bytearray, rng: random.Random, others: list[bytes]) -> None:
    at = rng.randrange(len(out) + 1)
    span = rng.choice((1, 1, 2, 4, 8, 64))
    match rng.randrange(7):
        case 0 if out:
            out[at % len(out)] ^= 1 << rng.randrange(8)
        case 1 if out:
            out[at % len(out)] = rng.choice(ODD_BYTES)
        case 2:
            del out[at : at + span]
        case 3:
            out[at:at] = out[at : at + span]
        case 4:
            out[at:at] = rng.randbytes(span)
        case 5:
            out[at : at + span] = rng.choice(ODD_BYTES).to_bytes() * span
        case _:
            other = rng.choice(others)
            cut = rng.randrange(len(other) + 1)
            out[at:] = other[cut:]


def _with_other_value(value, rng):
    """Return `value` with one of its parts, at any depth, made another."""
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        match rng.randrange(10):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return value[: at + 1] + value[at:]
            case 2:
                return [*value[:at], rng.choice(value), *value[at + 1 :]]
        return [*value[:at], _with_other_value(value[at], rng), *value[at + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {other: part for other, part in value.items() if other != key}
        if rng.random() < 0.1:
            return {**value, rng.choice(("", 0, -1, 1 << 63, "x")): value[key]}
        return {**value, key: _with_other_value(value[key], rng)}
    match rng.randrange(4):
        case 0 if isinstance(value, int):
            return value + rng.choice((-1, 1, 1 << 32, -(1 << 33))) if -(1 << 60) < value < 1 << 60 else 0
        case 1 if isinstance(value, bytes) and value:
            out = bytearray(value)
            _change_bytes(out, rng, [value])
            return bytes(out)
        case 2 if isinstance(value, str):
            return value[: rng.randrange(len(value) + 1)] + rng.choice(("", "x", "\x1b[2J", "é"))
    return rng.choice(ODD_VALUES)
