"""`Child`: a process that the fork server has made, seen through a descriptor of the process itself.

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


class Child:
    """A process by its name. `process`: as multiprocessing has it."""

    def __init__(self, name: str, process: Any) -> None:
        self.name, self._process = name, process
        self.pid: int = process.pid
        self._descriptor: int | None = None
        with contextlib.suppress(OSError):  # it has ended and been reaped, or the kernel is older than 5.3
            self._descriptor = os.pidfd_open(self.pid)

    def fileno(self) -> int:
        """Return what becomes readable when the process has ended."""
        return int(self._process.sentinel) if self._descriptor is None else self._descriptor

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Tell whether the process has ended, after waiting up to `within_s` for that."""
        look = select.poll()  # whose descriptors may have any number
        look.register(self, select.POLLIN)
        return bool(look.poll(1e3 * max(within_s, 0.0)))

    def exit_code(self, within_s: float) -> int | None:
        """Return the exit code, -n for signal n, as soon as that is known; None where it is not after `within_s`."""
        if self.has_ended(within_s):
            known = exit_code_of(self.pid)  # while the fork server has not reaped it, as where that is stopped
            if known is not None:
                return known
            self._process.join(within_s)
        code: int | None = self._process.exitcode
        return code

    def kill(self) -> None:
        """Kill the process, also where it is stopped."""
        with contextlib.suppress(OSError):
            if self._descriptor is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def release(self) -> None:
        """Give the descriptors back."""
        self._process._popen.close()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
