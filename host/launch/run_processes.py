"""`RunProcesses`: the processes of one run, which the launcher has started, replaced and ended: fork server, host, routers, PEs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.launch.host_link import HostLink
from host.launch.needed_members import needed_members
from host.launch.outcome import complete_emulation
from host.options import RunOptions
from host.processes.backend import Backend, ConnectBackend, LocalBackend
from host.processes.process_group import ProcessGroup
from host.processes.room import shortage_to_start
from host.run.clock import SYSTEM_CLOCK, Clock
from noc.packet import HOST

_BACKEND = "backend"  # the name of what is readable where it has records


class RunProcesses:
    """`group`: the processes of this machine; `backend`: routers and PEs, wherever they are; `host`: the way to the host.

    Args:
        options: what to run.
        started: called with each process name and pid, as they start.
        folder: where the host writes, or None.
        remote: makes the backend of routers and PEs on other machines; None where they run on this one.
        group: the processes of this machine; None: real ones.
        clock: what the bounds on waits go by.

    """

    def __init__(
        self, options: RunOptions, started: Callable[[str, int], None], folder: Path | None, remote: ConnectBackend | None,
        group: ProcessGroup | None = None, clock: Clock = SYSTEM_CLOCK,
    ) -> None:  # fmt: skip
        self._options, self._started, self._folder, self._remote = options, started, folder, remote
        self.group = ProcessGroup(started, options.stall_s) if group is None else group
        self.backend: Backend = LocalBackend(self.group, options)
        self.host = HostLink(self.group, clock)

    def start(self, meanwhile: Callable[[], None], *, resume: bool) -> None:
        """Start the fork server and the host; `meanwhile` is called while the fork server loads. `resume`: go on from a journal."""
        problem = shortage_to_start()
        if problem:
            raise HostError(problem)
        # Before there are threads; workers of our own look for its resource tracker.
        self._start_fork_server()
        meanwhile()
        if self._remote is not None:
            self.backend = self._remote(self.group, self._started)
            self.backend.open()
            self.group.watch(self.backend, _BACKEND)
        self._start_host(resume=resume)

    def start_anew(self) -> None:
        """End host, routers and PEs, and start a host once more, and a fork server where that is gone."""
        self.backend.reset()
        self.group.drop([HOST])
        self._start_fork_server()
        self._start_host(resume=True)

    def complete(self, report: dict[str, Any], plan: Mapping[str, Any], start_s: float) -> dict[str, Any]:
        """Add to the report what only the owner of the processes knows."""
        processes = self.backend.process_count() + int(self.backend.remote)
        return complete_emulation(report, plan, processes=processes, start_s=start_s, pe_uss_bytes=self.backend.pe_uss_bytes())

    def end(self, patience_s: float) -> None:
        """End every process on every machine, after `patience_s` for those that are leaving, and wait until none is left."""
        try:
            self.backend.end(patience_s)
            for record in self.host.read(0.0) if self.backend.remote and self.host.is_open else ():
                if record["kind"] == "traffic":  # the host's last counts of its link
                    self.backend.note_host_traffic(record)
        finally:
            self.group.end(patience_s)
            if self.backend.content_folder is not None:
                shutil.rmtree(self.backend.content_folder, ignore_errors=True)

    def _start_fork_server(self) -> None:
        options = json.dumps(self._options.resolved())
        self.group.start_fork_server(f"host.workloads.{self._options.workload}.prepare", needed_members(self._options), options)

    def _start_host(self, *, resume: bool) -> None:
        self.host.start(self._options.resolved(), self._folder, self.backend.content_folder, resume=resume)
