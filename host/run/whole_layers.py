"""A network in this process, tick by tick: each layer runs whole on one `Pe` core (`pe/core.py`), as a PE's process runs its share.

The core's SRAM is as large as it needs to be, and no sum sees where its units are, so events are those of every run, to the bit.
There is no router: what one core says in a batch, those that wait for it hear in the next bundle.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from host.errors import HostError
from host.mapping.request import Request, whole_layer
from host.mapping.sharding import cut, share_sizes
from host.workloads.contract import Feed
from models.late_inputs import LateInput
from models.network import U32, Array, Network
from models.schedule import schedule
from noc.packet import FRESH, VALID, Batch, Bundle, Fault, Load, Message, Section, Start
from pe.core import Pe
from pe.layout import mask_bytes, pe_fields
from pe.sram import ALIGNMENT_BYTES, SramSize

_ROUTER = ""  # the name that a core answers; no router is there


class WholeLayers:
    """The layers of a network on a core each, fed position by position. `late_inputs` are fed what others were, positions before."""

    def __init__(self, network: Network, lanes: int, late_inputs: Mapping[int, LateInput]) -> None:
        self._network, self._lanes, self._late = network, lanes, late_inputs
        self._times = schedule(network)
        self._pes = {n: Pe(f"layer {n}", _ROUTER) for n in network.layers}
        self._waits = {n: sorted({*network.sources(n), self._times.triggers[n]}) for n in network.layers}
        self._latest: dict[int, Section] = {n: _bubble(n) for n in network.inputs}
        for n in network.layers:
            self._latest[n] = self._boot(n)
        self._tick, self._due, self._done = 0, 0, 0
        self._fed: dict[tuple[int, int], Section] = {}  # by position and input: what late inputs are still to be fed
        self._marks = np.zeros(lanes, np.int64)
        self._deepest = max((late.delay for late in late_inputs.values()), default=0)

    def _boot(self, layer: int) -> Section:
        share = (whole_layer(self._network, layer),)
        # `csr` keeps what a port hears, a trace or events, as a dense vector; all formats have the same events.
        request = Request("csr", self._lanes, SramSize(0, 0, 0, 0), 1)
        fields = pe_fields(share_sizes(self._network, request, share))
        need = sum(field.size_bytes + ALIGNMENT_BYTES for field in fields)
        self._pes[layer].boot()
        spec = {"sram_bytes": need, "bank_bytes": 0, "program_bytes": 0, "debug_bytes": 0}
        self._say(layer, Load([shard.to_parts() for shard in cut(self._network, request, share)], {layer: 0}, spec, {}))
        started = self._say(layer, Start())
        assert isinstance(started, Batch)
        return started.sections[0]

    def _say(self, layer: int, message: Message) -> Message:
        answer = self._pes[layer].handle(_ROUTER, message)[0][1]
        assert not isinstance(answer, bytes), "a core's messages are not packed yet"
        if isinstance(answer, Fault):
            raise HostError(answer.text)
        return answer

    @property
    def ready(self) -> bool:
        """Whether the schedule takes a position at this tick."""
        return self._tick >= self._due

    @property
    def idle(self) -> bool:
        """Whether the last position is through."""
        return self._tick >= self._done

    def feed(self, feed: Feed | None) -> list[Section]:
        """Return what the inputs say at this tick, one section each: a position's events, or bubbles."""
        if feed is None:
            return [_bubble(n) for n in self._network.inputs]
        assert self.ready, "a position sooner than the schedule says"
        self._due = self._tick + self._times.interval
        self._done = self._tick + self._times.depth
        first = next(n for n in self._network.inputs if n not in self._late)
        section = Section(first, feed.flags, feed.position, feed.keys, feed.values, b"")
        begins = lanes_of(section, 0, FRESH, self._lanes)
        self._marks[begins] = feed.position
        sections = {first: section}
        self._fed[feed.position, first] = section
        for number, late in self._late.items():
            sections[number] = self._late_section(number, late, section)
        self._fed.pop((feed.position - self._deepest, first), None)
        return [sections[n] for n in self._network.inputs]

    def _late_section(self, number: int, late: LateInput, now: Section) -> Section:
        """Return what an input is fed late: the events of lanes whose sequence was there already."""
        before = self._fed.get((now.position - late.delay, late.source))
        if before is None:
            return now._replace(population=number, keys=b"", values=b"")
        width, keys = self._network.populations[number].units, np.frombuffer(before.keys, "<u4")
        keep = (self._marks <= now.position - late.delay)[keys // width]
        size = len(before.values) // max(len(keys), 1)
        values = np.frombuffer(before.values, np.uint8).reshape(len(keys), size)[keep].tobytes()
        return now._replace(population=number, keys=keys[keep].tobytes(), values=values)

    def tick(self, inputs: list[Section]) -> list[Section]:
        """Let every layer hear and step; return the sections of those that stepped."""
        self._latest |= {section.population: section for section in inputs}
        said = {}
        for n in self._network.layers:
            batch = self._say(n, Bundle(self._tick, tuple(self._latest[source] for source in self._waits[n])))
            assert isinstance(batch, Batch)
            said[n] = batch.sections[0]
        self._latest |= said
        self._tick += 1
        return [section for section in said.values() if section.flags & VALID]

    def count_events(self, section: Section) -> int:
        """Return how many events a section has; of one without keys, all of its numbers."""
        population = self._network.populations[section.population]
        return self._lanes * population.units if population.dense and section.values else len(section.keys) // 4

    def unit_events(self, section: Section) -> U32:
        """Return how many events each unit has in a section, (units,), over all lanes."""
        population = self._network.populations[section.population]
        if population.dense:
            return np.full(population.units, self._lanes, np.uint32)
        units = np.frombuffer(section.keys, "<u4") % population.units
        return np.bincount(units, minlength=population.units).astype(np.uint32)


def lanes_of(section: Section, kind: int, flag: int, lanes: int) -> Array:
    """Return which of the `lanes` the set `kind` of a section has, (lanes,) bool: without sets, all where it has the `flag`."""
    if not section.flags & flag:
        return np.zeros(lanes, bool)
    return _lane_set(section, kind, lanes) if section.lanes else np.ones(lanes, bool)


def idle_lanes(section: Section, lanes: int) -> Array:
    """Return which lanes are idle at a section's position, (lanes,) bool."""
    return _lane_set(section, 2, lanes) if section.lanes else np.zeros(lanes, bool)


def _lane_set(section: Section, kind: int, lanes: int) -> Array:
    size = mask_bytes(lanes)
    bits = np.unpackbits(np.frombuffer(section.lanes, np.uint8)[kind * size : (kind + 1) * size], bitorder="little")
    return bits[:lanes].astype(bool)


def _bubble(population: int) -> Section:
    return Section(population, 0, 0, b"", b"", b"")
