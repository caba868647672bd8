"""Ctrl-C while training: noted, so that an iteration is finished and its state stored whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupt_noted() -> Iterator[list[int]]:
    """Note a first SIGINT instead of raising in the middle of a step, which could not be stored whole; a second raises."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    before = signal.getsignal(signal.SIGINT) or signal.default_int_handler

    def note(number: int, frame: object) -> None:  # noqa: ARG001 - a handler's signature
        noted.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, before)
