"""The run as a person sees it: the floor plan of the chip, or of all chips, and the run's figures, drawn live, or as plain
progress lines.

Both take plain dicts from another process, in which any key may be missing: what is not known is shown as unknown, never
as zero. The live view stays on the screen when it closes; notes scroll past above it.

Not known here: processes, sockets, packets, networks, and where the figures come from. Nothing else imports `rich`. No
thread: the launcher has its own loop, and a late view is better than a late launcher.
"""

import atexit
import os
import sys
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import nlargest
from itertools import zip_longest
from time import monotonic, thread_time
from typing import Any, NamedTuple, Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.style import Style
from rich.text import Text

from host.show.mesh_view import EVENT_ROUTER, MARKS, STEPS, MeshPlan, Piece, pe_named
from host.show.plain_monitor import (
    FIGURES,
    PLAIN_INTERVAL_S,
    RISE,
    PlainMonitor,
    alarms,
    at,
    busy_links,
    clean,
    clock,
    encoding,
    figure,
    figures,
    gesture_of,
    hardware,
    machine_lines,
    number,
    percent,
    progress,
    sparkline,
)
from host.workloads.dvs.frame_glyphs import LEVELS, SHORTEST, bars, cells
from noc.chip import PES_PER_QPE, QPES, PeId

FRAME_INTERVAL_S = 0.25
CORE_SHARE = 0.03
"""The most of one core that drawing may take: where a frame costs more than 7.5 ms, frames become fewer."""

_Line = list[Segment]
_Wrong = dict[PeId | None, str]
_BOUNDS = tuple(STEPS.values())[1:]
# (block, text on it) per step: seen on dark and on light, distinct in 16 colours too, none near red: that means wrong.
_HUES = ((244, 231), (98, 231), (38, 16), (34, 16), (112, 16), (214, 16))
_HEAT = tuple(Style(color=f"color({hue})") for hue, _ in _HUES)
_ON_HEAT = [[Style(color=f"color({ink})", bgcolor=f"color({ground})") for ground, _ in _HUES] for ink, _ in _HUES]
_TILE = tuple(Style(color=f"color({ink})", bgcolor=f"color({hue})") for hue, ink in _HUES)
_DIM, _BOLD, _BLUE, _NOTE = _HEAT[0], Style(bold=True), _HEAT[2], Style(color="color(172)")
_PHASE = Style(reverse=True, bold=True)
_PLAIN, _TRUE, _ASTRAY = Style(), Style(color="color(34)", bold=True), _HEAT[5]  # a class, the true one, another that leads
_LIGHT = [[Style(color=f"color({ink})", bgcolor=f"color({ground})") for ground in LEVELS] for ink in LEVELS]
_FRAME, _BARS, _FIGURE_ROWS = 32, 22, 10  # columns of an event frame and of the classes beside it; rows of figures below
_RED, _FAULT = Style(color="red", bold=True), Style(color="color(231)", bgcolor="red", bold=True)
_REACH = " ▏▎▍▌▋▊▉█"
_BUSY = Style(color="color(172)", bold=True)
_LOOKS = {"plain": _PLAIN, "dim": _DIM, "bold": _BOLD, "fault": _FAULT, "link": _BLUE, "busy": _BUSY}


class Monitor(Protocol):
    """What shows a run while it goes on."""

    def update(self, status: dict[str, Any]) -> None:
        """Take the run's newest figures, and show them unless it showed some a moment ago."""

    def note(self, line: str) -> None:
        """Show `line` above the view, where it stays."""

    def close(self) -> None:
        """Show the last figures and hand the terminal back clean; a second call does nothing."""


def open_monitor(layout: dict[str, Any], live: bool, stream: TextIO | None = None) -> Monitor:
    """Return the live view if `live` is asked for and `stream` (default stdout) can show one, otherwise plain lines.

    `layout`: title, chip, note; `pes`, the PEs in use, each with name, layer ("a+b" if it has two) and sram (0..1);
    `layers`, each with name, units and pes; `chips`, each with number and position (x, y on the mesh), and `links` between
    them, each with name, ends (two chips' numbers) and cable (whether it leaves its board); unit, what is counted instead of
    tokens, and classes, where there are some.
    `status`, for `Monitor.update`: phase, ready, tick, tokens, tokens_total, tokens_per_s, perplexity, text, activity (0..1
    per layer), pe_activity (0..1 per PE, in the order of `pes`), links (events now, in the order of `links`),
    events_per_tick, packets_per_tick, sram_worst, elapsed_s, the names of the PEs and routers that are stalled and dead, problem,
    machines, where a run is on several (name, chips, pes, load in cores, sent_bytes, refused, heard_s, state), and
    gesture, the sample before an event camera: sample (its number), samples, name, label, frame (size * size bytes), scores,
    top (the score of a full bar) and accuracy.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if live and terminal and encoding(stream).lower().startswith("utf"):  # no other encoding has the blocks
        return _LiveMonitor(layout, stream)
    return PlainMonitor(layout, stream)


# ---- the frame


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
_PANEL = 42
"""The columns that the figures beside the floor plan need at least."""


def _share(label: str, share: float | None, width: int, style: Style | None = None) -> _Line:
    """Return a line with a share from 0 to 1 as a number and as a bar."""
    eighths = round(8 * min(max(share or 0.0, 0.0), 1.0) * max(min(width - 33, 50), 1))
    bar = "█" * (eighths // 8) + _REACH[eighths % 8]
    heat = _HEAT[bisect_right(_BOUNDS, share or 0.0)]
    return [Segment(f"{label:<24}"[:24]), Segment(f"{percent(share):>7}  ", _BOLD), Segment(bar, style or heat)]


def _block(words: Sequence[str], active: float, sram: float, wide: int) -> list[Segment]:
    """Return a block as high as `sram` and coloured by `active`, with a word on each row that has one."""
    heat, rows = bisect_right(_BOUNDS, active), []
    for above, word in zip(reversed(range(len(words))), words, strict=True):
        part = min(max(sram * len(words) - above, 0.0), 1.0)
        text = f"{word[:wide]:^{wide}}" if word else RISE[round(8 * part)] * wide
        rows.append(Segment(text, _TILE[heat] if word and part == 1 else _HEAT[heat]))
    return rows


def _wrapped(text: str, width: int, rows: int) -> list[_Line]:
    """Return the last `rows` lines of `text`, wrapped at words."""
    room = width * rows
    text = text[max(0, (len(text) // room - 1) * room) :]  # in whole steps, so that words stay put while the text grows
    width = width if cell_len(text) <= len(text) else max(width // 2, 1)  # for scripts with wide characters
    lines = [line for part in text.splitlines() for line in textwrap.wrap(clean(part), width)]
    return [[Segment(line)] for line in lines[-rows:]]


def _legend(width: int, several: bool) -> _Line:
    """Return what the plan's marks mean; `several` chips are drawn with their links, and without their PEs' SRAM."""
    steps = [part for name, heat in zip(STEPS, _HEAT, strict=True) for part in ((" ▇", heat), (name, _DIM))]
    marks = ("!", _FAULT), (" stall  ", _DIM), (MARKS["dead"], _FAULT), (" dead", _DIM)
    sram = "" if several else "  ▁█ SRAM"
    more = "    height of a block: SRAM in use; PEs 0 1 over 2 3 in QPE x,y; number: % active; L: layer" * (width >= 170)
    ends = [(more, _DIM)]
    if several and width >= 120:
        ends = [("  ─", _BLUE), (" link  ", _DIM), ("─", _BUSY), (" the busiest", _DIM)]
    parts = ("activity%", _DIM), *steps, (f"{sram}  ░ unknown  · unused  ", _DIM), *marks, *ends
    return [Segment(text, style) for text, style in parts]


def _styled(piece: Piece) -> Segment:
    """Return a piece of a plan in its colours."""
    text, look, ink, ground = piece
    if look == "heat":
        return Segment(text, _HEAT[ink] if ground < 0 else _ON_HEAT[ink][ground])
    if look == "tile":
        return Segment(text, _TILE[ground] if ground >= 0 else _DIM)
    return Segment(text, _LOOKS[look])


class _View:
    """Lays out a frame of any size; each PE's block is as high as its SRAM is full and coloured by its activity."""

    def __init__(self, layout: dict[str, Any]) -> None:
        self._layout = layout
        self._layers, self._pes = (list(layout.get(key) or ()) for key in ("layers", "pes"))
        tags = {str(layer.get("name")): f"L{place}" for place, layer in enumerate(self._layers, 1)}
        self._used: dict[PeId, tuple[int, float, str]] = {}  # PE: (its place, its SRAM, its layers)
        for index, pe in enumerate(self._pes):
            tag = "+".join(tags.get(name, clean(name)) for name in str(pe.get("layer") or "").split("+"))
            if site := pe_named(pe.get("name")):
                self._used[site] = index, 1.0 if pe.get("sram") is None else pe["sram"], tag
        self._chip = min((site.chip for site in self._used), default=0)  # where there is but one
        self._mesh = MeshPlan(layout)
        self._several = len(self._mesh.chips) > 1
        self._seconds: dict[int, dict[str, float | None]] = {}  # what the sparklines show

    def lines(self, status: dict[str, Any], width: int, height: int) -> list[_Line]:
        """Return at most `height` lines, each `width` wide."""
        self._seconds[int(number(status, "elapsed_s") or 0)] = {key: number(status, key) for key in FIGURES}
        rows = height - 5
        plan, left = self._drawn(status, width - _PANEL, rows)
        panel = self._panel(status, width - left, rows)[: max(rows, 0)]
        pairs = zip_longest(plan, panel, fillvalue=list[Segment]())
        body = [Segment.adjust_line_length(line, left) + beside for line, beside in pairs]
        foot = [_legend(width, self._several) if plan else [], [Segment(clean(self._layout.get("note")), _NOTE)]]
        lines = [*self._head(status, width), *body, *foot]
        return [Segment.adjust_line_length(line, width) for line in lines][: max(height, 0)]

    def _drawn(self, status: dict[str, Any], width: int, rows: int) -> tuple[list[_Line], int]:
        """Return the floor plan of the chip or of all chips and how wide it is; nothing without room."""
        if self._several:
            plan = self._mesh.draw(status, width, rows)
            if plan is None:
                return [], 0
            return [[_styled(piece) for piece in line] for line in plan.lines], plan.wide + 2
        scale = next((s for s in _SCALES if s.plan[0] <= width and s.plan[1] <= rows), None)
        return (self._plan(scale, status), scale.plan[0]) if scale else ([], 0)

    def _head(self, status: dict[str, Any], width: int) -> list[_Line]:
        title = clean(self._layout.get("title"))
        right = f"  {len(self._pes):,} PEs · {hardware(self._layout)} · {clock(number(status, 'elapsed_s') or 0)}"
        room = max(width - cell_len(right), 0)
        title = title if cell_len(title) <= room else set_cell_size(title, max(room - 1, 0)) + "…"
        done, words = progress(status, self._layout)
        phase = f" {clean(status.get('phase'))} "
        length = max(width - len(phase) - len(words) - 2, 0)
        bar = Segment("━" * int(done * length), _BLUE), Segment("─" * (length - int(done * length)), _DIM)
        wrong: _Line = []
        for badge, names in alarms(status, width):
            wrong += [Segment(f" {badge} ", _FAULT), Segment(f" {names}  ", _RED)]
        calm = " or ".join(kind for kind in MARKS if kind in status)
        return [
            [Segment(set_cell_size(title, room), _BOLD), Segment(right, _DIM)],
            [Segment(phase, _PHASE), Segment(" "), *bar, Segment(f" {words}")],
            wrong or [Segment(f"no PE{' or router' * self._several} is {calm}" if calm else "", _DIM)],
        ]

    def _plan(self, scale: _Scale, status: dict[str, Any]) -> list[_Line]:
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

    def _panel(self, status: dict[str, Any], width: int, rows: int) -> list[_Line]:
        lines = self._gesture(status, width, rows)
        rows, above = rows - len(lines), len(lines)
        seconds = list(self._seconds.values())[-max(width - 24, 1) :]
        for key, name, text in figures(status, self._layout):
            spark = "" if key == "tick" else sparkline([second.get(key) for second in seconds])
            lines.append([Segment(f"{name:<13}"), Segment(f"{text:>9}  ", _BOLD), Segment(spark, _BLUE)])
        busy = busy_links(status, self._layout) if self._several else []
        if self._several:
            load, name = (figure(busy[0].load), busy[0].name) if busy else ("?", "")
            lines.append([Segment(f"{'busiest link':<13}"), Segment(f"{load:>9}  ", _BOLD), Segment(name, _BUSY)])
        lines += [_share("fullest SRAM", number(status, "sram_worst"), width, _BLUE), []]
        machines = [[Segment(a, _LOOKS[b]), Segment(c, _LOOKS[d])] for a, c, b, d in machine_lines(status)]
        below = (13 if above == 0 else 7) + self._several + len(machines)  # a text wants rows there too
        shown = self._layers[: max(rows - below, 1)]
        rest = f"   {len(self._layers) - len(shown)} more" if len(shown) < len(self._layers) else ""
        lines.append([Segment(f"{'layer':<13}", _BOLD), Segment(f"units  PEs  active{rest}", _DIM)])
        for place, layer in enumerate(shown):
            name = set_cell_size(f"L{place + 1:<2} {clean(layer.get('name'))}", 13)
            label = f"{name}{layer.get('units', '?'):>5} {layer.get('pes', '?'):>4}"
            lines.append(_share(label, at(status.get("activity"), place), width))
        lines += machines
        if busy and rows > 24 + len(machines):
            lines += [[], [Segment("links       events now", _BOLD), Segment("  cable: leaves the board", _DIM)]]
            for link in busy[: 8 if rows > 40 else 4]:
                part = link.load / busy[0].load if busy[0].load else 0.0
                length = round(part * max(min(width - 33, 50), 1))
                label = f"{link.name:<9}{figure(link.load):>13}{'  cable' if link.cable else '':<9}"
                lines.append([Segment(label), Segment("█" * length, _BUSY if link is busy[0] else _BLUE)])
        if rows > 40 and (shares := status.get("pe_activity")):
            lines += [[], [Segment("busiest PEs", _BOLD)]]
            active = [(at(shares, place) or 0.0, pe) for place, pe in enumerate(self._pes)]
            for share, pe in nlargest(8, active, key=lambda pair: pair[0]):
                lines.append(_share(f"{clean(pe.get('name')):<13}{clean(pe.get('layer'))}", share, width))
        room = rows + above - len(lines) - 2
        if status.get("text") and room > 0:
            lines += [[], [Segment("text so far", _BOLD)], *_wrapped(str(status["text"]), width, room)]
        return lines

    def _gesture(self, status: dict[str, Any], width: int, rows: int) -> list[_Line]:
        """Return the event frame beside the classes and their scores, with a line above it and one below."""
        gesture, classes = gesture_of(status), list(self._layout.get("classes") or ())
        if not classes or rows < len(classes) + 2:
            return []
        # The whole frame where the figures below keep room, else every second pixel of it.
        whole = width >= _FRAME + _BARS and rows >= _FRAME // 2 + 2 + _FIGURE_ROWS
        picture = cells(gesture.get("frame"), gesture.get("size"), _FRAME if whole else _FRAME // 2)
        left = _FRAME if whole else _FRAME // 2
        room = min(max(width - left - 14, SHORTEST), 16)
        made = bars(
            classes, gesture.get("scores"), gesture.get("label"), gesture.get("top"), room, min(width - left - room - 4, 32)
        )
        head = f"sample {figure(number(gesture, 'sample'))} of {figure(number(gesture, 'samples'))}  "
        lines: list[_Line] = [[Segment(head, _BOLD), Segment(clean(gesture.get("name")), _DIM)]]
        for row in range(max(left // 2, len(classes))):
            frame = [Segment(cell.glyph, _LIGHT[cell.ink][cell.ground]) for cell in picture[row]] if row < len(picture) else []
            line = [*Segment.adjust_line_length(frame, left), Segment("  ")]
            if row < len(made):
                name, bar, true, leads = made[row]
                line += [Segment("▸" if true else " ", _TRUE), Segment(clean(name), _TRUE if true else _PLAIN), Segment(" ")]
                line.append(Segment(bar, (_TRUE if true else _ASTRAY) if leads else _BLUE))
            elif row == len(made) + 1:
                line.append(Segment("▸the true class", _DIM))
            lines.append(line)
        return [*lines, []]


# ---- the terminal


class _LiveMonitor:
    def __init__(self, layout: dict[str, Any], stream: TextIO) -> None:
        self._view = _View(layout)
        self._console = Console(file=stream, force_terminal=True, markup=False, highlight=False, emoji=False)
        self._status: dict[str, Any] = {"phase": "starting"}
        self._due, self._size = 0.0, self._console.size
        self._open, self._process = True, os.getpid()
        # Not on the alternate screen: what others write to the terminal, a process's last words, would vanish with it.
        here, too = stream is sys.stdout, sys.stderr.isatty()  # errors that go to a file stay there
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=here, redirect_stderr=too)
        atexit.register(self.close)
        self._live.start()

    def update(self, status: dict[str, Any]) -> None:
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
