"""A network in this process, tick by tick: each layer runs whole on one `Pe` core (`pe/core.py`), as a PE's process runs its share.

The core's SRAM is as large as it needs to be, and no sum sees where its units are, so events are those of every run, to the bit.
There is no router: what one core says in a batch, those that wait for it hear in the next bundle.
"""

from __future__ import annotations

from host.errors import HostError
from host.mapping.placement import Placement
from host.mapping.request import Request, whole_layer
from host.mapping.sharding import cut, share_sizes
from host.run.late_feed import LateFeed
from host.workloads.contract import Feed
from models.schedule import schedule
from noc.packet import VALID, Batch, Bundle, Fault, Load, Message, Packed, Section, Start
from pe.core import Pe
from pe.layout import pe_fields
from pe.sram import ALIGNMENT_BYTES, SramSize

_ROUTER = ""  # the name that a core answers; no router is there


class WholeLayers:
    """The layers of a placement's network on a core each, fed position by position."""

    def __init__(self, placement: Placement) -> None:
        self._network, self._lanes, self._late_feed = placement.network, placement.request.lanes, LateFeed(placement)
        self._times = schedule(placement.network)
        self._pes = {n: Pe(f"layer {n}", _ROUTER) for n in self._network.layers}
        self._waits = {n: sorted({*self._network.sources(n), self._times.triggers[n]}) for n in self._network.layers}
        self._latest: dict[int, Section] = {n: self._boot(n) for n in self._network.layers}
        self._tick = self._due = self._done = 0

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
        assert not isinstance(answer, bytes | Packed), "a core's messages are not packed yet"
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
            return [Section(n, 0, 0, b"", b"", b"") for n in self._network.inputs]
        assert self.ready, "a position sooner than the schedule says"
        self._due, self._done = self._tick + self._times.interval, self._tick + self._times.depth
        whole, none = self._late_feed.completed(feed), (b"", b"")
        return [Section(n, whole.flags, whole.position, *whole.events.get(n, none), b"", whole.lanes) for n in self._network.inputs]

    def tick(self, inputs: list[Section]) -> list[Section]:
        """Let every layer hear and step; return the sections of those that stepped."""
        self._latest |= {section.population: section for section in inputs}
        sections = {}
        for n in self._network.layers:
            batch = self._say(n, Bundle(self._tick, tuple(self._latest[source] for source in self._waits[n])))
            assert isinstance(batch, Batch)
            sections[n] = batch.sections[0]
        self._latest |= sections
        self._tick += 1
        return [section for section in sections.values() if section.flags & VALID]
