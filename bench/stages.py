"""What each stage of a tick costs warm: the sans-I/O cores of a recorded run, driven again stage by stage in one process.

Each core gets its messages in one go, so its code and data stay in the caches: beside the CPU time that the processes take this
shows the share of cold caches, sockets and switches. Seconds are CPU time of the one thread, a tick, for all endpoints of a
kind together.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

from bench.in_memory_run import Recorded
from bench.kernels import bind, kernels_s
from host.run.event_hash import EventStream
from host.run.run import Run
from host.workloads.registry import prepare
from noc.packet import HOST, VALID, Batch, Bundle, Fault, Letter, Message, Outgoing, chip_of, router_name
from noc.router import ChipRouter
from noc.wire import decode, encode
from noc.wiring import wiring_of
from pe.compiled_columns import CompiledColumns
from pe.core import Pe


class _Clock:
    """Adds up the CPU seconds of what it runs, by stage."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = {}

    def run(self, stage: str, what: Callable[[], Any]) -> Any:
        began = time.thread_time()
        answer = what()
        self.spent_s[stage] = self.spent_s.get(stage, 0.0) + time.thread_time() - began
        return answer


def stages_s(recorded: Recorded) -> dict[str, dict[str, float]]:
    """Return seconds a tick by kind of endpoint and stage. AssertionError where a core does other work than in the recorded run."""
    per_tick: dict[str, dict[str, float]] = {}
    gc.disable()  # as in the processes
    try:
        for kind, timed in (("PE", _pes), ("router", _routers), ("host", _host)):
            clock = _Clock()
            timed(recorded, clock)
            per_tick[kind] = {stage: seconds / recorded.ticks for stage, seconds in clock.spent_s.items()}
    finally:
        gc.enable()
    shards, positions = bind(recorded.job.placement), recorded.positions()
    kernels_s(recorded.job.placement, shards, positions[:5])
    kernel = kernels_s(recorded.job.placement, shards, positions, alone=True)
    pe = per_tick["PE"]
    pe["kernels"] = kernel
    pe["read, write, schedule"] = max(pe.pop("compiled tick") - kernel, 0.0)
    return per_tick


def _split(recorded: Recorded, endpoint: str, kind: type[Message]) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    """Return what an endpoint was sent before the first message of `kind`, and of the rest those of `kind`."""
    heard = recorded.heard[endpoint]
    kinds = [type(decode(raw)) for _, raw in heard]
    first = kinds.index(kind)
    return heard[:first], [item for item, kind_of_item in zip(heard[first:], kinds[first:], strict=True) if kind_of_item is kind]


def _pes(recorded: Recorded, clock: _Clock) -> None:
    for placed in recorded.job.placement.pes:
        router = router_name(placed.pe.chip)
        pe = Pe(placed.name, router)
        before, ticks = _split(recorded, placed.name, Bundle)
        pe.boot()
        for sender, raw in before:
            pe.handle(sender, decode(raw))
        assert pe.tick is not None
        tick = pe.tick
        replies = clock.run("compiled tick", lambda tick=tick, ticks=ticks: [tick(raw) for _, raw in ticks])
        assert sum(map(len, replies)) == recorded.batch_bytes(placed.name) - _first_batch(recorded, placed.name)


def _first_batch(recorded: Recorded, name: str) -> int:
    """Return the bytes of an endpoint's first batch, which answers a letter, not a bundle."""
    return next(
        len(raw) for sender, raw in recorded.heard[router_name(chip_of(name))] if sender == name and type(decode(raw)) is Batch
    )


def _routers(recorded: Recorded, clock: _Clock) -> None:
    placement = recorded.job.placement
    for chip in placement.machine.live:
        name = router_name(chip)
        router = ChipRouter(name, placement.chip.router_entries, wiring_of(placement.machine, chip), make_columns=CompiledColumns)
        heard = recorded.heard[name]
        first = next(i for i, (_, raw) in enumerate(heard) if type(decode(raw)) is Batch)
        for sender, raw in heard[:first]:
            router.handle(sender, decode(raw))
        outs: list[Outgoing] = clock.run(
            "take, join", lambda router=router, rest=heard[first:]: [_taken(router, sender, raw) for sender, raw in rest]
        )
        clock.run("encode", lambda outs=outs: [encode(m) for out in outs for _, m in out if not isinstance(m, bytes)])
        to_host = [decode(m) if isinstance(m, bytes) else m for out in outs for destinations, m in out if HOST in destinations]
        assert chip != placement.machine.host_chip or sum(isinstance(m, Bundle) for m in to_host) == recorded.ticks
        assert not any(isinstance(m, Letter) and isinstance(decode(m.body), Fault) for m in to_host)


def _taken(router: ChipRouter, sender: str, raw: bytes) -> Outgoing:
    """Return what a router says of a message, as its process takes it."""
    out = router.handle_batch(sender, raw, is_sealed=False)
    return router.handle(sender, decode(raw)) if out is None else out


def _host(recorded: Recorded, clock: _Clock) -> None:
    job = prepare(recorded.job.options)
    run = Run(job.placement, job.source, job.readout)
    before, ticks = _split(recorded, HOST, Bundle)
    run.begin()
    for sender, raw in before:
        run.handle(sender, decode(raw))
        run.settle()
    messages = clock.run("decode", lambda: [decode(raw) for _, raw in ticks])
    outs: list[Outgoing] = []
    for message in messages:
        outs.append(clock.run("feed", lambda message=message: run.handle(router_name(0), message)))
        outs.append(clock.run("settle", run.settle))
    clock.run("encode", lambda: [encode(message) for out in outs for _, message in out])
    assert run.events.report()["sha256"] == recorded.sha256
    # The parts of settling, each alone on the same sections.
    sections = [section for message in messages for section in message.sections if section.flags & VALID]
    stream = EventStream(job.placement.network, job.placement.request.lanes, job.source.sequence_at)
    clock.run("hash", lambda: [stream.add(section) for section in sections])
    readout = prepare(recorded.job.options).readout
    output = [section for section in sections if section.population == job.placement.network.output]
    clock.run("decoder", lambda: [readout.answer(section.position, {section.population: [section]}) for section in output])
    spent = clock.spent_s
    spent["ledger"] = max(spent.pop("settle") - spent["hash"] - spent["decoder"], 0.0)
