"""The largest message of a run: what routers need to let in, and no more."""

from __future__ import annotations

from collections.abc import Collection

from host.mapping.placement import Placement
from host.run.run import Run
from models import kernels
from models.numerics import payload_bytes
from models.transfers import TRANSFER_WORDS
from noc.dram_endpoint import MOST_SAVED_BYTES

_LEAST_BYTES = 1 << 22  # pieces of a DRAM's content (1 MiB), configurations, counters
_SECTION_BYTES = 1 << 12  # of a shard: a section's head and its ledger
_TRANSFER_BYTES = 1 << 7  # of a transfer beside its data: names and numbers


def most_message_bytes(run: Run) -> int:
    """Return a bound on the bytes of every message between a run's PEs, routers and host."""
    return bound_of(run.placement, {number for number, names in run.probes.items() if names})


def bound_of(placement: Placement, probed: Collection[int]) -> int:
    """Return the sum of all that could ever travel at once: a PE's memory, all units' events, all ledgers, all transfers of a tick.

    `probed`: layers of which the host reads fields, behind the ledgers.
    """
    network, lanes, sram_bytes = placement.network, placement.request.lanes, placement.request.size.sram_bytes
    events = sum((4 + payload_bytes(one.payload)) * lanes * one.units for one in network.populations)
    names = 16 * sum(one.units for one in network.populations)  # dense shares, which name each unit
    shards = [part.population for placed in placement.pes for part in placed.share]
    ledgers = sum(_SECTION_BYTES + sram_bytes * (number in probed) for number in shards)
    specs = [spec for number in shards if (spec := kernels.transfers_of(network.populations[number].kernel)) is not None]
    transfers = sum(s.bytes_in + s.bytes_out + (s.most_in + s.most_out) * (4 * TRANSFER_WORDS + _TRANSFER_BYTES) for s in specs)
    saved = 2 * MOST_SAVED_BYTES if placement.transfers.drams else 0
    return 2 * (_LEAST_BYTES + 4 * sram_bytes + events + names + ledgers + transfers + saved)
