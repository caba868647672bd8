"""`HostLink`: the launcher's end of the pipe to the host process, over one host process after another."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from host.processes.process_group import ProcessGroup
from host.run.clock import SYSTEM_CLOCK, Clock
from noc.packet import HOST
from noc.wire import pack_status, unpack_status

_GONE_S = 0.1  # for a host that is gone to be noticed by its descriptor
_PIPE = "pipe"  # the name under which the process group watches it


class HostLink:
    """Starts the host process and speaks to it. `heard_at`: when it last said something."""

    def __init__(self, processes: ProcessGroup, clock: Clock = SYSTEM_CLOCK) -> None:
        self._processes, self._clock = processes, clock
        self._pipe: Any = None
        self.heard_at = self._clock.now()

    def start(self, options: dict[str, Any], folder: Path | None, content_folder: Path | None, *, resume: bool) -> None:
        """Start the host process, after the one before has ended; `resume`: it goes on from the journal in `folder`."""
        from host.processes.child_main import run_host

        if self._pipe is not None:
            self._processes.close_pipe(self._pipe)
        self._pipe, child_end = self._processes.open_pipe(_PIPE)
        folders = [str(path) if path else None for path in (folder, content_folder)]
        try:
            self._processes.start(HOST, run_host, child_end, options, *folders, resume)
        finally:
            child_end.close()
        self.heard_at = self._clock.now()  # the fork server may have compiled for minutes

    @property
    def is_open(self) -> bool:
        """Whether a host process has been started."""
        return self._pipe is not None

    def send(self, kind: str, **record: Any) -> None:
        """Send a record; a host that is gone is noticed by its descriptor."""
        with contextlib.suppress(OSError):
            self._pipe.send_bytes(pack_status({"kind": kind, **record}))

    def read(self, timeout_s: float) -> list[dict[str, Any]]:
        """Return the host's records, after waiting for them, an end of a process, records of the backend, or `timeout_s`."""
        if _PIPE not in self._processes.poll(timeout_s):
            return []
        records = []
        self.heard_at = self._clock.now()
        try:
            while self._pipe.poll():
                records.append(unpack_status(self._pipe.recv_bytes()))
        except (EOFError, OSError):
            self._clock.sleep(_GONE_S)
        return records
