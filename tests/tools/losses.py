"""A run in this process that loses its routers and PEs on the way and goes on in others, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from host.run.report import build_report
from host.run.run import Run
from host.workloads.contract import Job
from noc.columns import Columns, MakeColumns
from noc.memory_chip import MemoryChip
from noc.transports.mem import MemNetwork
from pe.core import Pe
from pe.link import PeLink


class Lost(Exception):
    """Every router and PE is gone."""


_OF_A_CLOCK = ("host_s",)  # in a result: what no two runs have alike
_OF_THIS_SET = ("packets", "link", "malformed")  # counters of the processes that ran last


def run_with_losses(
    run: Run, losses: Sequence[int] = (), shuffle: int | None = None, on_loss: Callable[[], object] = lambda: None,
    make_columns: MakeColumns = Columns,
) -> list[int]:  # fmt: skip
    """Work to the end, losing all routers and PEs after each number of messages to the host, and calling `on_loss` then;
    `make_columns` is the routers'.

    Return the positions that the run went on from.
    """
    went_on = []
    for loss in [*losses, None]:
        try:
            _live(run, loss, MemNetwork(shuffle), make_columns)
            break
        except Lost:
            on_loss()
            went_on.append(run.prepare_restart())
    assert run.phase == "read", run.fault
    return went_on


def report_of(job: Job, run: Run, *, partial: bool = False) -> dict[str, Any]:
    """Return a run's report, as its host makes one whenever processes are lost and at the end, without what belongs to a clock or
    to one set of processes.
    """
    report = build_report(job, run, run.recorder.save(), partial=partial)
    report["result"] = {name: value for name, value in report["result"].items() if name not in _OF_A_CLOCK}
    report["counters"] = {name: count for name, count in report["counters"].items() if not name.startswith(_OF_THIS_SET)}
    report["metrics"] = [metric for metric in report["metrics"] if not metric["name"].endswith("_s")]
    return {name: report[name] for name in ("events", "result", "metrics", "counters", "modelled", "neurobench")}


def _live(run: Run, messages: int | None, network: MemNetwork, make_columns: MakeColumns = Columns) -> None:
    """Work with one set of routers and PEs, for so many messages to the host or to the end."""
    placement, left = run.placement, [messages]
    chip = MemoryChip(
        host=run, machine=placement.machine, table_entries=placement.chip.router_entries,
        pes=[placed.name for placed in placement.pes], make_pe=Pe, network=network,
        link_pe=PeLink, make_columns=make_columns,
    )  # fmt: skip

    def after_each() -> Any:
        if left[0] is not None:
            left[0] -= 1
            if left[0] < 0:
                raise Lost
        return run.settle()

    chip.boot_routers(run.begin(), after_each)
    chip.boot_pes(after_each)
