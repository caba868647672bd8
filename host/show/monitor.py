"""The live view of a run: the floor plan of the chip, or of all chips, beside the run's figures.

Takes plain dicts (`host/show/status.py`) in which any key may be missing: what is not known is shown as unknown, never as
zero. The view stays on the screen when it closes; notes scroll past above it.

Nothing else imports `rich`. No thread: the launcher has its own loop, and a late view is better than a late launcher.
"""

import atexit
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import zip_longest
from time import monotonic, thread_time
from typing import NamedTuple, Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.style import Style
from rich.text import Text

from host.show.mesh_view import EVENT_ROUTER, MARKS, MeshView, pe_named
from host.show.plain_monitor import PLAIN_INTERVAL_S, PlainMonitor, alarms, busy_links, hardware, machine_lines, progress, readings
from host.show.status import Fields, at, number
from host.show.terminal_style import (
    RISE,
    STEPS,
    Panel,
    Span,
    bar,
    clean,
    clock,
    encoding,
    figure,
    heat_step,
    percent,
    sparkline,
)
from models.palette import BRIGHTNESS, HEAT, LOOKS
from noc.chip import PES_PER_QPE, QPES, PeId

FRAME_INTERVAL_S = 0.25
CORE_SHARE = 0.03
"""The most of one core that drawing may take: where a frame costs more than 7.5 ms, frames become fewer."""

_Line = list[Segment]
_Wrong = dict[PeId | None, str]
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


class _Scale(NamedTuple):
    """How large a PE is drawn, in characters; a QPE shows its PEs 0 1 over 2 3."""

    wide: int
    high: int
    gap: int
    frame: int

    @property
    def qpe(self) -> tuple[int, int]:
        return 2 * self.wide + self.gap + 2 * self.frame, 2 * self.high + 2 * self.frame

    @property
    def plan(self) -> tuple[int, int]:
        return 3 + 7 * (self.qpe[0] + 1), 6 * (self.qpe[1] + 1)


_SCALES = (_Scale(6, 3, 1, 1), _Scale(4, 2, 0, 0), _Scale(2, 1, 0, 0))
_BESIDE = 42  # columns that the figures beside the floor plan need at least
_LABEL = 12  # characters of a figure's name
_PANEL_ROWS = 5  # kept free for a panel below the figures


def _share(label: str, share: float | None, width: int, style: Style | None = None) -> _Line:
    """Return a line with a share from 0 to 1 as a number and as a bar."""
    heat = style or _HEAT[heat_step(share or 0.0)]
    return [Segment(f"{label:<24}"[:24]), Segment(f"{percent(share):>7}  ", _BOLD), Segment(bar(share or 0.0, _room(width)), heat)]


def _room(width: int) -> int:
    """Return how long a bar may be beside its label and number."""
    return max(min(width - 33, 50), 1)


def _block(words: Sequence[str], active: float, sram: float, wide: int) -> list[Segment]:
    """Return a block as high as `sram` and coloured by `active`, with a word on each row that has one."""
    heat, rows = heat_step(active), []
    for above, word in zip(reversed(range(len(words))), words, strict=True):
        part = min(max(sram * len(words) - above, 0.0), 1.0)
        text = f"{word[:wide]:^{wide}}" if word else RISE[round(8 * part)] * wide
        rows.append(Segment(text, _TILE[heat] if word and part == 1 else _HEAT[heat]))
    return rows


def _legend(width: int, several: bool) -> _Line:
    """Return what the plan's marks mean; `several` chips are drawn with their links, and without their PEs' SRAM."""
    steps = [part for name, heat in zip(STEPS, _HEAT, strict=True) for part in ((" ▇", heat), (name, _DIM))]
    marks = ("!", _FAULT), (" stall  ", _DIM), (MARKS["dead"], _FAULT), (" dead", _DIM)
    sram = "" if several else "  ▁█ SRAM"
    more = "    height of a block: SRAM in use; PEs 0 1 over 2 3 in QPE x,y; number: % active; L: layer" * (width >= 170)
    ends = [(more, _DIM)]
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
    """Lays out a frame of any size; each PE's block is as high as its SRAM is full and coloured by its activity."""

    def __init__(self, layout: Fields, panel: Panel | None) -> None:
        self._layout, self._panel = layout, panel
        self._layers, self._pes = (list(layout.get(key) or ()) for key in ("layers", "pes"))
        tags = {str(layer.get("name")): f"L{place}" for place, layer in enumerate(self._layers, 1)}
        self._used: dict[PeId, tuple[int, float, str]] = {}  # PE: (its place, its SRAM, its layers)
        for index, pe in enumerate(self._pes):
            tag = "+".join(tags.get(name, clean(name)) for name in str(pe.get("layer") or "").split("+"))
            if site := pe_named(pe.get("name")):
                self._used[site] = index, 1.0 if pe.get("sram") is None else pe["sram"], tag
        self._chip = min((site.chip for site in self._used), default=0)  # where there is but one
        self._mesh = MeshView(layout)
        self._several = len(self._mesh.chips) > 1
        self._seconds: dict[int, dict[str, float | None]] = {}  # elapsed second -> figures, for the sparklines

    def lines(self, status: Fields, width: int, height: int) -> list[_Line]:
        """Return at most `height` lines, each `width` wide."""
        rows = height - 5
        plan, left = self._drawn(status, width - _BESIDE, rows)
        beside = self._figures(status, width - left, rows)[: max(rows, 0)]
        pairs = zip_longest(plan, beside, fillvalue=list[Segment]())
        body = [Segment.adjust_line_length(line, left) + figures for line, figures in pairs]
        foot = [_legend(width, self._several) if plan else [], [Segment(clean(self._layout.get("note")), _NOTE)]]
        lines = [*self._head(status, width), *body, *foot]
        return [Segment.adjust_line_length(line, width) for line in lines][: max(height, 0)]

    def _drawn(self, status: Fields, width: int, rows: int) -> tuple[list[_Line], int]:
        """Return the floor plan of the chip or of all chips and how wide it is; nothing without room."""
        if self._several:
            plan = self._mesh.draw(status, width, rows)
            if plan is None:
                return [], 0
            return _styled_lines(plan.lines), plan.wide + 2
        scale = next((s for s in _SCALES if s.plan[0] <= width and s.plan[1] <= rows), None)
        return (self._plan(scale, status), scale.plan[0]) if scale else ([], 0)

    def _head(self, status: Fields, width: int) -> list[_Line]:
        title = clean(self._layout.get("title"))
        right = f"  {len(self._pes):,} PEs · {hardware(self._layout)} · {clock(number(status, 'elapsed_s') or 0)}"
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
        return [
            [Segment(set_cell_size(title, room), _BOLD), Segment(right, _DIM)],
            [Segment(phase, _STYLES["phase"]), Segment(" "), *line, Segment(f" {words}")],
            wrong or [Segment(f"no PE{' or router' * self._several} is {calm}" if calm else "", _DIM)],
        ]

    def _plan(self, scale: _Scale, status: Fields) -> list[_Line]:
        """Return the floor plan with row y = 1 on top."""
        wrong = {pe_named(name): word for word in ("stalled", "dead") for name in status.get(word) or ()}
        lines: list[_Line] = [[Segment("  " + "".join(f"{x:^{scale.qpe[0]}} " for x in range(1, 8)), _DIM)]]
        for y in range(1, 7):
            qpes = [self._qpe(x, y, scale, status.get("pe_activity"), wrong) for x in range(1, 8)]
            for row in range(scale.qpe[1]):
                axis = Segment(f"{y if row == scale.qpe[1] // 2 - 1 else ' '} ", _DIM)
                lines.append([axis, *(part for qpe in qpes for part in (*qpe[row], Segment(" ")))])
            lines.append([])
        return lines[:-1]

    def _qpe(self, x: int, y: int, scale: _Scale, activity: Sequence[float] | None, wrong: _Wrong) -> list[_Line]:
        wide, high = scale.qpe
        if (x, y) not in QPES:
            word = ("event router" if wide > 14 else "ER") if (x, y) in EVENT_ROUTER else ""
            fill = "╱" if word else " "  # noqa: RUF001 - a hatch
            return [[Segment(f"{word if row == high // 2 else '':{fill}^{wide}}", _DIM)] for row in range(high)]
        pes = [self._pe(PeId(self._chip, x, y, p), scale, activity, wrong) for p in range(PES_PER_QPE)]
        pairs = [*zip(pes[0], pes[1], strict=True), *zip(pes[2], pes[3], strict=True)]
        side, gap = Segment("│" * scale.frame, _DIM), Segment(" " * scale.gap)
        rows = [[side, left, gap, right, side] for left, right in pairs]
        edges = [Segment(f"╭{f' {x},{y} ':─^{wide - 2}}╮", _DIM)], [Segment(f"╰{'─' * (wide - 2)}╯", _DIM)]
        return [edges[0], *rows, edges[1]] if scale.frame else rows

    def _pe(self, pe: PeId, scale: _Scale, activity: Sequence[float] | None, wrong: _Wrong) -> list[Segment]:
        """Return a PE's rows; the upper ones are only block, the others carry its activity and layer."""
        wide, high = scale.wide, scale.high
        index, sram, tag = self._used.get(pe, (-1, 0.0, ""))
        active = at(activity, index) if pe in self._used else None
        if pe in wrong:
            mark, fill, style = wrong[pe].upper()[:5] if wide > 4 else "", MARKS[wrong[pe]], _FAULT
        elif active is not None:
            return _block(("", percent(active)[:-2], tag)[:high], active, sram, wide)
        else:
            mark, fill, style = (tag if high > 1 else "", "░", _DIM) if pe in self._used else ("·", " ", _DIM)
        return [Segment(f"{mark[:wide] if row == high // 2 else '':{fill}^{wide}}", style) for row in range(high)]

    def _figures(self, status: Fields, width: int, rows: int) -> list[_Line]:
        """Return what stands beside the floor plan: figures, layers, machines, links, PEs, and the workload's panel."""
        lines = self._panel_lines(status, width, rows, above=True)
        rows, taken = rows - len(lines), len(lines)
        lines += self._readings(status, width, tick=not taken)
        busy = busy_links(status, self._layout) if self._several else []
        if self._several:
            load, name = (figure(busy[0].load), busy[0].name) if busy else ("?", "")
            lines.append([Segment(f"{'busiest link':<13}"), Segment(f"{load:>9}  ", _BOLD), Segment(name, _BUSY)])
        lines += [_share("fullest SRAM", number(status, "sram_worst"), width, _ACCENT), []]
        machines = _styled_lines(machine_lines(status))
        others = len(lines) - taken + 1 + len(machines) + (_PANEL_ROWS if self._panel and not self._panel.above else 0)
        layers = self._layers[: max(rows - others, 1)]
        rest = f"   {len(self._layers) - len(layers)} more" if len(layers) < len(self._layers) else ""
        lines.append([Segment(f"{'layer':<13}", _BOLD), Segment(f"units  PEs  active{rest}", _DIM)])
        for place, layer in enumerate(layers):
            name = set_cell_size(f"L{place + 1:<2} {clean(layer.get('name'))}", 13)
            label = f"{name}{layer.get('units', '?'):>5} {layer.get('pes', '?'):>4}"
            lines.append(_share(label, at(status.get("activity"), place), width))
        lines += machines
        if busy and rows > 24 + len(machines):
            lines += [[], [Segment("links       events now", _BOLD), Segment("  cable: leaves the board", _DIM)]]
            for link in busy[: 8 if rows > 40 else 4]:
                part = link.load / busy[0].load if busy[0].load else 0.0
                label = f"{link.name:<9}{figure(link.load):>13}{'  cable' if link.cable else '':<9}"
                length = round(part * _room(width))
                lines.append([Segment(label), Segment("█" * length, _BUSY if link is busy[0] else _ACCENT)])
        if rows > 40 and (shares := status.get("pe_activity")):
            lines += [[], [Segment("busiest PEs", _BOLD)]]
            active = [(at(shares, place) or 0.0, pe) for place, pe in enumerate(self._pes)]
            for share, pe in nlargest(8, active, key=lambda pair: pair[0]):
                lines.append(_share(f"{clean(pe.get('name')):<13}{clean(pe.get('layer'))}", share, width))
        return lines + self._panel_lines(status, width, rows + taken - len(lines), above=False)

    def _readings(self, status: Fields, width: int, tick: bool) -> list[_Line]:
        """Return a line for each of the run's figures, with its course; `tick`: there is room for the tick too."""
        figures = readings(status, self._layout)
        self._seconds[int(number(status, "elapsed_s") or 0)] = {name: value for name, value, _ in figures}
        seconds = list(self._seconds.values())[-max(width - 24, 1) :]
        lines = []
        for name, _, text in figures[: None if tick else -1]:
            course = "" if name == "tick" else sparkline([second.get(name) for second in seconds])
            label = name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"
            lines.append([Segment(f"{label:<13}"), Segment(f"{text:>9}  ", _BOLD), Segment(course, _ACCENT)])
        return lines

    def _panel_lines(self, status: Fields, width: int, rows: int, above: bool) -> list[_Line]:
        """Return the workload's panel if it stands above (or below) the figures, and an empty line between them."""
        panel = self._panel
        if panel is None or panel.above != above or rows < 2:
            return []
        values = (record.get("shown") for record in (self._layout, status))
        layout_shown, shown = (value if isinstance(value, dict) else {} for value in values)
        lines = panel.lines(layout_shown, shown, width, rows - 1)[: rows - 1]
        styled = _styled_lines([span._replace(text=clean(span.text)) for span in line] for line in lines)
        return ([*styled, []] if above else [[], *styled]) if styled else []


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
