"""Cycles of the loops of `few_spikes.c`: a value of a Few-Spikes unit, its ticks and its spikes.

Random units go through whole positions, and say what the plain reference says, bit by bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bench.instructions.compiled import Compiled
from bench.instructions.kernels import Case, Cost, costs_of
from models import kernels
from models.few_spikes import steps_per_one
from models.network import Population
from models.reference import neurons_of
from models.spiking import vectors_of

_BITS = 8
_PARAMS = {"bits": float(_BITS), "alpha": 4.0, "rounds": 1.0}


WAYS = [
    ("fs", "_int8", ""), ("fs", "", "_float"),
    ("fs_complex", "_int8", ""), ("fs_complex", "", "_float"), ("fs_complex", "_alone", "_float"),
]  # fmt: skip
"""Kernel, and the endings of its functions: sums of int8 weights and events of whole steps, or both in float32.
`alone` has no drive."""


class Position(NamedTuple):
    """What a position executed: its values, with how many units or pairs of each kind they were of, and its ticks with theirs."""

    values: Case
    ticks: list[Case]


def positions(program: Compiled, kernel: str, values: str, tick: str) -> Iterator[Position]:
    """Yield positions of random units, by the functions `KERNEL_values` and `KERNEL_tick` with these endings."""
    rng, is_pair = np.random.default_rng(11), kernel == "fs_complex"
    for units in (32, 96, 200):
        for spread in (0.3, 1.0, 3.0):
            population = _population(kernel, units, rng)
            heard = _numbers(rng, units, 4 * spread, "<i4") if values.endswith("int8") else _numbers(rng, units, spread, "<f4")
            sums = {"input": heard}
            if is_pair:
                sums["drive"] = _numbers(rng, units, 0.0 if values.endswith("alone") else spread, "<f4")
            run, arrays = program.call(
                f"{kernel}_values{values}", units // 2 if is_pair else units, _parameters(population), *sums.values(),
                np.zeros(units, "<f4"), float(steps_per_one(_PARAMS)), 0.5,
            )  # fmt: skip
            things = {"unit": units}
            if is_pair:
                passing = int(np.count_nonzero(neurons_of(population).shrunk(sums)[::2]))
                things = {"passing": passing, "silent": units // 2 - passing}
            yield Position((things, run), _ticks(program, f"{kernel}_tick{tick}", population, sums, arrays[-1]))


def _ticks(program: Compiled, function: str, population: Population, sums: Any, v: Any) -> list[Case]:
    """Return the cases of a position's ticks; AssertionError where they do not say what the plain reference does."""
    reference, units, cases = neurons_of(population), population.units, []
    for phase in range(_BITS):
        said, names = reference.step(sums, phase), np.arange(units).astype("<u4") + 1000
        worths = np.zeros(units, "<f4" if function.endswith("float") else "<i4")
        h = float(1 << (_BITS - 1 - phase))
        worth = [1 << (_BITS - 1 - phase)] if worths.dtype.kind == "i" else [float(h / steps_per_one(_PARAMS))]
        run, arrays = program.call(function, units, v, names, np.zeros(units, "<u4"), worths, *worth, h)
        v, spikes = arrays[0], int(np.count_nonzero(said))
        assert (arrays[2][:spikes] - 1000).tolist() == np.flatnonzero(said).tolist(), function
        scale = steps_per_one(_PARAMS) if worths.dtype.kind == "f" else 1
        assert (arrays[3] * scale)[:spikes].tolist() == said[said != 0].tolist(), function
        assert not arrays[2][spikes:].any(), function
        cases.append(({"unit": units, "spike": int((said > 0).sum()), "negative": int((said < 0).sum())}, run))
    return (
        cases if function.startswith("fs_complex") else [({k: n for k, n in of.items() if k != "negative"}, r) for of, r in cases]
    )


def _population(kernel: str, units: int, rng: Any) -> Population:
    drawn = {"gain": rng.uniform(0.5, 1, units), "bias": rng.uniform(-0.1, 0.1, units)}
    if kernel == "fs_complex":
        drawn["theta"] = np.repeat(rng.uniform(0.5, 1.5, units // 2), 2)
    return Population("p", units, kernel, (), vectors_of(units, kernels.named(kernel).FILL, **drawn), _PARAMS, "int32")


def _parameters(population: Population) -> Any:
    """Return gains and biases side by side, and behind those of a pair its theta."""
    parts = np.stack([population.vectors["gain"], population.vectors["bias"]], axis=1)
    if population.kernel == "fs":
        return parts.astype("<f4")
    return np.concatenate([parts.reshape(-1, 4), population.vectors["theta"][::2, None]], axis=1).astype("<f4")


def _numbers(rng: Any, count: int, spread: float, dtype: str) -> Any:
    return (
        np.rint(rng.normal(size=count) * spread).astype(dtype)
        if dtype == "<i4"
        else (rng.normal(size=count) * spread).astype(dtype)
    )


def counted() -> dict[str, dict[str, Cost]]:
    """Return what each loop's things cost, by loop; MissingTool where they cannot be counted here."""
    program = Compiled("few_spikes.c", "-ffp-contract=off", "-fno-math-errno")
    costs: dict[str, dict[str, Cost]] = {}
    for kernel, values, tick in WAYS:
        every = list(positions(program, kernel, values, tick))
        costs[f"{kernel}_values{values}"] = costs_of(one.values for one in every)
        costs[f"{kernel}_tick{tick}"] = costs_of(case for one in every for case in one.ticks)
    return costs
