"""Grids of parameters: some of the combinations in the gate, the others in `make test-slow`."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest


def some(rows: Iterable[Any], chosen: Callable[[Any], bool]) -> list[Any]:
    """Return parameters of which those that are not chosen are slow."""
    return [row if chosen(row) else _slow(row) for row in rows]


def pairs(*columns: Sequence[Any]) -> list[Any]:
    """Return every combination of the columns' values; slow but for a few, in which every two values of two columns meet.

    Where there are two columns, each value of the longer one is there once, and each of the other.
    """
    grid = list(itertools.product(*columns))
    if len(columns) == 2:
        return in_turn(*columns)
    lacking = {pair for row in grid for pair in _pairs_of(row)}
    few = set()
    while lacking:
        best = max(grid, key=lambda row: len(lacking & _pairs_of(row)))  # the first of several, so always the same
        few.add(best)
        lacking -= _pairs_of(best)
    return some(grid, few.__contains__)


def in_turn(*columns: Sequence[Any]) -> list[Any]:
    """Return every combination of the columns' values; slow but for as many as the longest column has values: each of those once,
    beside the next value of each other column in turn.
    """
    most = max(map(len, columns))
    few = {_in_turn(n, columns, most) for n in range(most)}
    return some(itertools.product(*columns), few.__contains__)


def _in_turn(n: int, columns: Sequence[Sequence[Any]], most: int) -> tuple[Any, ...]:
    """Return the n-th of such combinations; a short column goes one further whenever the short ones before it begin again."""
    row, round_length = [], 0
    for column in columns:
        is_short = len(column) < most
        row.append(column[(n + (n // round_length if is_short and round_length else 0)) % len(column)])
        if is_short:
            round_length = max(round_length, 1) * len(column)
    return tuple(row)


def _pairs_of(row: tuple[Any, ...]) -> set[tuple[Any, ...]]:
    return set(itertools.combinations(enumerate(row), 2))


def _slow(row: Any) -> Any:
    return pytest.param(*(row if isinstance(row, tuple) else (row,)), marks=pytest.mark.slow)
