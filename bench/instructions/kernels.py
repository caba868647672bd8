"""Cycles of the loops of `kernels.c`: what they compute is checked, and their time is divided among what they loop over.

Each loop runs on several sizes; least squares then say what a weight, a row, an event or a unit takes, and how many branches it
takes. What all sizes have in common (a call) is a column of its own and left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.instructions.compiled import Compiled, divide
from bench.instructions.cortex_m4 import Instruction, time_of
from models.nibbles import to_nibbles

_FLOAT_BITS, _HALF_BITS = 32, 4
_TIMINGS = ({}, {"store_cycles": 1, "sums_waited": False})
"""As the tables say, and as fast as GCC's table and users say."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cycles of one thing that a loop does, refills apart, by the tables and at least; and the branches that it takes."""

    cycles: float
    least: float
    taken: float


Case = tuple[Mapping[str, int], list[Instruction]]
"""How often a run did each thing, and what it executed."""


def costs_of(cases: Iterator[Case]) -> dict[str, Cost]:
    """Return what each thing costs, of several runs of a loop; AssertionError where no numbers fit them within 2 %."""
    counts, figures = [], []
    for things, run in cases:
        counts.append({**things, "call": 1})
        figures.append([time_of(run, **timing) for timing in _TIMINGS])
    names = list(counts[0])
    rows = [[of[name] for name in names] for of in counts]
    slow, fast, taken = (
        divide(rows, column)
        for column in (
            [of[0].cycles for of in figures], [of[1].cycles for of in figures], [of[0].taken for of in figures],
        )
    )  # fmt: skip
    assert max(slow[1], fast[1]) < 0.02, (names, slow, fast)
    return {name: Cost(cycles=float(slow[0][n]), least=float(fast[0][n]), taken=float(taken[0][n])) for n, name in enumerate(names)}


def _close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


def _numbers(rng: Any, count: int, whole: bool, dtype: str, share: float = 1.0) -> Any:
    """Return random numbers of which a share is not zero."""
    drawn = rng.integers(1, 90, count) if whole else rng.normal(size=count)
    return (drawn * (rng.random(count) < share)).astype(dtype)


def _weights(rng: Any, count: int, bits: int) -> Any:
    """Return random weights of so many bits: 32 of floats, 8 or 4 of integers, as int8."""
    values = _numbers(rng, count, bits < _FLOAT_BITS, "i1" if bits < _FLOAT_BITS else "<f4")
    return (values % 8).astype("i1") if bits == _HALF_BITS else values


def _stored(values: Any, bits: int) -> Any:
    """Return weights as they lie in SRAM: those of four bits two to a byte, of each row."""
    return to_nibbles(values) if bits == _HALF_BITS else values


def csr(program: Compiled, name: str, bits: int, tested: bool) -> Iterator[Case]:
    """Yield runs of a dot product a row."""
    rng, whole = np.random.default_rng(1), bits < _FLOAT_BITS
    columns_type, sum_type, value_type = ("<u2", "<i4", "i1") if whole else ("<i4", "<f4", "<f4")
    for rows in (9, 27, 81):
        for each in (5, 40, 120):
            extents = np.concatenate([[0], np.cumsum(rng.integers(each - 3, each + 4, rows))]).astype("<u4")
            columns = rng.integers(0, 700, int(extents[-1])).astype(columns_type)
            values = _weights(rng, len(columns), bits)
            heard = _numbers(rng, 700, whole, value_type, 0.5 if tested else 1.0)
            run, arrays = program.call(name, rows, extents, columns, _stored(values, bits), heard, np.zeros(rows, sum_type))
            products = values.astype(float) * heard[columns].astype(float)
            _close(arrays[-1], np.add.reduceat(products, extents[:-1].astype(int)))
            active = int((heard[columns] != 0).sum())
            things = {"active": active, "silent": len(columns) - active} if tested else {"weight": len(columns)}
            yield {**things, "row": rows}, run


def dense(program: Compiled, name: str, bits: int) -> Iterator[Case]:
    """Yield runs of a dense dot product a row."""
    rng, whole = np.random.default_rng(2), bits < _FLOAT_BITS
    sum_type, value_type = ("<i4", "i1") if whole else ("<f4", "<f4")
    for rows in (4, 16, 27):
        for width in (16, 64, 256):
            values, heard = _weights(rng, rows * width, bits), _numbers(rng, width, whole, value_type)
            run, arrays = program.call(name, rows, width, _stored(values, bits), heard, np.zeros(rows, sum_type))
            _close(arrays[-1], values.reshape(rows, width).astype(float) @ heard)
            yield {"weight": rows * width, "row": rows}, run


def dense_event(program: Compiled, name: str, bits: int) -> Iterator[Case]:
    """Yield runs of a loop over a vector, of which some is zero, with the column of each that is not."""
    rng, whole = np.random.default_rng(3), bits < _FLOAT_BITS
    sum_type, value_type = ("<i4", "i1") if whole else ("<f4", "<f4")
    for rows in (4, 16, 27):
        for width in (32, 128):
            for share in (0.1, 0.5, 1.0):
                values, heard = _weights(rng, rows * width, bits), _numbers(rng, width, whole, value_type, share)
                stored = _stored(values.reshape(width, rows), bits)
                run, arrays = program.call(name, rows, width, stored, heard, np.zeros(rows, sum_type))
                _close(arrays[-1], heard @ values.reshape(width, rows).astype(float))
                active = int((heard != 0).sum())
                yield {"weight": rows * active, "event": active, "silent": width - active}, run


def packed(program: Compiled, name: str, bits: int) -> Iterator[Case]:
    """Yield runs of a loop over events, with the column of each, whose weights have their rows beside them."""
    rng, whole = np.random.default_rng(4), bits < _FLOAT_BITS
    extent_type, row_type, sum_type = ("<u2", "u1", "<i4") if whole else ("<u4", "<u2", "<f4")
    for rows in (27, 81):
        for each in (2, 5, 20):
            for events in (10, 60):
                sizes = np.clip(rng.integers(each - 1, each + 2, 100), 1, rows)
                extents = np.concatenate([[0], np.cumsum(sizes)]).astype(extent_type)
                places = rng.integers(0, rows, int(extents[-1])).astype(row_type)
                values, heard = _weights(rng, len(places), bits), _numbers(rng, events, whole, sum_type)
                keys, expected = rng.integers(0, 100, events).astype("<u4"), np.zeros(rows)
                for key, value in zip(keys, heard, strict=True):
                    of = slice(int(extents[key]), int(extents[key + 1]))
                    np.add.at(expected, places[of], values[of].astype(float) * float(value))
                run, arrays = program.call(
                    name, events, keys, heard, extents, places, _stored(values, bits), np.zeros(rows, sum_type)
                )
                _close(arrays[-1], expected)
                yield {"weight": int(sizes[keys].sum()), "event": events}, run


def elementwise(
    program: Compiled, name: str, check: Callable[..., Any], *scalars: float, keyed: bool = False, types: tuple[str, ...] = ()
) -> Iterator[Case]:
    """Yield runs over elements; `check(arrays before, scalars)` is the last array as it should be. Arrays have `types`, or are
    float32.
    """
    rng = np.random.default_rng(5)
    for count in (16, 64, 200):
        arrays = [rng.permutation(count).astype("<u4")] if keyed else []
        for kind in types or ["<f4"] * (1 if name == "trace_decay" else 2):
            arrays.append((rng.normal(size=count) * (1 if kind == "<f4" else 40)).astype(kind))
        run, after = program.call(name, count, *scalars, *arrays)
        _close(after[-1], check(*arrays, *scalars))
        yield {"element": count}, run


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _egru(units: Any) -> Any:
    x, h, bx, bh = (units[:, 3 * n : 3 * n + 3].astype(float) for n in range(4))
    z, r = _sigmoid(x[:, 0] + h[:, 0] + bx[:, 0] + bh[:, 0]), _sigmoid(x[:, 1] + h[:, 1] + bx[:, 1] + bh[:, 1])
    g = np.tanh(x[:, 2] + bx[:, 2] + r * (h[:, 2] + bh[:, 2]))
    return z * units[:, 12] + (1 - z) * g


def _gate(units: Any) -> Any:
    return _sigmoid(units[:, 0].astype(float) + units[:, 1] + units[:, 2]) * units[:, 3]


def _cell(units: Any) -> Any:
    z, g = (
        _sigmoid(units[:, 0].astype(float) + units[:, 2] + units[:, 4]),
        np.tanh(units[:, 1].astype(float) + units[:, 3] + units[:, 5]),
    )
    return z * units[:, 6] + (1 - z) * g


_UNITS = {"egru": (15, 12, _egru), "egru_gate": (5, None, _gate), "egru_cell": (9, 6, _cell)}
"""Of a record of floats and a key: its words, where the state lies (before the threshold), and what the unit comes to."""


def units(program: Compiled, name: str, newlib: bool) -> Iterator[Case]:
    """Yield runs of a step of EGRU units, of which about a fifth fires; with the chip's unit, what it answers is made up."""
    rng, (words, state, value_of) = np.random.default_rng(6), _UNITS[name]
    for count in (40, 80, 160, 320):
        records = rng.normal(size=(count, words)).astype("<f4")
        if state is not None:
            records[:, state + 1] = rng.uniform(0.4, 0.9, count)
        run, arrays = program.call(name, count, records, np.zeros(count, "<u4"), np.zeros(count, "<f4"))
        if newlib:
            p = value_of(records)
            fires = p > records[:, state + 1] if state is not None else p != 0
            _close(arrays[2][: fires.sum()], p[fires])
        yield {"unit": count}, run


def int8_units(program: Compiled, name: str, newlib: bool) -> Iterator[Case]:
    """Yield runs of a step of EGRU units on integer sums, of which about a fifth fires, as `units`; of `egru_int8_state` with cell
    states of a byte.
    """
    rng, narrow = np.random.default_rng(7), name == "egru_int8_state"
    state = [("threshold", "<f4"), ("c", "<i4")] if narrow else [("c", "<f4"), ("threshold", "<f4")]
    record = np.dtype([("sums", "<i4", 6), ("scales", "<f4", 6), ("biases", "<f4", 6), *state, ("key", "<u4")])
    for count in (40, 80, 160, 320):
        of = np.zeros(count, record)
        of["sums"], of["scales"] = rng.normal(size=(count, 6)) * 1000, np.float32(0.001)
        cells = rng.normal(size=count)
        of["biases"], of["threshold"] = rng.normal(size=(count, 6)), rng.uniform(0.4, 0.9, count)
        of["c"] = np.clip(np.rint(cells * 64), -127, 127) if narrow else cells
        records, scales = of.view("<u4").copy(), (128.0, 64.0, 1 / 64) if narrow else (128.0,)
        run, arrays = program.call(name, count, *scales, records, np.zeros(count, "<u4"), np.zeros(count, "i1"))
        if newlib:
            before = of["c"] / 64 if narrow else of["c"]
            floats = np.concatenate([of["sums"] * of["scales"], of["biases"], before[:, None]], axis=1).astype("<f4")
            p = _egru(floats)
            fires = p > of["threshold"]
            assert np.abs(arrays[2][: fires.sum()] - np.minimum(np.rint(p[fires] * 128), 127)).max() <= 1
            if narrow:
                after = arrays[0].view(record)["c"].astype("i1")
                assert np.abs(after - np.clip(np.rint(np.where(fires, p - of["threshold"], p) * 64), -127, 127)).max() <= 1
        yield {"unit": count}, run


def bytes_moved(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that take bytes from where numbers say, or put them there."""
    rng = np.random.default_rng(8)
    for count in (16, 64, 200):
        heard = rng.integers(-127, 128, 300).astype("i1")
        places = rng.permutation(300)[:count]
        if name == "int8_gather":
            run, arrays = program.call(name, count, places.astype("<u2"), heard, np.zeros(count, "i1"))
            expected = heard[places]
        else:
            run, arrays = program.call(name, count, places.astype("<u4"), heard[:count].copy(), np.zeros(300, "i1"))
            expected = np.zeros(300, "i1")
            expected[places] = heard[:count]
        np.testing.assert_array_equal(arrays[-1], expected)
        yield {"element": count}, run


def sends(program: Compiled, name: str, *more: int) -> Iterator[Case]:
    """Yield runs that start a DMA transfer to each of several targets."""
    for count in (10, 50, 100):
        yield {"target": count}, program.call(name, count, (16 * np.arange(4 * count)).astype("<u4"), *more)[0]


def messages(program: Compiled, name: str) -> Iterator[Case]:
    """Yield runs that write messages of several packets."""
    for count in (10, 50):
        for length in (1, 4, 7):
            words = np.arange(4 * length).astype("<u4")
            run, _ = program.call(name, count, length, (16 * np.arange(count)).astype("<u4"), words)
            yield {"packet": count * length, "message": count}, run


def counted() -> dict[str, dict[str, Cost]]:
    """Return what each loop's things cost, by loop; MissingTool where they cannot be counted here."""
    program, unit = Compiled("kernels.c", libm=True), Compiled("kernels.c", "-DUNIT")
    apart = Compiled("kernels.c", "-ffp-contract=off", libm=True)
    cases: dict[str, Iterator[Case]] = {}
    for prefix, bits in (("", _FLOAT_BITS), ("int8_", 8), ("int4_", _HALF_BITS)):
        cases |= {
            f"{prefix}csr": csr(program, f"{prefix}csr", bits, tested=False),
            f"{prefix}csr_test": csr(program, f"{prefix}csr_test", bits, tested=True),
            f"{prefix}dense": dense(program, f"{prefix}dense", bits),
            f"{prefix}dense_event": dense_event(program, f"{prefix}dense_event", bits),
            f"{prefix}packed": packed(program, f"{prefix}packed", bits),
        }
    cases |= {
        "port_sum": elementwise(apart, "port_sum", lambda sums, out: out + sums),
        "trace_element": elementwise(apart, "trace_element", lambda y, h, decay, rest: decay * h + rest * y, 0.9, 0.1),
        "trace_decay": elementwise(apart, "trace_decay", lambda h, decay: decay * h, 0.9),
        "trace_event": elementwise(apart, "trace_event", _heard, 0.1, keyed=True),
        "int8_trace_element": elementwise(
            apart, "int8_trace_element", lambda y, h, decay, rest: decay * h + rest * y, 0.9, 0.1, types=("i1", "<f4")
        ),
        "int8_trace_event": elementwise(apart, "int8_trace_event", _heard, 0.1, keyed=True, types=("i1", "<f4")),
        "trace_number": elementwise(
            apart, "trace_number", lambda h, _, gain: np.clip(np.rint(h * gain), -127, 127), 64.0, types=("<f4", "i1")
        ),
    }
    for name in _UNITS:
        cases[name] = units(program, name, newlib=True)
        cases[f"{name}_unit"] = units(unit, name, newlib=False)
    cases |= {
        **{name: int8_units(program, name, newlib=True) for name in ("egru_int8", "egru_int8_state")},
        **{f"{name}_unit": int8_units(unit, name, newlib=False) for name in ("egru_int8", "egru_int8_state")},
        **{name: bytes_moved(program, name) for name in ("int8_gather", "int8_scatter")},
    }  # fmt: skip
    cases |= {
        "dma_list": sends(program, "dma_list"),
        **{f"dma_{kind}": sends(program, f"dma_{kind}", 4096, 64) for kind in ("least", "library")},
    }
    cases |= {name: messages(program, name) for name in ("packets", "packets_least", "packets_library")}
    return {name: costs_of(of) for name, of in cases.items()}


def _heard(keys: Any, heard: Any, trace: Any, rest: float) -> Any:
    after = trace.copy()
    after[keys] += np.float32(rest) * heard
    return after


def table(costs: Mapping[str, Mapping[str, Cost]]) -> Sequence[str]:
    """Return the lines of a Markdown table of what was counted."""
    head = ["| loop | of | cycles | at least | branches taken |", "|---|---|---:|---:|---:|"]
    return head + [
        f"| {loop} | {thing} | {cost.cycles:.1f} | {cost.least:.1f} | {cost.taken + 0:.1f} |"
        for loop, of in costs.items()
        for thing, cost in of.items()
        if thing != "call"
    ]
