"""How far a run is, shown while it goes on: in a notebook's cell, or on one line of a terminal."""

from __future__ import annotations

import importlib
import sys
import time
from html import escape
from typing import Any

_EVERY_S = 0.2
_WIDTH = 30


class Progress:
    """A bar on its way from 0 to all positions; nothing is shown where nobody looks (`shown` None), or where it is False."""

    def __init__(self, title: str, shown: bool | None) -> None:
        self._title, self._next, self._line = title, 0.0, ""
        notebook = _in_notebook() if shown is not False else False
        self._terminal = not notebook and (shown is True or (shown is None and _is_terminal()))
        self._handle: Any = None
        self._html: Any = None
        if notebook:
            display = importlib.import_module("IPython.display")
            self._html = display.HTML
            self._handle = display.display(display.HTML(self._bar(0, 0, "starting")), display_id=True)
        self._show(0, 0, "starting; kernels are compiled before a first run")

    def update(self, status: dict[str, Any]) -> None:
        """Show a status of the run (`host/run/host_process.py`)."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY_S
        phase = status.get("phase", "")
        text = f"{status.get('per_s', 0.0):,.0f} a second" if phase == "running" else phase
        self._show(status.get("done", 0), status.get("total", 0), text)

    def close(self, text: str = "") -> None:
        """Leave the last word in a notebook, and clear the line of a terminal."""
        if self._handle is not None:
            self._handle.update(self._html(self._bar(1, 1, text) if text else ""))
        elif self._terminal:
            print("\r" + " " * len(self._line) + "\r", end="", file=sys.stderr, flush=True)

    def _show(self, done: int, total: int, text: str) -> None:
        if self._handle is not None:
            self._handle.update(self._html(self._bar(done, total, text)))
        elif self._terminal:
            full = _WIDTH * done // total if total else 0
            line = f"{self._title} [{'#' * full:<{_WIDTH}}] {done:,} of {total:,}, {text}"
            print("\r" + line.ljust(len(self._line)), end="", file=sys.stderr, flush=True)
            self._line = line

    def _bar(self, done: int, total: int, text: str) -> str:
        bar = f"<progress value='{done}' max='{max(total, 1)}'></progress>"
        return (
            f"{escape(self._title)} {bar} {done:,} of {total:,} {escape(text)}"
            if total > 1
            else f"{escape(self._title)} {escape(text)}"
        )


def _in_notebook() -> bool:
    """Tell whether this process is a notebook's kernel, without loading anything."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and type(shell).__name__ == "ZMQInteractiveShell"


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
