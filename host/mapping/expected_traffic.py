"""Expected traffic between chips: which events of which population start on a chip, where they must go, and what that puts on
the links.

An event is one packet, and goes once over each link of the tree from its chip to the chips that listen (`noc/machine.py`).
The input starts on the host's chip, and the output's events must also go there. The host's tap of the other layers
belongs to the emulator, not to the chips, and is no flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from host.mapping.request import ChipShare
from models.network import F64, Network
from noc.machine import Machine
from noc.multicast_tree import add_multicasts

INPUT_RATE = 1.0
"""Assumed events of an input unit at a position: embeddings have no zeros."""
LAYER_RATE = 0.2
"""Assumed events of a layer's unit at a position: the shipped model's layers have 0.14 to 0.22, seeded ones 0.1 to 0.3."""


def rates_of(network: Network, provenance: Mapping[str, Any]) -> tuple[dict[int, float], bool]:
    """Return events a unit and position of each population, and whether they were measured.

    `provenance` is a checkpoint's: the trainer writes the activity of each layer on the texts it was evaluated on. Anything
    else there, or nothing, gives the assumed rates; the input's is assumed always.
    """
    assumed = dict.fromkeys(network.inputs, INPUT_RATE) | dict.fromkeys(network.layers, LAYER_RATE)
    for text in ("test_carried", "test_zeroed", "valid_carried", "valid_zeroed"):
        figures = provenance.get(text)
        activity = figures.get("activity") if isinstance(figures, dict) else None
        if isinstance(activity, list) and len(activity) == len(network.groups) and all(map(_is_share, activity)):
            of_groups = zip(network.groups, map(float, activity), strict=True)
            return assumed | {n: share for group, share in of_groups for n in group}, True
    return assumed, False


def _is_share(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= 1


class Flow(NamedTuple):
    """Events of the `units` units of a population that are on `chip`, to the chips `to` (ascending, `chip` may be among them)."""

    population: int
    chip: int
    units: int
    to: tuple[int, ...]


def expected_flows(network: Network, machine: Machine, on_chips: Sequence[ChipShare]) -> list[Flow]:
    """Return the flows of a network whose shares have chips, by population and chip."""
    units: dict[int, dict[int, int]] = {number: {} for number in network.layers}
    for chip, share in on_chips:
        for population, indices in share:
            units[population][chip] = units[population].get(chip, 0) + len(indices)
    sources = {n: {machine.host_chip: network.populations[n].units} for n in network.inputs} | units
    flows = []
    for population, of_chips in sources.items():
        to = {chip for layer in network.listeners(population) for chip in units[layer]}
        to |= {machine.host_chip} if population in network.outputs else set()
        ends = tuple(sorted(to))
        flows += [Flow(population=population, chip=chip, units=count, to=ends) for chip, count in sorted(of_chips.items())]
    return flows


def flow_loads(machine: Machine, flows: Iterable[Flow], rates: Mapping[int, float]) -> F64:
    """Return the events a position on each link, (chips, 6) by chip and direction, of one lane at the `rates` of populations."""
    loads = np.zeros(machine.neighbours.shape)
    for flow in flows:
        events = rates[flow.population] * flow.units
        add_multicasts(loads, machine.tree, [flow.chip], np.array(flow.to, np.int64), [events])
    return loads
