"""Inputs that are heard late: the host feeds them late, so that no port needs a ring for them.

A projection from an input with a delay of d positions becomes one without delay from an input of its own, into which the host
feeds what the first one was fed d positions before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from models.network import Network


class LateInput(NamedTuple):
    """What an added input is fed: that of `source`, `delay` positions later."""

    source: int
    delay: int


def feed_late(network: Network) -> tuple[Network, Mapping[int, LateInput]]:
    """Return the network in which nothing hears an input late, and the inputs that it has more, by number.

    The numbers of the populations that were there stay as they are; projections keep their order within a port.
    """
    late: dict[LateInput, int] = {}
    populations = list(network.populations)
    for number in network.layers:
        projections = []
        for p in network.populations[number].projections:
            if p.source in network.inputs and p.delay:
                key = LateInput(p.source, p.delay)
                late.setdefault(key, len(network.populations) + len(late))
                p = replace(p, source=late[key], delay=0, summed_as=p.sort_key)  # noqa: PLW2901
            projections.append(p)
        populations[number] = replace(network.populations[number], projections=tuple(projections))
    for (source, delay), _ in late.items():
        original = network.populations[source]
        populations.append(replace(original, name=f"{original.name}@{delay}"))
    if not late:
        return network, {}
    return Network(tuple(populations), network.outputs), {number: key for key, number in late.items()}


def hear_late(network: Network, late_inputs: Mapping[int, LateInput]) -> Network:
    """Return the network that `feed_late` was given."""
    if not late_inputs:
        return network
    populations = []
    for population in network.populations[: min(late_inputs)]:
        projections = tuple(
            replace(p, source=late.source, delay=late.delay, summed_as=None) if (late := late_inputs.get(p.source)) else p
            for p in population.projections
        )
        populations.append(replace(population, projections=projections))
    return Network(tuple(populations), network.outputs)
