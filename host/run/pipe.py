"""`Pipe`: the host process's way to the launcher, which takes and gives small records."""

from __future__ import annotations

from typing import Any, Protocol

from noc.wire import pack_status


class Pipe(Protocol):
    """The host process's end of its pipe to the launcher (`multiprocessing` lives in one file of `host/processes/`)."""

    def send_bytes(self, raw: bytes, /) -> None:
        """Send one record."""

    def recv_bytes(self) -> bytes:
        """Return the next record, waiting for it; EOFError where the launcher is gone."""

    def poll(self) -> bool:
        """Tell whether a record waits."""


def send_record(pipe: Pipe, kind: str, **record: Any) -> None:
    """Send one record of a kind."""
    pipe.send_bytes(pack_status({"kind": kind, **record}))
