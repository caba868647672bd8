"""When each population steps: modulo scheduling of a network's graph, and who wakes whom.

Position p enters at tick t(p), and t(p + 1) >= t(p) + II, the interval. Population v steps p at t(p) + s(v), its start, and
takes K(v) ticks for it. Every edge from u to v with a delay of d positions holds

    s(v) >= s(u) + K(u) - II * d

An input starts at 0 and nothing else before 1. II is the smallest integer not below the ticks of any cycle over its delay, nor
below any K. Among schedules in which no output starts later than it must, and nothing after the last that must, the one is
taken whose ports need the fewest bytes. A port of slack k = s(v) - s(u) - K(u) + II * d is a ring of
max(d, floor((k + K(u) - 1) / II) + 1) slots: a slot is taken from the source's first tick of a position until v steps; and
where bubbles stand between positions, all d may be in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from models.kernels import named, ticks_of
from models.network import ModelError, Network, Projection


@dataclass(frozen=True)
class Schedule:
    """Starts and lengths, in ticks, of each population's step, and the interval between positions.

    `triggers`: layer -> the population whose section's header makes it step: of those it hears without delay the one that
    comes last, else the first input.
    """

    interval: int
    starts: tuple[int, ...]
    ticks: tuple[int, ...]
    triggers: Mapping[int, int]

    @cached_property
    def depth(self) -> int:
        """Ticks from a position's entry until the last population has sent the last of its events."""
        return max(start + ticks - 1 for start, ticks in zip(self.starts, self.ticks, strict=True))

    def wait(self, layer: int) -> int:
        """Return how many ticks after its trigger's first section a layer steps: 0 in the same tick."""
        return self.starts[layer] - 1 - self.starts[self.triggers[layer]]

    def slots(self, layer: int, projection: Projection) -> int:
        """Return how many positions of its source a port must hold at a time."""
        return ring_slots(self.starts[layer] - 1 - self.starts[projection.source], projection.delay, self.interval)


class Edge(NamedTuple):
    """A projection as the schedule sees it: `words` are accumulators of a slot of its port, in the whole population."""

    source: int
    layer: int
    delay: int
    words: int


def schedule(network: Network) -> Schedule:
    """Return the schedule of a network, which remembers it; ModelError, naming the populations, for a loop without delay."""
    if "_schedule" not in vars(network):
        object.__setattr__(network, "_schedule", _schedule(network))
    planned: Schedule = vars(network)["_schedule"]
    return planned


def _schedule(network: Network) -> Schedule:
    populations = network.populations
    ticks = tuple(ticks_of(p.kernel, p.params) for p in populations)
    edges = tuple(
        Edge(p.source, layer, p.delay, named(populations[layer].kernel).PORTS[p.port].rows * populations[layer].units)
        for layer in network.layers
        for p in populations[layer].projections
    )
    interval, starts = _interval(edges, ticks, network)
    if any(slots_of(edge, starts, interval) > max(edge.delay, 1) for edge in edges):
        starts = _fewest_words(edges, ticks, {*network.inputs, *network.outputs}, interval, starts)
    triggers = {}
    for layer in network.layers:
        prompt = sorted({p.source for p in populations[layer].projections if p.delay == 0}, key=lambda u: (-starts[u], u))
        triggers[layer] = prompt[0] if prompt else network.inputs[0]
    return Schedule(interval=interval, starts=starts, ticks=ticks, triggers=triggers)


def ring_slots(lead: int, delay: int, interval: int) -> int:
    """Return the slots of a port that steps `lead` ticks after its source's first section of the same position came."""
    return max(delay, (lead + interval * delay) // interval + 1)


def slots_of(edge: Edge, starts: Sequence[int], interval: int) -> int:
    """Return the slots of an edge's port under these starts."""
    return ring_slots(starts[edge.layer] - 1 - starts[edge.source], edge.delay, interval)


def _interval(edges: Sequence[Edge], ticks: Sequence[int], network: Network) -> tuple[int, tuple[int, ...]]:
    """Return the smallest interval, and the earliest starts under it."""
    for interval in range(max(ticks), sum(ticks) + 1):
        starts, late = _earliest(edges, ticks, network, interval)
        if not late:
            return interval, starts
    names = ", ".join(network.populations[n].name for n in late)
    raise ModelError(f"network: a loop without delay, or to which one leads: {names}; needs a projection of delay 1 or more in it")


def _earliest(edges: Sequence[Edge], ticks: Sequence[int], network: Network, interval: int) -> tuple[tuple[int, ...], list[int]]:
    """Return the longest paths from the inputs, and the layers that a loop puts off without end."""
    starts = [0 if n in network.inputs else 1 for n in range(len(ticks))]
    late: list[int] = []
    for _ in range(len(ticks) + 1):
        late = []
        for edge in edges:
            need = starts[edge.source] + ticks[edge.source] - interval * edge.delay
            if starts[edge.layer] < need:
                starts[edge.layer] = need
                late.append(edge.layer)
        if not late:
            break
    return tuple(starts), sorted(set(late))


def _fewest_words(
    edges: Sequence[Edge], ticks: Sequence[int], fixed: set[int], interval: int, earliest: Sequence[int]
) -> tuple[int, ...]:
    """Return starts with the fewest words of slots, and among those the earliest on the whole: an integer program. Those of
    the populations `fixed` stay.

    Variables are the starts and each edge's slots n, with n >= delay and interval * n >= lead + interval * delay + 1, which is
    `ring_slots`.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp  # a third of a second to import, for few networks

    layers, last = len(ticks), max(earliest)
    lower = [*map(float, earliest), *(float(max(edge.delay, 1)) for edge in edges)]
    upper = [float(start if n in fixed else last) for n, start in enumerate(earliest)] + [float(np.inf)] * len(edges)
    follows, holds = (np.zeros((len(edges), layers + len(edges))) for _ in range(2))
    for row, edge in enumerate(edges):
        follows[row, edge.layer] += 1
        follows[row, edge.source] -= 1
        holds[row, edge.layer] -= 1
        holds[row, edge.source] += 1
        holds[row, layers + row] = interval
    after = [ticks[edge.source] - interval * edge.delay for edge in edges]
    room = [interval * edge.delay for edge in edges]
    slot_words = np.array([edge.words for edge in edges], np.float64)
    least = 1 / (2 + sum(last - start for start in earliest))  # all starts together weigh less than one word
    answer = milp(
        np.concatenate([np.full(layers, least), slot_words]), integrality=np.ones(layers + len(edges)), bounds=Bounds(lower, upper),
        constraints=[LinearConstraint(follows, lb=after), LinearConstraint(holds, lb=room)],
    )  # fmt: skip
    assert answer.success, answer.message  # the earliest starts are an answer
    return tuple(round(start) for start in answer.x[:layers])
