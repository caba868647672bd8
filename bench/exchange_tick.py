"""`python -m bench.exchange_tick`: what a tick of a DNN costs in a chip's router and in its host, in one process.

A run of a chain of layers over 40 workers, or of a shipped network, is recorded; then what the router of chip 0 was sent is given
to another one behind its links, with checksums and numbered letters, as in its process but without sockets. Microseconds of CPU
time a tick, the least of some repetitions.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.dnn_run import barrier_options, save_chain
from bench.in_memory_run import Recorded, record
from host.run.run import Run
from host.workloads.dnn.options import Options
from host.workloads.registry import prepare
from noc.link_counts import LinkCounts
from noc.link_end import LinkEnd
from noc.packet import HOST, Batch, router_name
from noc.router import ChipRouter
from noc.router_links import RouterLinks
from noc.wire import decode, encode_sealed
from noc.wiring import wiring_of
from pe.compiled_columns import CompiledColumns

_NAME = router_name(0)


def heard_by_router(recorded: Recorded) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Return what router 0 was sent before the first batch, and from then on, as it comes over links."""
    ends: dict[str, LinkEnd] = {}
    sent: list[tuple[str, bytes]] = []
    first = None
    for sender, raw in recorded.heard[_NAME]:
        message = decode(raw)
        is_batch = isinstance(message, Batch)
        first = len(sent) if first is None and is_batch else first
        if sender == HOST:
            sent.append((sender, raw))
        elif is_batch:
            sent.append((sender, encode_sealed(message)))
        else:
            end = ends.setdefault(sender, LinkEnd([_NAME], LinkCounts()))
            sent += [(sender, said) for _, said in end.outgoing([((_NAME,), raw)]) if isinstance(said, bytes)]
    assert first is not None
    return sent[:first], sent[first:]


def played(recorded: Recorded, sent: tuple[list[Any], list[Any]], around: Callable[[Callable[[], None]], float]) -> float:
    """Give a new router what it was sent; return what `around` says of the part from the first batch on."""
    placement = recorded.job.placement
    wiring = wiring_of(placement.machine, 0)
    router = ChipRouter(_NAME, placement.chip.router_entries, wiring, make_columns=CompiledColumns)
    links = RouterLinks(router, wiring)
    for sender, raw in sent[0]:
        links.handle_bytes(sender, raw)
        links.take_chatter()

    def all_of_it() -> None:
        for sender, raw in sent[1]:
            links.handle_bytes(sender, raw)
            if links.chatter:
                links.take_chatter()

    spent = around(all_of_it)
    assert min(router.next_ticks.values()) >= recorded.ticks - 1
    return spent


def cpu_s(what: Callable[[], None]) -> float:
    """Return the CPU seconds that this takes."""
    gc.disable()
    began = time.process_time()
    what()
    spent = time.process_time() - began
    gc.enable()
    return spent


def host_s(recorded: Recorded) -> float:
    """Return the CPU seconds that the host takes for a run's ticks."""
    job = prepare(recorded.job.options)
    run = Run(job.placement, job.source, job.readout, probes=job.probes, fills=job.fills)
    run.begin()

    def all_of_it() -> None:
        for sender, raw in recorded.heard[HOST]:
            run.handle(sender, decode(raw))
            run.settle()

    return cpu_s(all_of_it)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", nargs="?", default="chain", help="chain, digits-cnn or digits-vit")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--functions", action="store_true", help="print what Python spends its time on in the router and host")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if flags.network == "chain":
            options = barrier_options(save_chain(Path(folder), passes=1))
        else:
            pes = 41 if flags.network == "digits-vit" else 17
            options = Options(checkpoint=flags.network, samples=16, batch=16, pes=pes, resident="both", alone=True)
        options.check()
        recorded = record(options)
        sent = heard_by_router(recorded)
        router_us = 1e6 * min(played(recorded, sent, cpu_s) for _ in range(flags.repeat)) / recorded.ticks
        host_us = 1e6 * min(host_s(recorded) for _ in range(flags.repeat)) / recorded.ticks
        size = sum(len(raw) for _, raw in sent[1])
        print(f"{recorded.ticks} ticks, {len(sent[1]) / recorded.ticks:.1f} messages and {size / recorded.ticks:,.0f} B a tick in")
        print(f"router {router_us:8.0f} us a tick\nhost   {host_us:8.0f} us a tick")
        if flags.functions:
            for what in (lambda: played(recorded, sent, _profiled), lambda: host_s(recorded)):
                profile = cProfile.Profile(time.process_time)  # the machine may be busy
                profile.enable()
                what()
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(25)


def _profiled(what: Callable[[], None]) -> float:
    what()
    return 0.0


if __name__ == "__main__":
    main()
