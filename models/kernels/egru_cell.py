"""The EGRU as the paper's equation 4 prints it, in float32: the second of two populations, beside `egru_gate`.

The candidate hears r * y, which the gates sent a tick before, and has one bias. Row-major gates z, g:

    z = sigmoid(Wx_z + Ry_z + b_z)                  keep gate: the paper's u is 1 - z
    g = tanh(Wx_g + R(r y)_g + b_g)                 the paper's z = g(W_z [x, r * y] + b_z)
    p = z * c + (1 - z) * g                         then, with zoneout zeta: p = zeta * c + (1 - zeta) * p
    event (value p) if p - thr > 0, and then c = p - thr, else c = p

Sums are taken from left to right as written. What is not the candidate is as in `egru`, the form of the authors' code.
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, Flag, Float, FloatRows, Floats, Lane, Number, Words, bindable, zeroing_lane
from models.compute.exponentials import sigmoid32, tanh32
from models.kernels import PortSpec, Stepper, Vector
from models.network import F32, Array, Field, ModelError, Population, Projection, SparseRows

INPUT, RECURRENT, GATED = "input", "recurrent", "gated"
PORTS = {INPUT: PortSpec(2), RECURRENT: PortSpec(1), GATED: PortSpec(1)}
EMITS = ("float32",)
VECTORS = {"threshold": Vector(), "bias": Vector(2)}
DEFAULTS = {"zoneout": 0.0, "fire_at_threshold": 0.0}
EXPONENTIALS_PER_UNIT = 2  # a sigmoid and a tanh
COUNTS = ("units", "exponentials")
PER_UNIT = {"units": 1, "exponentials": EXPONENTIALS_PER_UNIT}
CONVENTIONS = {"gates": "z g", "reset_gate": "inside the recurrent product", "event_reset": "subtracts the threshold"}


def layer_of(
    number: int, source: int, *, kernel: SparseRows, recurrent: SparseRows, bias: F32, threshold: F32, params: Mapping[str, float],
    name: str = "",
) -> tuple[Population, Population]:  # fmt: skip
    """Return a layer that hears population `source`: population `number`, its gates, and the next one, its cells.

    `kernel` (3 units, source units) and `recurrent` (3 units, units) have rows z, r, g, and so has `bias` (3 units,);
    `threshold` (units,). `name` tells it from other layers (its number by default): `gateNAME`, `cellNAME`.
    """
    units = recurrent.shape[1]
    z, r, g = (np.arange(gate * units, (gate + 1) * units) for gate in range(3))
    cell, name = number + 1, name or str(number)
    gates = Population(
        name=f"gate{name}", units=units, kernel="egru_gate", vectors={"bias": bias[r]},
        projections=(
            Projection(source, "input", kernel.take(r)),
            Projection(cell, "recurrent", recurrent.take(r), delay=1),
            Projection(cell, "own", SparseRows.from_dense(np.eye(units, dtype=np.float32)), delay=1),
        ),
    )  # fmt: skip
    cells = Population(
        name=f"cell{name}", units=units, kernel="egru_cell", params=params, beside=number,
        vectors={"threshold": threshold, "bias": bias[np.concatenate([z, g])]},
        projections=(
            Projection(source, INPUT, kernel.take(np.concatenate([z, g]))),
            Projection(cell, RECURRENT, recurrent.take(z), delay=1),
            Projection(number, GATED, recurrent.take(g)),
        ),
    )  # fmt: skip
    return gates, cells


def check(population: Population) -> None:
    """Raise ModelError for thresholds beyond [0, 1], which no trainer leaves, and for shares that are none."""
    threshold = population.vectors["threshold"]
    if not np.all((threshold >= 0) & (threshold <= 1)):  # also refuses NaN
        raise ModelError(f"{population.name}: thresholds from {threshold.min():g} to {threshold.max():g}; needs 0 to 1")
    for name in DEFAULTS:
        if not 0 <= population.params.get(name, 0) <= 1:
            raise ModelError(f"{population.name}: {name} {population.params[name]:g}; needs 0 to 1")


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard of `units` units keeps beside its ports, vectors, counts and events."""
    return [Field("cell", (lanes, units), "<f4", "variables", "cell state c")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` zeroes the cell state; y is carried over."""
    arrays = {
        "wx": "input.sums", "ry": "recurrent.sums", "rg": "gated.sums", "bias": "bias", "thr": "threshold", "units": "units",
        "cell": "cell", "counts": "counts", "keys": "send_keys", "values": "send_values",
    }  # fmt: skip
    step = _step.bind(
        **{operand: mem[name] for operand, name in arrays.items()},
        width=width,
        zoneout=np.float32(params["zoneout"]),
        inclusive=int(params["fire_at_threshold"]),
    )
    return Stepper(reset=zeroing_lane(mem["cell"]), step=step)


@bindable
def _step(
    wx: FloatRows, ry: FloatRows, rg: FloatRows, bias: Floats, thr: Floats, units: Words, cell: FloatRows, counts: Words,
    keys: Words, values: Floats, width: Number, zoneout: Float, inclusive: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    n = units.size
    one = np.float32(1)
    zero = np.float32(0)
    sent = before
    x, h, q = wx[lane], ry[lane], rg[lane]
    for i in range(n):
        c = cell[lane, i]
        z = sigmoid32((x[i] + h[i]) + bias[i])
        g = tanh32((x[n + i] + q[i]) + bias[n + i])
        p = z * c + (one - z) * g
        if zoneout != zero:
            p = zoneout * c + (one - zoneout) * p
        over = p - thr[i]
        # A value of zero says nothing to a listener, so even at an inclusive threshold it is no event.
        if over > zero or (inclusive and over == zero and p != zero):
            keys[sent] = lane * width + units[i]
            values[sent] = p
            sent += 1
            p = over
        cell[lane, i] = p
    counts[0] += n
    counts[1] += EXPONENTIALS_PER_UNIT * n
    return sent - before
