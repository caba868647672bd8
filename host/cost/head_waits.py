"""How long routers' inputs take for their flits, when heads of their queues wait for each other: a mean-value fixed point.

Each input of a router is one queue, and only its head may leave. An input takes a cycle for each of its flits, and beside that:

- a port of a PE takes a flit in `port` cycles, so a flit that follows another to the same port waits `port` - 1 more. That is
  so for as large a share of them as go there, as if a queue's flits were in random order, and for all of a train: of what
  comes in trains faster than a port takes it, from a DRAM. PEs send no faster than they take;
- an output also serves others. With loads spread over a time T, it is the queue with fixed service of every textbook (M/D/1):
  a head waits u p / 2 (1 - r), with p cycles a flit, r how busy the output is and u how busy with others' flits;
- but never longer than its turns: of another input's flits no more go ahead of its own than it has itself, because outputs
  take inputs in turn.

Copies of a flit leave a QPE's ports at once, so of these the slowest counts, and waits at links add up. The T at which the
busiest input is done in T is the time; it grows with loads as they do.
"""

from __future__ import annotations

import numpy as np

from host.cost.router_flows import IS_HOLE, PES, PORTS
from models.network import F64, Array
from noc.mesh_routes import SIDES, SITES

_HALVINGS = 24  # leave 1e-7 of the first bracket
_LINKS = slice(0, 4)
_BEFORE = np.array(
    [[SITES.index(near) if (near := (x - dx, y - dy)) in SITES else -1 for dx, dy in SIDES] for x, y in SITES]
)  # which site an input over a link comes from


def busy_cycles(flows: F64, port: float, copies: bool, trains: F64 | None = None) -> tuple[F64, F64]:
    """Return how long the busiest input or output is busy, (...), with waits and without, of flows (..., sites, outputs, inputs).

    `port`: cycles that a flit takes through a PE's port; `copies`: whether a flit takes several ports of a QPE at once;
    `trains`, those of `flows` that come in trains.
    """
    pace = np.ones((len(SITES), PORTS))
    pace[~IS_HOLE, PES] = port
    out = flows.sum(axis=-1)
    into = np.where(_BEFORE >= 0, out[..., _BEFORE, np.arange(4)], 0.0)  # (..., sites, links in)
    least = np.maximum((out * pace).max(axis=(-2, -1)), into.max(axis=(-2, -1)))
    own = flows[..., _LINKS]
    turns = pace[:, :, None] * (np.minimum(own[..., :, None], flows[..., None, :]).sum(axis=-1) - own)
    in_train = 0.0 if trains is None else trains[..., _LINKS]
    behind_own = (pace[:, :, None] - 1) * (in_train + (own - in_train) * own / np.maximum(into, 1e-300)[..., None, :])
    others = (out[..., None] - own) * pace[:, :, None] ** 2 / 2

    def needs(time: F64) -> F64:
        """Return how long the busiest input takes if all is spread over `time`."""
        time = time[..., None, None]
        idle = np.maximum(1 - out * pace / np.maximum(time, 1e-300), 1e-9)
        waits = behind_own + np.minimum(turns, own * others / (np.maximum(time, 1e-300) * idle)[..., None])
        at_ports = waits[..., PES, :].max(axis=-2) if copies else waits[..., PES, :].sum(axis=-2)
        return np.asarray((into + at_ports + waits[..., _LINKS, :].sum(axis=-2)).max(axis=(-2, -1)), np.float64)

    low, high = least, np.maximum(least, needs(least))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        longer: Array = needs(middle) > middle
        low, high = np.where(longer, middle, low), np.where(longer, high, middle)
    return np.maximum(least, high) if high.ndim else np.asarray(max(least, high), np.float64), least
