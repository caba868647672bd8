"""The live view of a run: the floor plan of the chip, or of all chips, beside the run's figures.

Takes plain dicts (`host/show/status.py`) in which any key may be missing: what is not known is shown as unknown, never as
zero. The view stays on the screen when it closes; notes scroll past above it.

Nothing else imports `rich`. No thread: the launcher has its own loop, and a late view is better than a late launcher.
"""

import atexit
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import zip_longest
from time import monotonic, thread_time
from typing import Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.style import Style
from rich.text import Text

from host.show.floor_plan import FloorPlan
from host.show.mesh_view import MARKS, MeshView
from host.show.monitor_figures import RunFigures
from host.show.plain_monitor import PLAIN_INTERVAL_S, PlainMonitor, alarms, chip_words, hardware, progress
from host.show.status import Fields, number
from host.show.terminal_style import STEPS, Panel, Span, clean, clock, encoding
from models.palette import BRIGHTNESS, HEAT, LOOKS

FRAME_INTERVAL_S = 0.25
CORE_SHARE = 0.03
"""The most of one core that drawing may take: where a frame costs more than 7.5 ms, frames become fewer."""

_Line = list[Segment]
_STYLES = {look: Style.parse(definition) for look, definition in LOOKS.items()}
_HEAT = [Style(color=f"color({hue})") for hue, _ in HEAT]
_ON_HEAT = [[Style(color=f"color({ink})", bgcolor=f"color({ground})") for ground, _ in HEAT] for ink, _ in HEAT]
_TILE = [Style(color=f"color({ink})", bgcolor=f"color({hue})") for hue, ink in HEAT]
_LIGHT = [[Style(color=f"color({ink})", bgcolor=f"color({ground})") for ground in BRIGHTNESS] for ink in BRIGHTNESS]
_BOLD, _DIM, _ACCENT, _BUSY, _FAULT, _NOTE = (_STYLES[look] for look in ("bold", "dim", "accent", "busy", "fault", "note"))


class Monitor(Protocol):
    """What shows a run while it goes on."""

    def update(self, status: Fields) -> None:
        """Take the run's newest figures, and show them unless it showed some a moment ago."""

    def note(self, line: str) -> None:
        """Show `line` above the view, where it stays."""

    def close(self) -> None:
        """Show the last figures and hand the terminal back clean; a second call does nothing."""


def open_monitor(layout: Fields, live: bool, stream: TextIO | None = None, panel: Panel | None = None) -> Monitor:
    """Return the live view if `live` is asked for and `stream` (default stdout) can show one, otherwise plain lines.

    `layout`, and the status that the monitor is updated with, are those of `host/show/status.py`; `panel` is what the
    workload adds to the live view.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if live and terminal and encoding(stream).lower().startswith("utf"):  # no other encoding has the blocks
        return _LiveMonitor(layout, stream, panel)
    return PlainMonitor(layout, stream)


_BESIDE = 42  # columns that the figures beside the floor plan need at least


def _legend(width: int, several: bool) -> _Line:
    """Return what the plan's marks mean; `several` chips are drawn with their links, and without their PEs' SRAM."""
    steps = [part for name, heat in zip(STEPS, _HEAT, strict=True) for part in ((" ▇", heat), (name, _DIM))]
    marks = ("!", _FAULT), (" stall  ", _DIM), (MARKS["dead"], _FAULT), (" dead", _DIM)
    sram = "" if several else "  ▁█ SRAM"
    ends = [("  number: % active, L: layer" * (width >= 110) + "; PEs 0 1 over 2 3 in QPE x,y" * (width >= 150), _DIM)]
    if several and width >= 120:
        ends = [("  ─", _ACCENT), (" link  ", _DIM), ("─", _BUSY), (" the busiest", _DIM)]
    parts = ("activity%", _DIM), *steps, (f"{sram}  ░ unknown  · unused  ", _DIM), *marks, *ends
    return [Segment(text, style) for text, style in parts]


def _styled(span: Span) -> Segment:
    """Return a span in its colours."""
    text, look, ink, ground = span
    if look == "heat":
        return Segment(text, _HEAT[ink] if ground < 0 else _ON_HEAT[ink][ground])
    if look == "tile":
        return Segment(text, _TILE[ground] if ground >= 0 else _DIM)
    return Segment(text, _LIGHT[ink][ground] if look == "light" else _STYLES[look])


def _styled_lines(lines: Iterable[Iterable[Span]]) -> list[_Line]:
    return [[_styled(span) for span in line] for line in lines]


class _View:
    """Lays out a frame of any size: head, floor plan, figures beside it, legend."""

    def __init__(self, layout: Fields, panel: Panel | None) -> None:
        self._layout = layout
        self._pes = len(layout.get("pes") or ())
        self._mesh, self._floor_plan, self._figures = MeshView(layout), FloorPlan(layout), RunFigures(layout, panel)
        self._several = len(self._mesh.chips) > 1

    def lines(self, status: Fields, width: int, height: int) -> list[_Line]:
        """Return at most `height` lines, each `width` wide."""
        rows = height - 5
        plan, left = self._drawn(status, width - _BESIDE, rows)
        beside = _styled_lines(self._figures.lines(status, width - left, rows)[: max(rows, 0)])
        pairs = zip_longest(plan, beside, fillvalue=list[Segment]())
        body = [Segment.adjust_line_length(line, left) + figures for line, figures in pairs]
        foot = [_legend(width, self._several) if plan else [], [Segment(clean(self._layout.get("note")), _NOTE)]]
        lines = [*self._head(status, width), *body, *foot]
        return [Segment.adjust_line_length(line, width) for line in lines][: max(height, 0)]

    def _drawn(self, status: Fields, width: int, rows: int) -> tuple[list[_Line], int]:
        """Return the floor plan of the chip or of all chips and how wide it is; nothing without room."""
        if self._several:
            plan = self._mesh.draw(status, width, rows)
            return (_styled_lines(plan.lines), plan.wide + 2) if plan else ([], 0)
        lines, wide = self._floor_plan.draw(status, width, rows)
        return _styled_lines(lines), wide

    def _head(self, status: Fields, width: int) -> list[_Line]:
        title = clean(self._layout.get("title"))
        right = f"  {self._pes:,} PEs · {hardware(self._layout)} · {clock(number(status, 'elapsed_s') or 0)}"
        room = max(width - cell_len(right), 0)
        title = title if cell_len(title) <= room else set_cell_size(title, max(room - 1, 0)) + "…"
        done, words = progress(status, self._layout)
        phase = f" {clean(status.get('phase'))} "
        length = max(width - len(phase) - len(words) - 2, 0)
        line = Segment("━" * int(done * length), _ACCENT), Segment("─" * (length - int(done * length)), _DIM)
        wrong: _Line = []
        for badge, names in alarms(status, width):
            wrong += [Segment(f" {badge} ", _FAULT), Segment(f" {names}  ", _STYLES["alarm"])]
        calm = " or ".join(kind for kind in MARKS if kind in status)
        calm = f"no PE{' or router' * self._several} is {calm}" if calm else ""
        cost = chip_words(status, self._layout)
        gap = max(width - len(cost) - len(calm) - 1, 0)
        well = [Segment(cost, _ACCENT), Segment(" " * gap), Segment(calm if gap else "", _DIM)] if cost else [Segment(calm, _DIM)]
        return [
            [Segment(set_cell_size(title, room), _BOLD), Segment(right, _DIM)],
            [Segment(phase, _STYLES["phase"]), Segment(" "), *line, Segment(f" {words}")],
            wrong or well,
        ]


class _LiveMonitor:
    def __init__(self, layout: Fields, stream: TextIO, panel: Panel | None) -> None:
        self._view = _View(layout, panel)
        self._console = Console(file=stream, force_terminal=True, markup=False, highlight=False, emoji=False)
        self._status: Fields = {"phase": "starting"}
        self._due, self._size = 0.0, self._console.size
        self._open, self._process = True, os.getpid()
        # Not on the alternate screen: what others write to the terminal, a process's last words, would vanish with it.
        errors = sys.stderr.isatty()  # those that go to a file stay there
        out = stream is sys.stdout
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=out, redirect_stderr=errors)
        atexit.register(self.close)
        self._live.start()

    def update(self, status: Fields) -> None:
        self._status = status
        now = monotonic()
        if self._open and now >= self._due:
            cpu = thread_time()
            self._draw()
            # Where the machine is full, the wall clock says for how long the launcher was kept from its work.
            pause = max(FRAME_INTERVAL_S, (thread_time() - cpu) / CORE_SHARE, 4 * (monotonic() - now))
            self._due = now + min(pause, PLAIN_INTERVAL_S)

    def note(self, line: str) -> None:
        if self._open:
            self._guarded(lambda: self._console.print(Text(clean(line), _NOTE)))

    def close(self) -> None:
        if not self._open or os.getpid() != self._process:  # a forked process has no terminal to hand back
            return
        try:
            self._draw(refresh=False)  # stopping shows it
        finally:
            self._stop()

    def _draw(self, refresh: bool = True) -> None:
        size = self._console.size
        if size != self._size:
            self._guarded(self._console.clear)  # the last frame's lines are no longer where they were drawn
        self._size = size
        # One line less than there are: the cursor's line after the view must not push the title out of sight.
        lines = self._view.lines(self._status, size.width, size.height - 1)
        self._guarded(lambda: self._live.update(SegmentLines(lines, new_lines=True), refresh=refresh))

    def _guarded(self, show: Callable[[], None]) -> None:
        """Show something; a terminal that has gone away ends the view, not the run."""
        try:
            show()
        except (OSError, ValueError):
            self._stop()

    def _stop(self) -> None:
        self._open = False
        atexit.unregister(self.close)
        with suppress(OSError, ValueError):
            self._live.stop()
