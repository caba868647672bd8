"""`python -m bench.links`: what checksums and numbers on links cost a token where nothing is wrong, warm, in one process.

A run of the paper's model is recorded; its router hears the same messages once plainly and once with its links, in pairs that
take turns; the checksums of PEs are made of the same bytes. Seconds are CPU time of the one thread, the least that each tick took
in any pair, so that what else the machine does is left out. Beside the CPU time of all processes a token (`bench.profile`) that
is the share that it costs; `python -m bench.pairs` compares whole runs.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Sequence
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
from noc.serve import handler_of
from noc.wire import decode, encode
from noc.wiring import wiring_of
from pe.crc32 import crc32

_CPU_MS = 7.84  # of all processes a token, by `bench.profile` (docs/performance.md)


@compiled
def _checksums(at: int, starts: Any, sizes: Any) -> int:
    total = 0
    for i in range(starts.size):
        total ^= crc32(at + starts[i], sizes[i])
    return total


def _cpu_s(what: Callable[[], Any]) -> float:
    began = time.thread_time()
    what()
    return time.thread_time() - began


def _least_s(runs: Sequence[Sequence[float]]) -> float:
    """Return the seconds of a tick: the mean over a run's ticks of the least that each took in any run."""
    return float(np.min(np.array(runs), axis=0).mean())


class Compared:
    """A recorded run on one chip; each way to hear it, as seconds of every tick."""

    def __init__(self, recorded: Recorded) -> None:
        self._recorded, self._placement = recorded, recorded.job.placement
        (self._chip,) = self._placement.machine.live
        self._name = f"router@{self._chip}"
        heard = recorded.heard[self._name]
        batches = [i for i, (_, raw) in enumerate(heard) if type(decode(raw)) is Batch]
        self._before, self._batches = heard[: batches[0]], [heard[i] for i in batches]
        self._a_tick = len(self._placement.pes) + 1  # batches, the host's with them
        self.ticks = len(batches) // self._a_tick
        ends = {placed.name: LinkEnd([self._name], LinkCounts()) for placed in self._placement.pes}
        self._linked_before = [
            (sender, raw if sender == HOST else _numbered(ends[sender], self._name, raw)) for sender, raw in self._before
        ]
        self._sealed = [(sender, raw if sender == HOST else seal(raw)) for sender, raw in self._batches]
        self._messages = [seal(raw) for placed in self._placement.pes for raw in self._of_pe(placed.name)]

    def _of_pe(self, name: str) -> list[bytes]:
        bundles = [raw for _, raw in self._recorded.heard[name] if type(decode(raw)) is Bundle]
        return bundles + [raw for sender, raw in self._batches if sender == name]

    def _router(self) -> ChipRouter:
        return ChipRouter(self._name, self._placement.chip.router_entries, wiring_of(self._placement.machine, self._chip))

    def _tick(self, messages: Sequence[Any], number: int) -> Sequence[Any]:
        return messages[number * self._a_tick : (number + 1) * self._a_tick]

    def plain_s(self) -> list[float]:
        """Return the seconds of each tick of a router that hears and answers without links."""
        router = self._router()
        for sender, raw in self._before:
            router.handle(sender, decode(raw))

        handle = handler_of(router)

        def hear(batches: Sequence[Any]) -> None:
            for sender, raw in batches:
                for _, message in handle(sender, raw):
                    if not isinstance(message, bytes):
                        encode(message)

        return [_cpu_s(lambda at=at: hear(self._tick(self._batches, at))) for at in range(self.ticks)]  # type: ignore[misc]

    def linked_s(self) -> list[float]:
        """Return the seconds of each tick of a router that does so with its links."""
        links = RouterLinks(self._router(), wiring_of(self._placement.machine, self._chip))
        for sender, raw in self._linked_before:
            links.handle_bytes(sender, raw)

        def hear(batches: Sequence[Any]) -> None:
            for sender, raw in batches:
                for _, message in links.handle_bytes(sender, raw):
                    if not isinstance(message, bytes):
                        encode(message)
                if links.chatter:
                    links.take_chatter()

        return [_cpu_s(lambda at=at: hear(self._tick(self._sealed, at))) for at in range(self.ticks)]  # type: ignore[misc]

    def checksums_s(self) -> float:
        """Return the seconds of all PEs' checksums, of what they hear and of what they say."""
        sizes = np.array([len(raw) for raw in self._messages], np.int64)
        starts = np.cumsum(sizes) - sizes
        raw = np.frombuffer(b"".join(self._messages), np.uint8)
        _checksums(raw.ctypes.data, starts[:1], sizes[:1])
        return _cpu_s(lambda: _checksums(raw.ctypes.data, starts, sizes)) / self.ticks

    def bytes_a_tick(self) -> float:
        """Return the bytes of what all PEs hear and say in a tick."""
        return sum(map(len, self._messages)) / self.ticks


def _numbered(end: LinkEnd, router: str, raw: bytes) -> bytes:
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
    plain, linked = (1e6 * _least_s([pair[way] for pair in pairs]) for way in (0, 1))  # type: ignore[misc]
    more, checksums = linked - plain, 1e6 * min(pair[2] for pair in pairs)
    print(f"router a tick: {plain:.0f} us plainly, {linked:.0f} us with links: {more:.0f} us more")
    print(f"PEs' checksums a tick: {checksums:.0f} us for {compared.bytes_a_tick():.0f} B")
    print(f"together {more + checksums:.0f} us: {(more + checksums) / 10 / args.cpu_ms:.2f} % of {args.cpu_ms} ms a token")


if __name__ == "__main__":
    main()
