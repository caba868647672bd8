"""`python -m bench.links`: what checksums and numbers on links cost a token where nothing is wrong, warm, in one process.

A run of the paper's model is recorded; its router hears the same messages once plainly and once with its links, in pairs that
take turns; the checksums of PEs are made of the same bytes. Seconds are CPU time of the one thread. Beside the CPU time of all
processes a token (`bench.profile`) that is the share that it costs; `python -m bench.pairs` compares whole runs.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from bench.in_memory_run import Recorded, record
from host.workloads.lm.options import Options
from models.compute.compiling import compiled
from noc.checksum import seal
from noc.link_counts import LinkCounts
from noc.link_end import LinkEnd
from noc.packet import HOST, Batch, Bundle
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.wire import decode, encode
from noc.wiring import wiring_of
from pe.crc32 import SCRATCH_BYTES, crc32

_CPU_MS = 7.84  # of all processes a token, by `bench.profile` (docs/performance.md)


@compiled
def _checksums(at: int, starts: Any, sizes: Any, scratch: int) -> int:
    total = 0
    for i in range(starts.size):
        total ^= crc32(at + starts[i], sizes[i], scratch)
    return total


def _cpu_s(what: Callable[[], Any]) -> float:
    began = time.thread_time()
    what()
    return time.thread_time() - began


class Compared:
    """A recorded run on one chip; each way to hear it, as seconds a tick."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded, self._placement = recorded, recorded.job.placement
        (self._chip,) = self._placement.machine.live
        self._name = f"router@{self._chip}"
        heard = recorded.heard[self._name]
        self._first = next(i for i, (_, raw) in enumerate(heard) if type(decode(raw)) is Batch)
        self._plain = heard
        ends = {placed.name: LinkEnd([self._name], LinkCounts()) for placed in self._placement.pes}
        self._sealed = [(sender, raw if sender == HOST else _as_linked(ends[sender], self._name, raw)) for sender, raw in heard]
        self._messages = [seal(raw) for placed in self._placement.pes for raw in self._of_pe(placed.name)]

    def _of_pe(self, name: str) -> list[bytes]:
        bundles = [raw for _, raw in self._recorded.heard[name] if type(decode(raw)) is Bundle]
        return bundles + [raw for sender, raw in self._plain if sender == name and type(decode(raw)) is Batch]

    def _router(self) -> ChipRouter:
        return ChipRouter(self._name, self._placement.chip.router_entries, wiring_of(self._placement.machine, self._chip))

    def plain_s(self) -> float:
        """Return the seconds of a router that hears and answers without links."""
        router = self._router()
        for sender, raw in self._plain[: self._first]:
            router.handle(sender, decode(raw))

        def hear() -> None:
            for sender, raw in self._plain[self._first :]:
                for _, message in router.handle(sender, decode(raw)):
                    if not isinstance(message, bytes):
                        encode(message)

        return _cpu_s(hear) / self._recorded.ticks

    def linked_s(self) -> float:
        """Return the seconds of a router that does so with its links."""
        links = RouterLinks(self._router(), wiring_of(self._placement.machine, self._chip))
        for sender, raw in self._sealed[: self._first]:
            links.handle_bytes(sender, raw)

        def hear() -> None:
            for sender, raw in self._sealed[self._first :]:
                for _, message in links.handle_bytes(sender, raw):
                    if not isinstance(message, bytes):
                        encode(message)
                if links.chatter:
                    links.take_chatter()

        return _cpu_s(hear) / self._recorded.ticks

    def checksums_s(self) -> float:
        """Return the seconds of all PEs' checksums, of what they hear and of what they say."""
        sizes = np.array([len(raw) for raw in self._messages], np.int64)
        starts, scratch = np.cumsum(sizes) - sizes, np.zeros(SCRATCH_BYTES, np.uint8)
        raw = np.frombuffer(b"".join(self._messages), np.uint8)
        _checksums(raw.ctypes.data, starts[:1], sizes[:1], scratch.ctypes.data)
        return _cpu_s(lambda: _checksums(raw.ctypes.data, starts, sizes, scratch.ctypes.data)) / self._recorded.ticks

    def bytes_a_tick(self) -> float:
        """Return the bytes of what all PEs hear and say in a tick."""
        return sum(map(len, self._messages)) / self._recorded.ticks


def _as_linked(end: LinkEnd, router: str, raw: bytes) -> bytes:
    if type(decode(raw)) is Batch:
        return seal(raw)
    ((_, linked),) = end.outgoing([((router,), raw)])
    assert isinstance(linked, bytes)
    return linked


def main() -> None:
    """Measure pairs and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.links", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--pes", type=int, default=150)
    parser.add_argument("--pairs", type=int, default=11)
    parser.add_argument("--cpu-ms", type=float, default=_CPU_MS, help="CPU time of all processes a token")
    args = parser.parse_args()
    compared = Compared(record(Options(tokens=args.tokens, pes=args.pes, transport="mem")))
    gc.disable()  # as in the processes
    pairs = [(compared.plain_s(), compared.linked_s(), compared.checksums_s()) for _ in range(args.pairs)]
    plain, linked, checksums = (1e6 * min(column) for column in zip(*pairs, strict=True))  # the least disturbed
    more, middle = linked - plain, 1e6 * statistics.median(after - before for before, after, _ in pairs)
    print(f"router a tick: {plain:.0f} us plainly, {linked:.0f} us with links: {more:.0f} us more (least of {args.pairs} pairs)")
    print(f"  {middle:.0f} us more by the median of pairs, {100 * middle / 1e6 / statistics.median(p for p, _, _ in pairs):.0f} %")
    print(f"PEs' checksums a tick: {checksums:.0f} us for {compared.bytes_a_tick():.0f} B")
    print(f"together {more + checksums:.0f} us: {(more + checksums) / 10 / args.cpu_ms:.2f} % of {args.cpu_ms} ms a token")


if __name__ == "__main__":
    main()
