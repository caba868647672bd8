"""`egru_int8` with its cell state in int8, too: a byte a unit and sequence, with a scale a population.

    c = cell_scale * its number; then as in `egru_int8`, events and what they take from the cell included
    its number = c / cell_scale, to the nearest, ties to even, at most 127 either side

States lie within -1 to 1, so that 1/128 holds them but for the last step. What is nearer to a number than to the next stays there:
a state that would move by less than half a step at each position does not move.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import (
    CharRows,
    Chars,
    EventsBefore,
    Flag,
    Float,
    Floats,
    IntRows,
    Lane,
    Number,
    Words,
    bindable_late,
    zeroing_lane,
)
from models.kernels import Stepper, egru_int8
from models.kernels.egru_int8 import EXPONENTIALS_PER_UNIT, event_number, next_state
from models.network import Array, Field, ModelError, Population

PORTS, EMITS, VECTORS = egru_int8.PORTS, egru_int8.EMITS, egru_int8.VECTORS
CONVENTIONS = egru_int8.CONVENTIONS
DEFAULTS = {**egru_int8.DEFAULTS, "cell_scale": 1 / 128}
COUNTS, PER_UNIT = egru_int8.COUNTS, egru_int8.PER_UNIT


def check(population: Population) -> None:
    """Raise ModelError as `egru_int8` does, and for a scale of the cell state that cannot be."""
    egru_int8.check(population)
    scale = population.params.get("cell_scale", DEFAULTS["cell_scale"])
    if not 0 < scale <= 1:
        raise ModelError(f"{population.name}: cell_scale {scale:g}; needs a number above 0, at most 1")


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard of `units` units keeps beside its ports, vectors, counts and events."""
    return [Field("cell", (lanes, units), "|i1", "variables", "cell state c")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` zeroes the cell state; y is carried over."""
    arrays = {**egru_int8.OPERANDS, "cell": "cell"}
    a_cell = np.float32(params["cell_scale"])
    step = _step.bind(
        **{operand: mem[name] for operand, name in arrays.items()}, **egru_int8.step_numbers(width, params), a_cell=a_cell,
        cells=np.float32(1) / a_cell,
    )  # fmt: skip
    return Stepper(reset=zeroing_lane(mem["cell"]), step=step)


@bindable_late
def _step(
    wx: IntRows, rh: IntRows, sx: Floats, sh: Floats, bx: Floats, br: Floats, thr: Floats, units: Words, cell: CharRows,
    counts: Words, keys: Words, values: Chars, width: Number, zoneout: Float, inclusive: Flag, numbers: Float, most: Float,
    a_cell: Float, cells: Float, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    n = units.size
    sent, largest = before, np.float32(127)
    for i in range(n):
        c = a_cell * np.float32(cell[lane, i])
        p = next_state(wx, rh, sx, sh, bx, br, zoneout, lane, i, n, c)
        over = p - thr[i]
        number = event_number(p, over, inclusive, numbers, most)
        if number != np.float32(0):
            keys[sent] = lane * width + units[i]
            values[sent] = np.int8(number)
            sent += 1
            p = over
        cell[lane, i] = np.int8(min(max(np.float32(np.rint(p * cells)), -largest), largest))
    counts[0] += n
    counts[1] += EXPONENTIALS_PER_UNIT * n
    return sent - before
