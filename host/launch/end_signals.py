"""`EndSignals`: lets Ctrl-C, SIGTERM and SIGHUP end a run in order, and a second one at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any

from host.errors import Exit
from host.processes.fork_server_link import SIGNALS


class EndSignals:
    """Which signal has asked this process to end the run: `number`, 0 for none."""

    def __init__(self) -> None:
        self.number = 0

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note a signal in place of ending; the second raises KeyboardInterrupt."""

        def note(number: int, _: Any) -> None:
            if self.number:
                raise KeyboardInterrupt
            self.number = number

        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:  # as nohup has it for SIGHUP: what is ignored at the start stays so
                signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def ignore(self) -> None:
        """Ignore further ones: the run is being ended."""
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    @property
    def code(self) -> Exit:
        """The exit code of a run that was ended so."""
        codes = {signal.SIGTERM: Exit.TERMINATED, signal.SIGHUP: Exit.HUNG_UP}
        return codes.get(signal.Signals(self.number), Exit.INTERRUPTED) if self.number else Exit.INTERRUPTED
