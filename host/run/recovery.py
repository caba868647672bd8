"""`RestartLog`: what a run needs to go on in new processes from its last segment boundary: the input since then, and what every
layer had emitted just before.

At a boundary cell states and traces are zeroed, and all that is carried over is what each layer hears of itself. So the
new processes are told that, get the same input again, and make the same events; those that the host has had already it
leaves out, and everything that was counted stays. Where states are carried on there is no boundary but a sequence's beginning.
"""

from __future__ import annotations

from collections.abc import Iterable

from host.workloads.contract import Feed
from noc.packet import FRESH, RESET, Recall, Section


class RestartLog:
    """Notes input and the output of `layers`, the populations that the host hears."""

    def __init__(self, layers: Iterable[int]) -> None:
        self._latest: dict[int, Section | None] = dict.fromkeys(layers)
        self._feeds: list[Feed] = []
        self._boundaries: list[int] = []  # positions, ascending; the first is where a run would go on
        self._before: dict[int, dict[int, Section]] = {}  # boundary -> what each layer emitted at the position before

    def add_input(self, feed: Feed) -> None:
        """Add a position's input."""
        self._feeds.append(feed)
        if feed.flags & RESET:
            self._boundaries.append(feed.position)
            self._before[feed.position] = {
                layer: section for layer, section in self._latest.items() if section and section.position == feed.position - 1
            }
            self._forget()

    def add_output(self, section: Section) -> bool:
        """Add a layer's section; False where it was added before."""
        latest = self._latest[section.population]
        if latest is not None and section.position <= latest.position:
            return False
        self._latest[section.population] = section
        before = self._before.get(section.position + 1)
        if before is not None:
            before[section.population] = section
            self._forget()
        return True

    def _forget(self) -> None:
        """Drop what lies before the last boundary that every layer has come to."""
        for boundary in reversed(self._boundaries[1:]):
            if len(self._before[boundary]) == len(self._latest):
                self._feeds = [feed for feed in self._feeds if feed.position >= boundary]
                self._boundaries = [b for b in self._boundaries if b >= boundary]
                self._before = {b: self._before[b] for b in self._boundaries}
                return

    @property
    def position(self) -> int:
        """Where the run would go on."""
        return self._boundaries[0] if self._boundaries else 0

    def feeds(self) -> list[Feed]:
        """Return the input from there on, as far as it has been fed."""
        return list(self._feeds)

    def recalls(self) -> dict[int, Recall]:
        """Return for each layer what its PEs must be told; nothing where a sequence begins."""
        if not self._feeds or self._feeds[0].flags & FRESH:
            return {}
        before = self._before[self.position]
        return {layer: Recall(layer, section.position, 0, section.keys, section.values) for layer, section in before.items()}
