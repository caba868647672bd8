"""The host process's end of its pipe to the launcher: what `host/run/host_process.py` needs of it."""

from __future__ import annotations

from typing import Protocol


class Pipe(Protocol):
    """Records in both directions (`multiprocessing` lives in `host/processes/process_group.py` alone)."""

    def send_bytes(self, buf: bytes, /) -> None:
        """Send one record."""

    def recv_bytes(self) -> bytes:
        """Return the next record, waiting for it; EOFError where the launcher is gone."""

    def poll(self) -> bool:
        """Tell whether a record waits."""
