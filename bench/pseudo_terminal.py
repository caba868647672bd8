"""A terminal of 200 x 60 that nobody looks at, for what the live monitor draws; a real terminal's own work comes on top."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from typing import TextIO

COLUMNS, ROWS = 200, 60


def _drain(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # the terminal is closed
        while os.read(descriptor, 1 << 16):
            pass


@contextlib.contextmanager
def terminal() -> Iterator[TextIO]:
    """Yield a stream to such a terminal."""
    keeper, ours = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    threading.Thread(target=_drain, args=(keeper,), daemon=True).start()
    os.environ["TERM"] = "xterm-256color"
    with os.fdopen(ours, "w", encoding="utf-8") as stream:
        yield stream
