"""The language model's read-out on the host: logits, negative log-likelihood and sampling, in float32 without BLAS.

The decoder is the authors' tied linear layer, logits = E y + b, or E h + b behind a projection h = W y + b'. Each sum
runs in ascending unit with one accumulator, like a row of a shard, so that it does not depend on the machine; the product
runs unit by unit over the transposed matrix, which vectorises and skips silent units.
"""

from __future__ import annotations

import numpy as np

from models.compute.compiling import compiled
from models.compute.exponentials import exp32
from models.heads import Example
from models.heads._plain_sums import example_numbers, example_rows, plain_sums
from models.network import F32, Array

BLOCK = 2048  # words whose logits stay in the first-level cache while all events pass over them


@compiled
def logits_of(keys: Array, values: Array, first_key: int, columns: Array, bias: Array, logits: Array) -> None:
    """Write bias + sum of `columns[key - first_key]` * value over the events into `logits` (words,), all float32."""
    for start in range(0, bias.size, BLOCK):
        # Parts of arrays, walked from 0: an index that might be negative is looked at word by word, and nothing vectorises.
        part, offset = logits[start : start + BLOCK], bias[start : start + BLOCK]
        for w in range(part.size):
            part[w] = np.float32(0)
        for e in range(keys.size):
            column = columns[np.int64(keys[e]) - first_key, start : start + BLOCK]
            value = values[e]
            for w in range(part.size):
                part[w] += column[w] * value
        for w in range(part.size):
            part[w] += offset[w]


def project(keys: Array, values: Array, first_key: int, columns: Array, bias: Array, activation: str, hidden: Array) -> None:
    """Write the projection of the events into `hidden` (embedding units,) as `logits_of` does; "relu" then zeroes negatives."""
    logits_of(keys, values, first_key, columns, bias, hidden)
    if activation == "relu":
        hidden[hidden < 0] = 0


def log_likelihood(logits: Array, target: int) -> float:
    """Return the natural logarithm of the softmax probability of word `target`; sums in float64, ascending."""
    return _log_likelihood(logits, target, np.empty_like(logits))


@compiled
def _log_likelihood(logits: Array, target: int, powers: Array) -> float:  # room for powers: to make it would take long to compile
    top = logits[0]
    for w in range(1, logits.size):
        top = max(top, logits[w])
    for w in range(logits.size):
        powers[w] = exp32(logits[w] - top)
    total = 0.0
    for w in range(logits.size):  # apart, since this one cannot take several words at a time
        total += float(powers[w])
    return float(float(logits[target]) - float(top) - np.log(total))


@compiled
def _weights_of(logits: Array, temperature: np.float32, floor: np.float32, forbidden: int, weights: Array) -> float:
    top = logits[0]
    for w in range(1, logits.size):
        top = max(top, logits[w])
    total = 0.0
    for w in range(logits.size):
        weights[w] = exp32((logits[w] - top) / temperature) if logits[w] >= floor and w != forbidden else np.float32(0)
        total += float(weights[w])
    return total


def sample(logits: Array, temperature: float, top_k: int, draw: float, forbidden: int = -1) -> int:
    """Choose the next word by `logits` (words,) float32 and `draw`, a number in [0, 1).

    A `temperature` divides the logits; 0 takes the likeliest word (the first of equals). With `top_k` only the k likeliest
    words and their equals are candidates; `forbidden` is a word that is never chosen (`<unk>`), or -1.
    """
    scores = logits
    if forbidden >= 0:
        scores = logits.copy()
        scores[forbidden] = np.finfo(np.float32).min
    if temperature == 0:
        return int(np.argmax(scores))
    floor = np.float32(-np.inf)
    if 0 < top_k < scores.size:
        floor = np.partition(scores, scores.size - top_k)[scores.size - top_k]
    weights = np.empty(scores.size, np.float32)
    total = _weights_of(scores, np.float32(temperature), floor, forbidden, weights)
    running = np.cumsum(weights, dtype=np.float64)  # sequential by definition, so the same on every machine
    pick = int(np.searchsorted(running, draw * total, side="right"))
    return min(pick, int(np.flatnonzero(weights)[-1]))


def warm() -> None:
    """Compile the read-out."""
    columns, bias, logits = np.zeros((1, 2), np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
    logits_of(np.zeros(1, np.uint32), np.zeros(1, np.float32), 0, columns, bias, logits)
    log_likelihood(logits, 0)
    sample(logits, 1.0, 1, 0.5)


def example() -> Example:
    """Return a small decoder behind a projection."""
    between, offset = example_numbers(1, 4, 6), example_numbers(2, 4)
    words, bias = example_numbers(3, 9, 4), example_numbers(4, 9)
    columns = [np.ascontiguousarray(weight.T) for weight in (between, words)]

    def answer(row: F32) -> F32:
        hidden, logits = np.empty(4, np.float32), np.empty(9, np.float32)
        keys = np.flatnonzero(row).astype(np.uint32)
        project(keys, row[keys], 0, columns[0], offset, "relu", hidden)
        logits_of(np.arange(4, dtype=np.uint32), hidden, 0, columns[1], bias, logits)
        return logits

    def plainly(row: F32) -> F32:
        return plain_sums(words, bias, np.maximum(plain_sums(between, offset, row), np.float32(0)))

    return Example(answer, plainly, example_rows(6, seed=2))
