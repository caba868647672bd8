"""A run in this process that loses its routers and PEs on the way and goes on in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from host.run.run import Run
from noc.memory_chip import MemoryChip
from noc.transports.mem import MemNetwork
from pe.core import Pe
from pe.link import PeLink


class Lost(Exception):
    """Every router and PE is gone."""


def run_with_losses(run: Run, losses: Sequence[int] = (), shuffle: int | None = None) -> list[int]:
    """Work to the end, losing all routers and PEs after each number of messages to the host.

    Return the positions that the run went on from.
    """
    went_on = []
    for loss in [*losses, None]:
        try:
            _live(run, loss, MemNetwork(shuffle))
            break
        except Lost:
            went_on.append(run.prepare_restart())
    assert run.phase == "read", run.fault
    return went_on


def _live(run: Run, messages: int | None, network: MemNetwork) -> None:
    """Work with one set of routers and PEs, for so many messages to the host or to the end."""
    placement, left = run.placement, [messages]
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
        pes=[placed.name for placed in placement.pes], make_pe=Pe, network=network,
        link_pe=PeLink,
    )  # fmt: skip

    def after_each() -> Any:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Lost
        return run.settle()

    chip.boot_routers(run.begin(), after_each)
    chip.boot_pes(after_each)
