"""What a worker that hands on costs: as any worker; what it hands on is in its transfers."""

from __future__ import annotations

from host.cost.kernels.worker import (  # noqa: F401 - the contract's names
    PORT_STAGES,
    STAGE_WORDS,
    UNIT_READ_BYTES,
    UNIT_WRITTEN_BYTES,
    active_cycles,
    array_cycles,
    core_cycles,
    cycles,
)
