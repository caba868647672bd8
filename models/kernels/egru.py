"""The event-based gated recurrent unit (EGRU) as the authors' code computes it, in float32.

Row-major gates z, r, g; W the input weights, R the recurrent ones, y the events a layer emitted one step before:

    z = sigmoid(Wx_z + Rh_z + bx_z + br_z)          keep gate: the paper's u is 1 - z
    r = sigmoid(Wx_r + Rh_r + bx_r + br_r)
    g = tanh(Wx_g + bx_g + r * (Rh_g + br_g))
    p = z * c + (1 - z) * g                         then, with zoneout zeta: p = zeta * c + (1 - zeta) * p
    event (value p) if p - thr > 0, and then c = p - thr, else c = p

(EvNN 0.2.0 `egru_forward_cpu.cc`, and `egru.py`; the paper's Algorithm 1 agrees.) Sums are
taken from left to right as written. The paper prints two things differently: its eq. 1 lets a unit at its threshold
fire (`fire_at_threshold`, offered here), and its eq. 4 applies the reset gate to y before the recurrent product, which
takes a second exchange of events a step: a graph of two populations (`egru_gate`, `egru_cell`).
"""

from collections.abc import Mapping

import numpy as np

from models.compute.bound_calls import EventsBefore, Flag, Float, FloatRows, Floats, Lane, Number, Words, bindable, zeroing_lane
from models.compute.exponentials import sigmoid32, tanh32
from models.kernels import PortSpec, Stepper, Vector
from models.network import F32, Array, Field, Population, Projection, SparseRows

GATES = 3
INPUT, RECURRENT = "input", "recurrent"
PORTS = {INPUT: PortSpec(GATES), RECURRENT: PortSpec(GATES)}
EMITS = ("float32",)
VECTORS = {"threshold": Vector(), "bias": Vector(GATES), "recurrent_bias": Vector(GATES)}
DEFAULTS = {"zoneout": 0.0, "fire_at_threshold": 0.0}
CONVENTIONS = {
    "gates": "z r g", "reset_gate": "after the recurrent product", "event_reset": "subtracts the threshold",
}  # fmt: skip
EXPONENTIALS_PER_UNIT = 3  # two sigmoids and a tanh
COUNTS = ("units", "exponentials")
PER_UNIT = {"units": 1, "exponentials": EXPONENTIALS_PER_UNIT}


def layer_of(
    number: int, kernel: SparseRows, recurrent: SparseRows, vectors: Mapping[str, F32], params: Mapping[str, float],
    trace: float = 0.0,
) -> Population:  # fmt: skip
    """Return population `number` of a line of EGRU layers: it hears the one before it (its trace, with a decay) and itself."""
    ports = Projection(number - 1, INPUT, kernel, trace), Projection(number, RECURRENT, recurrent, delay=1)
    return Population(
        name=f"egru{number}", units=recurrent.shape[1], kernel="egru", projections=ports, vectors=vectors, params=params
    )


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a shard of `units` units keeps beside its ports, vectors, counts and events."""
    return [Field("cell", (lanes, units), "<f4", "variables", "cell state c")]


def stepper(mem: Mapping[str, Array], width: int, params: Mapping[str, float]) -> Stepper:
    """Bind the step to a shard's arena views. `reset` zeroes the cell state; y is carried over, as in the authors' code."""
    arrays = {
        "wx": "input.sums", "rh": "recurrent.sums", "bx": "bias", "br": "recurrent_bias", "thr": "threshold", "units": "units",
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
    wx: FloatRows, rh: FloatRows, bx: Floats, br: Floats, thr: Floats, units: Words, cell: FloatRows, counts: Words, keys: Words,
    values: Floats, width: Number, zoneout: Float, inclusive: Flag, lane: Lane, before: EventsBefore,
) -> int:  # fmt: skip
    n = units.size
    one = np.float32(1)
    zero = np.float32(0)
    sent = before
    x, h = wx[lane], rh[lane]
    for i in range(n):
        c = cell[lane, i]
        z = sigmoid32(((x[i] + h[i]) + bx[i]) + br[i])
        r = sigmoid32(((x[n + i] + h[n + i]) + bx[n + i]) + br[n + i])
        g = tanh32((x[2 * n + i] + bx[2 * n + i]) + r * (h[2 * n + i] + br[2 * n + i]))
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
