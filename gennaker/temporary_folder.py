"""`TemporaryFolder`: a private folder that goes with the object that has it, or with the program, however that ends."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import tempfile
import weakref
from pathlib import Path

from gennaker.errors import WrongInput
from host.processes.kernel_view import is_stopped

_SHELL = "/bin/sh"
# Each line is a folder. Where lines end, the program has.
_CODE = 'cd /; trap "" INT TERM HUP; while IFS= read -r name; do set -- "$@" "$name"; done; rm -rf -- "$@"'


class TemporaryFolder:
    """A folder in TMPDIR; WrongInput, one line, where none can be made."""

    def __init__(self, purpose: str) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix=f"gennaker-{purpose}-"))
        except OSError as error:
            raise WrongInput(f"TMPDIR {tempfile.gettempdir()}: no folder can be made there ({error.strerror})") from None
        remover = _remover()
        remover.add(self.path)
        self.remove = weakref.finalize(self, _remove, str(self.path), remover)


def _remove(path: str, remover: _Remover) -> None:
    shutil.rmtree(path, ignore_errors=True)
    remover.forget()


class _Remover:
    """A process that removes the program's folders where the program is killed: a shell that waits for the end of a pipe.

    It is there as long as there are folders.
    """

    def __init__(self) -> None:
        self.program = os.getpid()
        self._count, self._pid = 0, 0
        reading, self._writing = os.pipe()
        devnull = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
        # A session of its own: what ends a terminal's programs does not end this one. Without a shell nothing is removed.
        with contextlib.suppress(OSError):
            self._pid = os.posix_spawn(
                _SHELL, [_SHELL, "-c", _CODE, "gennaker-remover"], {"PATH": os.environ.get("PATH", os.defpath)}, setsid=True,
                file_actions=[(os.POSIX_SPAWN_DUP2, reading, 0), *devnull],
            )  # fmt: skip
        os.close(reading)
        atexit.register(self._wake)

    def add(self, path: Path) -> None:
        """Remove `path`, too."""
        self._count += 1
        self._write(os.fsencode(path))

    def forget(self) -> None:
        """Note that a folder has been removed; end with the last one."""
        self._count -= 1
        if not self._count and os.getpid() == self.program:
            _removers.clear()
            atexit.unregister(self._wake)
            os.close(self._writing)
            if self._pid:
                with contextlib.suppress(OSError):
                    os.kill(self._pid, signal.SIGKILL)
                    os.waitpid(self._pid, 0)

    def _write(self, line: bytes) -> None:
        if self._pid and os.getpid() == self.program and b"\n" not in line:
            with contextlib.suppress(OSError):  # it was killed
                os.write(self._writing, line + b"\n")

    def _wake(self) -> None:
        """Let it leave with this program where it was stopped."""
        if os.getpid() == self.program and self._pid and is_stopped(self._pid):
            os.kill(self._pid, signal.SIGCONT)


_removers: list[_Remover] = []


def _remover() -> _Remover:
    if not _removers or _removers[0].program != os.getpid():  # a copy of a program has its own
        _removers[:] = [_Remover()]
    return _removers[0]
