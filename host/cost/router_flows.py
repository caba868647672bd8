"""What passes each router of a mesh, from which of its inputs to which of its outputs, by either route table.

Arrays are (..., sites, outputs, inputs), float64 flits. Outputs 0 to 3 are the links to the sides of `noc/mesh_routes.py`, and what
comes over a link from there has the same number as input at the other end; 4 to 7 are a QPE's PEs, of both. In a hole of the floor
plan, 4 is what sits there. What takes several outputs at once is counted at each.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from host.cost.mesh_paths import ROUTER_PORT, SITE, TABLES
from models.network import F64, I64, Array
from noc.chip import HOLES
from noc.mesh_routes import SIDES, SITES, walk

PORTS = 8
PES = slice(4, PORTS)
SHAPE = (len(SITES), PORTS, PORTS)


IS_HOLE = np.array([site in HOLES for site in SITES])


def over_links(flows: F64) -> F64:
    """Return what leaves each site by its links, (..., sites, 4)."""
    return np.asarray(flows[..., :4, :].sum(axis=-1), np.float64)


def into_ports(flows: F64) -> F64:
    """Return what each PE gets, (..., sites, 4); nothing in holes."""
    return np.asarray(flows[..., PES, :].sum(axis=-1) * ~IS_HOLE[:, None], np.float64)


@dataclass(frozen=True)
class _Steps:
    """All routes by one table, step by step: (steps,) their `start`, `goal`, the `site` left, by which `out`, and the input
    by which it was reached, `came`, -1 on the first. `arrives` (sites, sites): the input by which a goal is reached from a
    start.
    """

    start: I64
    goal: I64
    site: I64
    out: I64
    came: I64
    arrives: I64


def _outputs() -> I64:
    """Return by which output each site reaches each that is beside it, (sites, sites); -1 where it is not."""
    outputs = np.full((len(SITES), len(SITES)), -1, np.int64)
    for (x, y), site in SITE.items():
        for number, (dx, dy) in enumerate(SIDES):
            if (near := (x + dx, y + dy)) in SITE:
                outputs[site, SITE[near]] = number
    return outputs


@cache
def _steps(table: str) -> _Steps:
    rows, came, outputs = [], np.full((len(SITES), len(SITES)), -1), _outputs()
    for number, (start, goal, site, to) in enumerate(walk(table)):
        out = outputs[site, to]
        rows.append(np.array([start, goal, np.full(start.size, number), site, out, came[start, goal]]))
        came[start, goal] = out
    every = np.concatenate(rows, axis=1)
    start, goal, _, site, out, came_by = every[:, np.lexsort(every[2::-1])]  # route by route: the order of sums of flits
    return _Steps(start, goal, site, out, came_by, came.astype(np.int64))


@cache
def _branches(table: str, start: int) -> tuple[Array, I64]:
    """Return the branches of copies from a site to all: (sites, branches) bool, whether one leads to a site, and (branches, 3), the
    site that it leaves, by which output, and the input by which it came there, -1 on the first.
    """
    numbers: dict[tuple[int, ...], int] = {}
    rows: list[tuple[int, int, int]] = []
    steps = _steps(table)
    leads: list[list[int]] = [[] for _ in SITES]
    of_start = np.flatnonzero(steps.start == start)
    ways: dict[int, tuple[int, ...]] = {}
    for n in of_start.tolist():
        goal = int(steps.goal[n])
        ways[goal] = (*ways.get(goal, ()), int(steps.out[n]))
        if ways[goal] not in numbers:
            numbers[ways[goal]] = len(rows)
            rows.append((int(steps.site[n]), int(steps.out[n]), int(steps.came[n])))
        leads[goal].append(numbers[ways[goal]])
    leading = np.zeros((len(SITES), len(rows)), bool)
    for goal, branches in enumerate(leads):
        leading[goal, branches] = True
    return leading, np.array(rows, np.int64).reshape(-1, 3)


def message_flows(sent: F64, hears: Array, mode: str, leaves: bool = False, arrived: float = 0.0) -> F64:
    """Return the flows of messages on one chip, (tables, sites, outputs, inputs), in the price's message mode.

    `sent` (sites, 4) flits of one message of each PE; `hears` (sites, 4) bool, which PEs listen: none to itself. If it `leaves`,
    copies go to the event router, too; `arrived` is what comes from there, with a copy for each branch.
    """
    flows = np.zeros((len(TABLES), *SHAPE))
    of_site, listening = sent.sum(axis=1), np.asarray(hears.any(axis=1), bool)
    for number, table in enumerate(TABLES):
        one, steps = flows[number], _steps(table)
        if mode == "multicast":
            for start in np.flatnonzero(of_site).tolist():
                to = listening.copy()
                to[ROUTER_PORT[start]] |= leaves
                to[start] = False
                _add_branches(one, table, start, to, sent[start])
        else:
            heard = hears.sum(axis=1) if mode in ("dma", "packets") else listening
            amount = of_site[steps.start] * heard[steps.goal]
            later = steps.came >= 0
            _accumulate(one, steps.site[later], steps.out[later], steps.came[later], amount[later])
            for p in range(4):
                begins = sent[steps.start, p] * heard[steps.goal]
                _accumulate(one, steps.site[~later], steps.out[~later], 4 + p, begins[~later])
        arrives = of_site[:, None] * listening * (steps.arrives >= 0)
        goals = np.broadcast_to(np.arange(len(SITES)), arrives.shape)
        for p in range(4):
            _accumulate(one, goals, 4 + p, steps.arrives, arrives * hears[:, p])
            for other in set(range(4)) - {p}:
                one[:, 4 + p, 4 + other] += sent[:, other] * hears[:, p]
        if arrived:
            for port in set(ROUTER_PORT[listening].tolist()):
                to = np.asarray(listening & (port == ROUTER_PORT))
                _add_branches(one, table, port, to, np.array([arrived, 0, 0, 0]))
                at = np.flatnonzero(to)
                for p in range(4):
                    _accumulate(one, at, 4 + p, steps.arrives[port, at], arrived * hears[at, p])
    return flows


def _accumulate(flows: F64, site: I64, out: I64 | int, came: I64 | int, amount: F64) -> None:
    """Add amounts to (sites, outputs, inputs), which is in one piece; numbers may be there more than once."""
    np.add.at(flows.reshape(-1), (site * PORTS + out) * PORTS + came, amount)


def _add_branches(flows: F64, table: str, start: int, to: Array, sent: F64) -> None:
    """Add to (sites, outputs, inputs) the copies of what the PEs of a site, (4,), send to the sites `to`."""
    leads, rows = _branches(table, start)
    site, out, came = rows[leads[to].any(axis=0)].T
    later = came >= 0
    _accumulate(flows, site[later], out[later], came[later], np.full(int(later.sum()), sent.sum()))
    for p in range(4):
        _accumulate(flows, site[~later], out[~later], 4 + p, np.full(int((~later).sum()), sent[p]))


@dataclass(frozen=True)
class PortPairs:
    """From which port to which other flits go on one chip: (rows, 2) each, `starts` and `goals`, a site and its port, 0 to 3; (...,
    rows) `flits`, and `following`, how many of them follow another in a train that comes faster than a PE's port takes it.
    """

    starts: I64
    goals: I64
    flits: I64
    following: I64

    def flows(self) -> tuple[F64, F64]:
        """Return the flows of flits, and of those that follow another, (..., tables, sites, outputs, inputs)."""
        both = np.stack([self.flits, self.following])
        lead = both.shape[:-1]
        flows = np.zeros((len(TABLES) * len(SITES) * PORTS * PORTS, *lead))
        for number, table in enumerate(TABLES):
            steps = _steps(table)
            for row, ((start, p), (goal, q)) in enumerate(zip(self.starts.tolist(), self.goals.tolist(), strict=True)):
                on_way = np.flatnonzero((steps.start == start) & (steps.goal == goal))
                site = np.append(steps.site[on_way], goal)
                out = np.append(steps.out[on_way], 4 + q)
                came = np.append(np.where(steps.came[on_way] < 0, 4 + p, steps.came[on_way]), 4 + p)
                if len(on_way):
                    came[-1] = steps.arrives[start, goal]
                flows[((number * len(SITES) + site) * PORTS + out) * PORTS + came] += both[..., row]
        flits, following = np.moveaxis(flows, 0, -1).reshape(*lead, len(TABLES), *SHAPE)
        return flits, following
