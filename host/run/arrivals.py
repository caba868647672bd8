"""`Arrivals`: bundles that have come and wait to be hashed and decoded, and what a readout says of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from host.run.dram_reads import DramReads
from host.workloads.contract import Readout
from noc.packet import VALID, Bundle, Section


class Arrivals:
    """Bundles in the order of their ticks. A readout that hears transfers gets those of a tick before its sections. `reads`: what
    it wants to see of DRAMs. Made anew with other routers.
    """

    def __init__(self, readout: Readout) -> None:
        self._hear = getattr(readout, "hear", lambda _: None)
        self.reads = DramReads(readout)
        self._bundles = deque[Bundle]()

    def add(self, bundle: Bundle) -> None:
        """Take a bundle."""
        self._bundles.append(bundle)

    def sections(self, fail: Callable[[str], None]) -> Iterator[Section]:
        """Yield every valid section that has come, once; `fail` is told what a readout hears that ends the run."""
        while self._bundles:
            bundle = self._bundles.popleft()
            if (problem := self._hear(bundle.transfers)) is not None:
                fail(problem)
            yield from (section for section in bundle.sections if section.flags & VALID)
