"""`Launcher`: the course of a run (`host/launch/course.py`) over real processes, by the machine's clock, with its signals.

The launcher owns the processes of this machine (`host/processes/process_group.py`), a backend those of others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.launch.course import Course
from host.launch.end_signals import EndSignals
from host.launch.outcome import Outcome
from host.launch.run_processes import RunProcesses
from host.options import RunOptions
from host.processes.backend import ConnectBackend
from host.run.clock import SYSTEM_CLOCK


class Launcher(Course):
    """The processes of one run.

    Args:
        options: what to run.
        mapped: called once with the layout, when the network is on the chip.
        observe: called with each status record of the host (about ten a second).
        started: called with each process name and pid, as they start (tests kill them by it).
        folder: where the host writes the run's ledger, or None.
        meanwhile: called once, when this process has nothing else to do: while the fork server loads what its children need.
        remote: makes the backend of routers and PEs on other machines; None where they run on this one.
        resume: go on from the journal in `folder`, which another launcher has left.

    """

    def __init__(
        self, options: RunOptions, mapped: Callable[[dict[str, Any]], None], observe: Callable[[dict[str, Any]], None],
        started: Callable[[str, int], None] = lambda *_: None, folder: Path | None = None,
        meanwhile: Callable[[], None] = lambda: None, remote: ConnectBackend | None = None,
        resume: bool = False,
    ) -> None:  # fmt: skip
        self._signals = EndSignals()
        super().__init__(
            options, mapped, observe, processes=RunProcesses(options, started, folder, remote), clock=SYSTEM_CLOCK,
            ending=self._signals, meanwhile=meanwhile, resume=resume,
        )  # fmt: skip

    def run(self) -> Outcome:
        """Start everything, see the run through, and leave no process behind."""
        with self._signals.noted():
            return self.follow()

    def _end(self) -> None:
        self._signals.ignore()
        super()._end()
