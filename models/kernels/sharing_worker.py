"""A worker that hands on what it has read to other workers: as `worker`, with all of them among its peers and less memory.

What it keeps of each peer takes room, and so does what it tells the host of them.
"""

from __future__ import annotations

from models.kernels import worker
from models.kernels.worker import (  # noqa: F401 - the contract's names
    COUNTS,
    DEFAULTS,
    EMITS,
    EXCHANGE_COUNTS,
    PER_UNIT,
    PORTS,
    VECTORS,
    stepper,
)
from models.network import Field

MEMORY_BYTES = 80 << 10
MOST_HANDED = 64
"""Stretches that peers hand it of a layer's operands, and of a tensor that stays: all of them may come in one exchange."""
TRANSFERS = worker.TRANSFERS._replace(
    most_peers=160, most_in=3 * MOST_HANDED + worker.MOST_ROWS // 2, bytes_in=MEMORY_BYTES, bytes_out=MEMORY_BYTES
)  # fmt: skip


def fields(units: int, lanes: int) -> list[Field]:
    """Return what a worker keeps, with this memory."""
    memory = Field("memory", (MEMORY_BYTES,), "|u1", "variables", "DMA's bytes")
    return [memory if field.name == "memory" else field for field in worker.fields(units, lanes)]
