"""`Child`: a process of a run, seen through a descriptor of the process itself.

So its end is noticed whatever has become of the fork server, and a signal never hits another process of the same number.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from typing import Any

from host.processes.kernel_view import exit_code_of

UNKNOWN_CODE = 255  # multiprocessing's word for the end of a process whose fork server is gone


def has_descriptors() -> bool:
    """Tell whether the system has descriptors of processes: Linux does since 5.3, where nothing forbids it."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


class Child:
    """A process by its name. `process`: as multiprocessing has one that the fork server has made; None for one that the PE server
    has, which needs descriptors of processes: OSError where there is none to be had.
    """

    def __init__(self, name: str, pid: int, process: Any = None) -> None:
        self.name, self.pid, self._process = name, pid, process
        self._descriptor: int | None = None
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError as error:  # it has ended and been reaped, or there are none
            if process is None and not isinstance(error, ProcessLookupError):
                raise

    @property
    def is_of_pe_server(self) -> bool:
        """Whether the PE server has made the process, with which it ends."""
        return self._process is None

    def fileno(self) -> int:
        """Return what becomes readable when the process has ended."""
        return int(self._process.sentinel) if self._descriptor is None else self._descriptor

    @property
    def is_gone(self) -> bool:
        """Whether it had ended before it was looked at, with who made it: nobody else lets it go. Its number may be another's."""
        return self._descriptor is None and self._process is None

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Tell whether the process has ended, after waiting up to `within_s` for that."""
        if self.is_gone:
            return True
        look = select.poll()  # whose descriptors may have any number
        look.register(self, select.POLLIN)
        return bool(look.poll(1e3 * max(within_s, 0.0)))

    def exit_code(self, within_s: float) -> int | None:
        """Return the exit code, -n for signal n, as soon as that is known; None where it is not after `within_s`."""
        if self.is_gone:
            return UNKNOWN_CODE
        if self.has_ended(within_s):
            known = exit_code_of(self.pid)  # while nobody has reaped it: the PE server never does, the fork server may be stopped
            if known is not None:
                return known
            if self._process is None:
                return UNKNOWN_CODE
            self._process.join(within_s)
        code: int | None = self._process.exitcode if self._process is not None else None
        return code

    def kill(self) -> None:
        """Kill the process, also where it is stopped."""
        with contextlib.suppress(OSError):
            if self.is_gone:
                return
            if self._descriptor is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def release(self) -> None:
        """Give the descriptors back."""
        if self._process is not None:
            self._process._popen.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
