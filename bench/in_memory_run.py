"""A run inside one process with every message kept: what kernels, floors and stages are measured on.

The cores, the bytes and the order are those of the processes (`noc/transports/mem.py`); only what carries them differs.
It reads nothing of a core beyond the contract of `noc/transport.py`.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass

from host.options import RunOptions
from host.run.run import Run
from host.workloads.contract import Job
from host.workloads.registry import prepare
from noc.memory_chip import MemoryChip
from noc.packet import HOST, VALID, Batch, Bundle, Outgoing, Section, chip_of, router_name
from noc.transports.mem import MemNetwork
from noc.wire import decode, encode
from pe.compiled_columns import CompiledColumns
from pe.core import Pe


class _Keeping(MemNetwork):
    """Keeps what each endpoint is sent, in an order in which it could have arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: dict[str, list[tuple[str, bytes]]] = defaultdict(list)

    def post(self, sender: str, outgoing: Outgoing) -> None:
        packed = [(to, message if isinstance(message, bytes) else encode(message)) for to, message in outgoing]
        for destinations, raw in packed:
            for destination in destinations:
                self.heard[destination].append((sender, raw))
        super().post(sender, packed)


@dataclass
class Recorded:
    """A finished run: its job, the ticks it took, and by endpoint the messages it was sent, as (sender, bytes)."""

    job: Job
    ticks: int
    sha256: str
    heard: dict[str, list[tuple[str, bytes]]]

    def sizes(self, endpoint: str) -> tuple[int, int]:
        """Return the median bytes of a bundle that `endpoint` is sent, and of a batch that it sends, over the ticks of the run."""
        bundles = [len(raw) for _, raw in self.heard[endpoint] if type(decode(raw)) is Bundle]
        batches = [len(raw) for raw in self._batches[endpoint]]
        return round(statistics.median(bundles)), round(statistics.median(batches))

    def __post_init__(self) -> None:
        self._batches: dict[str, list[bytes]] = defaultdict(list)
        for router in {router_name(chip_of(placed.name)) for placed in self.job.placement.pes}:
            for sender, raw in self.heard[router]:
                if type(decode(raw)) is Batch:
                    self._batches[sender].append(raw)

    def batch_bytes(self, endpoint: str) -> int:
        """Return the bytes of all batches that `endpoint` sent."""
        return sum(map(len, self._batches[endpoint]))

    def bundle_bytes(self, endpoint: str) -> int:
        """Return the bytes of all bundles that `endpoint` was sent."""
        return sum(len(raw) for _, raw in self.heard[endpoint] if type(decode(raw)) is Bundle)

    def positions(self) -> list[dict[int, Section]]:
        """Return for each position of the run the valid section of every population, input included."""
        sections: dict[int, dict[int, Section]] = defaultdict(dict)
        for raw in [raw for _, raw in self.heard[HOST]] + self._batches[HOST]:
            message = decode(raw)
            for section in message.sections if isinstance(message, Bundle | Batch) else ():
                if section.flags & VALID:
                    sections[section.position][section.population] = section
        everything = len(self.job.placement.network.populations)
        return [sections[position] for position in sorted(sections) if len(sections[position]) == everything]


def record(options: RunOptions) -> Recorded:
    """Run `options` to the end on one chip or several, all in this process. AssertionError where the run does not end well."""
    job = prepare(options)
    run = Run(job.placement, job.source, job.readout, probes=job.probes, fills=job.fills)
    placement, network = job.placement, _Keeping()
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
        pes=[placed.name for placed in placement.pes], make_pe=Pe, network=network, make_columns=CompiledColumns,
    )  # fmt: skip
    chip.boot_routers(run.begin(), run.settle)
    chip.boot_pes(run.settle)
    assert run.phase == "read", run.fault
    assert run.conservation()["wrong"] == []
    assert job.source.exhausted()
    return Recorded(job, run.completed, run.events.report()["sha256"], network.heard)
