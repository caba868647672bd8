"""What the launcher hears from the PE server (`host/processes/pe_server.py`) while that one forks: a process id for each PE."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from host.processes.pe_server import NUMBER_BYTES, PeCalls

_MOST_BYTES = 1 << 16


class PeStarts:
    """The PEs that a PE server is still to fork, by `names` in that order, and the pipe in which it says what it has done."""

    def __init__(self, pipe: Any, names: Iterable[str]) -> None:
        self.pipe, self._rest, self.names = pipe, b"", deque(names)
        self.worked_s = 0.0  # the server's processor time, when it was last looked at

    def take(self) -> Iterator[tuple[str, int]]:
        """Yield the name and process id of each PE of which something has come; none are left where the server has ended. OSError
        with what the system refused it.
        """
        try:
            more = os.read(self.pipe.fileno(), _MOST_BYTES)
        except ConnectionResetError:
            more = b""
        if not more:
            self.names.clear()
        self._rest += more
        whole = len(self._rest) // NUMBER_BYTES * NUMBER_BYTES
        numbers, self._rest = array("q", self._rest[:whole]), self._rest[whole:]
        for number in numbers:
            if number < 0:
                raise OSError(-number, os.strerror(-number))
            assert number, "no process has this number, and a signal to it would hit this one's whole group"
            yield self.names.popleft(), number

    def ask(self, pes: PeCalls, within_s: float) -> None:
        """Say which PEs are to be started, unless the server is gone. BlockingIOError where it does not hear it `within_s`."""
        with socket.socket(fileno=os.dup(self.pipe.fileno())) as end:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", int(within_s), int(within_s % 1 * 1e6)))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(pes)
