"""Snapshot of a running network for the monitor: activity of each PE, events on each link between chips.

Both follow from the newest sections of each layer, which the host has anyway, and from the placement: no message is sent
for them. Activity is a mean over the last ticks: in one tick, a PE with four units can only show 0, 25, 50, 75 or 100 %.
A link's events are those of the streams that cross it, each at the latest position of its layer; what routers count, at
the end of a run, is the same summed over positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from host.mapping.placement import Placement
from host.run.step_counts import StepCounts
from models.network import I64
from noc.packet import Section


class ActivitySnapshot:
    """Counts what the newest sections of a run of `placement` show."""

    def __init__(self, placement: Placement, steps: StepCounts) -> None:
        self._steps = steps
        shards = [(part.population, place, len(part.units)) for place, placed in enumerate(placement.pes) for part in placed.share]
        self._pes = {  # population -> the places of its PEs, in the order of the rows of a section's ledger
            n: np.array([place for population, place, _ in shards if population == n], np.intp) for n in placement.network.layers
        }
        units = np.bincount([place for _, place, _ in shards], [size for _, _, size in shards], len(placement.pes))
        self._units = np.maximum(units * placement.request.lanes, 1)
        self._chip_of = np.array([placed.pe.chip for placed in placement.pes], np.intp)
        self._host_chip, self._chips = placement.machine.host_chip, placement.machine.chips
        links = {(link.chip, link.to): place for place, link in enumerate(placement.machine.links)}
        self._links = len(links)
        self._crossed = {  # (population, chip) -> the places of the links that its stream crosses, but for the tap to the host
            (stream.population, stream.source): np.array(
                [links[chip, to] for chip, tos in stream.to.items() for to in tos if stream.copies[to]], np.intp
            )
            for stream in placement.streams
        }

    def activity(self, recent: Mapping[int, Sequence[Section]]) -> list[float]:
        """Return each PE's share of units with an event, in the order of the mapping: a mean over `recent`, each layer's latest
        sections.
        """
        events = np.zeros(len(self._units))
        for population, sections in recent.items():
            if sections:
                np.add.at(events, self._pes[population], self._steps.events_of(sections) / len(sections))
        return [float(share) for share in events / self._units]

    def links(self, recent: Mapping[int, Sequence[Section]], inputs: Mapping[int, int]) -> list[int]:
        """Return the events on each link at the latest position, in the order of `Machine.links`; nothing before the first.

        `inputs`: events of each input at the position that was fed last.
        """
        if not any(recent.values()):
            return []
        loads = np.zeros(self._links, np.int64)
        for population, counts in self._counts(recent).items():
            of_chip = np.bincount(self._chip_of[self._pes[population]], counts, self._chips)
            for chip in np.flatnonzero(of_chip):
                loads[self._crossed[population, int(chip)]] += int(of_chip[chip])
        for number, events in inputs.items():
            loads[self._crossed[number, self._host_chip]] += events
        return [int(load) for load in loads]

    def _counts(self, recent: Mapping[int, Sequence[Section]]) -> dict[int, I64]:
        """Return each layer's events in its latest section, a number a shard."""
        return {n: self._steps.events_of([sections[-1]]) for n, sections in recent.items() if sections}
