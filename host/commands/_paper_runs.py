"""The runs behind the paper's tables: what `paper` and `sensitivity` share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.experiments.headless import run_headless
from host.options import RunOptions
from host.workloads.paper_chapter import PaperPart
from host.workloads.registry import workloads


def paper_parts(command: str, checkpoint: str | None, transport: str) -> list[PaperPart]:
    """Return the parts of all workloads that have a table of the paper, in order: that of the checkpoint where a workload takes it,
    else that of the network that is shipped. HostError where no workload has a table, or none takes the checkpoint.
    """
    makers = {workload: make for workload in workloads().values() if (make := workload.part("paper", "paper_part"))}
    if not makers:
        raise HostError(f"{command}: none of the workloads ({', '.join(workloads())}) has a table of the paper")
    takers = [
        workload for workload in makers if checkpoint is not None and workload.part("paper", "takes", lambda _: False)(checkpoint)
    ]
    if checkpoint is not None and not takers:
        raise HostError(f"{command}: the paper has no table of such a network as {checkpoint}; needs a language or gesture model")
    parts = (make(checkpoint if workload in takers else None, transport) for workload, make in makers.items())
    return sorted(parts, key=lambda part: part.place)


def run_into(folder: Path, options: RunOptions) -> dict[str, Any]:
    """Run into `folder` and return the report; HostError with the run's exit code and cause where it does not come through."""
    began = time.perf_counter()
    print(f"running      {folder.name}: {options.pes} PEs, batch {options.batch} ... ", end="", flush=True)
    outcome = run_headless(folder, options, pictures=True)
    print(f"{time.perf_counter() - began:.1f} s" if outcome.problem is None else "failed", flush=True)
    if outcome.problem is not None or outcome.report is None:
        raise HostError(f"{folder.name}: {outcome.problem or 'no report'}", outcome.code)
    return outcome.report
