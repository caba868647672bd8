"""The run as a person sees it: the chip's floor plan and the run's figures, drawn live, or as plain progress lines.

Both take plain dicts from another process, in which any key may be missing: what is not known is shown as unknown, never
as zero. The live view stays on the screen when it closes; notes scroll past above it.

Not known here: processes, sockets, packets, networks, and where the figures come from. Nothing else imports `rich`. No
thread: the launcher has its own loop, and a late view is better than a late launcher.
"""

import atexit
import io
import math
import os
import sys
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from time import monotonic, thread_time
from typing import Any, NamedTuple, Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.live import Live
from rich.segment import Segment, SegmentLines
from rich.style import Style
from rich.text import Text

from noc.chip import PES_PER_QPE, QPES, ChipError, PeId, parse_pe

PLAIN_INTERVAL_S = 2.0
FRAME_INTERVAL_S = 0.25
CORE_SHARE = 0.03
"""The most of one core that drawing may take: where a frame costs more than 7.5 ms, frames become fewer."""

_Line = list[Segment]
_Wrong = dict[PeId | None, str]
_FIGURES = ("tokens_per_s", "perplexity", "events_per_tick", "packets_per_tick", "tick")  # shown as tokens/s and so on
_EVENT_ROUTER = ((4, 3), (4, 4))  # of the four holes only these two; the other two lie at the die's edge
_STEPS = {"0": 0.0, ">0": 1e-9, "5": 0.05, "10": 0.10, "20": 0.20, "40": 0.40}  # fine at the low end: activity is sparse
_BOUNDS = tuple(_STEPS.values())[1:]
# (block, text on it) per step: seen on dark and on light, distinct in 16 colours too, none near red: that means wrong.
_HUES = ((244, 231), (98, 231), (38, 16), (34, 16), (112, 16), (214, 16))
_HEAT = tuple(Style(color=f"color({hue})") for hue, _ in _HUES)
_TILE = tuple(Style(color=f"color({ink})", bgcolor=f"color({hue})") for hue, ink in _HUES)
_DIM, _BOLD, _BLUE, _NOTE = _HEAT[0], Style(bold=True), _HEAT[2], Style(color="color(172)")
_PHASE = Style(reverse=True, bold=True)
_RED, _FAULT = Style(color="red", bold=True), Style(color="color(231)", bgcolor="red", bold=True)
_MARKS = {"stalled": "!", "dead": "×"}  # noqa: RUF001 - a cross
_RISE, _REACH = " ▁▂▃▄▅▆▇█", " ▏▎▍▌▋▊▉█"


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
    `layers`, each with name, units and pes. `status`, for `Monitor.update`: phase, ready, tick, tokens, tokens_total,
    tokens_per_s, perplexity, text, activity (0..1 per layer), pe_activity (0..1 per PE, in the order of `pes`),
    events_per_tick, packets_per_tick, sram_worst, elapsed_s, and the names of the PEs that are stalled and dead.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if live and terminal and _encoding(stream).lower().startswith("utf"):  # no other encoding has the blocks
        return _LiveMonitor(layout, stream)
    return _PlainMonitor(layout, stream)


# ---- what both say


def _encoding(stream: TextIO) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


def _finite(value: Any) -> float | None:
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _number(status: dict[str, Any], key: str) -> float | None:
    return _finite(status.get(key))


def _at(values: Sequence[Any] | None, index: int) -> float | None:
    return _finite(values[index]) if values and index < len(values) else None


def _figure(value: float | None) -> str:
    if value is None or abs(value) >= 1e8:  # as wide as a column is
        return "?" if value is None else f"{value:.2e}"
    return f"{value:,.{0 if abs(value) >= 100 or value % 1 == 0 else 1}f}"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def _clean(text: Any) -> str:
    """Return `text` as one line without what would start an escape sequence."""
    return "".join(char if char.isprintable() else " " for char in str(text or ""))


def _pe_id(name: Any) -> PeId | None:
    try:
        return parse_pe(str(name))
    except ChipError:
        return None


def _progress(status: dict[str, Any], pes: int) -> tuple[float, str]:
    """Return how far the phase is, from 0 to 1, and the same in words."""
    if status.get("phase") in ("starting", "loading"):
        done, total, unit = _number(status, "ready"), _finite(pes), "PEs ready"
    else:
        done, total, unit = _number(status, "tokens"), _number(status, "tokens_total"), "tokens"
    words, rate = f"{_figure(done)} of {_figure(total)} {unit}", _number(status, "tokens_per_s")
    if status.get("phase") == "running" and rate and done is not None and total:
        words += f", {_clock((total - done) / rate)} left"
    return min((done or 0.0) / total, 1.0) if total else 0.0, words


def _alarms(status: dict[str, Any], room: int) -> Iterator[tuple[str, str]]:
    """Yield ("2 dead", names) and the like, with as many names as fit into `room` together."""
    kinds = {kind: [_clean(name) for name in status[kind]] for kind in ("dead", "stalled") if status.get(kind)}
    for kind, names in kinds.items():
        spare = room // len(kinds) - len(f" {len(names)} {kind}    and {len(names)} more")
        shown = next((n for n in range(len(names), 1, -1) if len(", ".join(names[:n])) <= spare), 1)
        rest = f" and {len(names) - shown} more" if shown < len(names) else ""
        yield f"{len(names)} {kind}", ", ".join(names[:shown]) + rest


class _PlainMonitor:
    def __init__(self, layout: dict[str, Any], stream: TextIO) -> None:
        self._layout, self._stream = layout, stream
        self._pes = len(layout.get("pes") or ())
        self._status: dict[str, Any] = {}
        self._unshown, self._phase, self._due = False, None, 0.0
        self.note("; ".join(str(layout[key]) for key in ("title", "chip", "note") if layout.get(key)))

    def update(self, status: dict[str, Any]) -> None:
        self._status, self._unshown = status, True
        if monotonic() >= self._due or status.get("phase") != self._phase:
            self._show()

    def note(self, line: str) -> None:
        text = _clean(line).encode(_encoding(self._stream), "replace").decode(_encoding(self._stream))
        try:
            print(text, file=self._stream, flush=True)
        except (OSError, ValueError):  # nobody reads any more, and the run goes on
            self._stream = io.StringIO()

    def close(self) -> None:
        if self._unshown:
            self._show()

    def _show(self) -> None:
        status, layers = self._status, self._layout.get("layers") or ()
        self._unshown, self._phase, self._due = False, status.get("phase"), monotonic() + PLAIN_INTERVAL_S
        parts = [_progress(status, self._pes)[1]]
        known = [(key.replace("_per_", "/"), value) for key in _FIGURES if (value := _number(status, key)) is not None]
        parts += [f"{name} {_figure(value)}" for name, value in known]
        shares = [(_clean(layer.get("name")), _at(status.get("activity"), place)) for place, layer in enumerate(layers)]
        parts += [f"{name} {_percent(share)} active" for name, share in shares if share is not None]
        parts += [f"{badge.upper()}: {names}" for badge, names in _alarms(status, 60)]
        self.note(f"{_clock(_number(status, 'elapsed_s') or 0)} {status.get('phase', 'running')}: {'; '.join(parts)}")


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
    return [Segment(f"{label:<24}"[:24]), Segment(f"{_percent(share):>7}  ", _BOLD), Segment(bar, style or heat)]


def _block(words: Sequence[str], active: float, sram: float, wide: int) -> list[Segment]:
    """Return a block as high as `sram` and coloured by `active`, with a word on each row that has one."""
    heat, rows = bisect_right(_BOUNDS, active), []
    for above, word in zip(reversed(range(len(words))), words, strict=True):
        part = min(max(sram * len(words) - above, 0.0), 1.0)
        text = f"{word[:wide]:^{wide}}" if word else _RISE[round(8 * part)] * wide
        rows.append(Segment(text, _TILE[heat] if word and part == 1 else _HEAT[heat]))
    return rows


def _sparkline(values: Sequence[float | None]) -> str:
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None or top <= 0 else _RISE[1 + int(7 * max(value, 0.0) / top)] for value in values)


def _wrapped(text: str, width: int, rows: int) -> list[_Line]:
    """Return the last `rows` lines of `text`, wrapped at words."""
    room = width * rows
    text = text[max(0, (len(text) // room - 1) * room) :]  # in whole steps, so that words stay put while the text grows
    width = width if cell_len(text) <= len(text) else width // 2  # for scripts with wide characters
    lines = [line for part in text.splitlines() for line in textwrap.wrap(_clean(part), width)]
    return [[Segment(line)] for line in lines[-rows:]]


def _legend(width: int) -> _Line:
    steps = [part for name, heat in zip(_STEPS, _HEAT, strict=True) for part in ((" ▇", heat), (name, _DIM))]
    marks = ("!", _FAULT), (" stall  ", _DIM), (_MARKS["dead"], _FAULT), (" dead", _DIM)
    more = "    height of a block: SRAM in use; PEs 0 1 over 2 3 in QPE x,y; number: % active; L: layer" * (width >= 170)
    parts = ("activity%", _DIM), *steps, ("  ▁█ SRAM  ░ unknown  · unused  ", _DIM), *marks, (more, _DIM)
    return [Segment(text, style) for text, style in parts]


class _View:
    """Lays out a frame of any size; each PE's block is as high as its SRAM is full and coloured by its activity."""

    def __init__(self, layout: dict[str, Any]) -> None:
        self._layout = layout
        self._layers, self._pes = (list(layout.get(key) or ()) for key in ("layers", "pes"))
        tags = {str(layer.get("name")): f"L{place}" for place, layer in enumerate(self._layers, 1)}
        self._used: dict[PeId, tuple[int, float, str]] = {}  # PE: (its place, its SRAM, its layers)
        for index, pe in enumerate(self._pes):
            tag = "+".join(tags.get(name, _clean(name)) for name in str(pe.get("layer") or "").split("+"))
            if site := _pe_id(pe.get("name")):
                self._used[site] = index, 1.0 if pe.get("sram") is None else pe["sram"], tag
        self._chip = min((site.chip for site in self._used), default=0)  # one plan shows one chip
        self._seconds: dict[int, dict[str, float | None]] = {}  # what the sparklines show

    def lines(self, status: dict[str, Any], width: int, height: int) -> list[_Line]:
        """Return at most `height` lines, each `width` wide."""
        self._seconds[int(_number(status, "elapsed_s") or 0)] = {key: _number(status, key) for key in _FIGURES}
        rows = height - 5
        scale = next((s for s in _SCALES if s.plan[0] + _PANEL <= width and s.plan[1] <= rows), None)
        plan, left = (self._plan(scale, status), scale.plan[0]) if scale else ([], 0)
        panel = self._panel(status, width - left, rows)[: max(rows, 0)]
        pairs = zip_longest(plan, panel, fillvalue=list[Segment]())
        body = [Segment.adjust_line_length(line, left) + beside for line, beside in pairs]
        foot = [_legend(width) if scale else [], [Segment(_clean(self._layout.get("note")), _NOTE)]]
        lines = [*self._head(status, width), *body, *foot]
        return [Segment.adjust_line_length(line, width) for line in lines][: max(height, 0)]

    def _head(self, status: dict[str, Any], width: int) -> list[_Line]:
        title, chip = _clean(self._layout.get("title")), _clean(self._layout.get("chip"))
        right = f"  {len(self._pes)} PEs · {chip} · {_clock(_number(status, 'elapsed_s') or 0)}"
        room = max(width - cell_len(right), 0)
        title = title if cell_len(title) <= room else set_cell_size(title, max(room - 1, 0)) + "…"
        done, words = _progress(status, len(self._pes))
        phase = f" {_clean(status.get('phase'))} "
        length = max(width - len(phase) - len(words) - 2, 0)
        bar = Segment("━" * int(done * length), _BLUE), Segment("─" * (length - int(done * length)), _DIM)
        alarms: _Line = []
        for badge, names in _alarms(status, width):
            alarms += [Segment(f" {badge} ", _FAULT), Segment(f" {names}  ", _RED)]
        calm = " or ".join(kind for kind in _MARKS if kind in status)
        return [
            [Segment(set_cell_size(title, room), _BOLD), Segment(right, _DIM)],
            [Segment(phase, _PHASE), Segment(" "), *bar, Segment(f" {words}")],
            alarms or [Segment(f"no PE is {calm}" if calm else "", _DIM)],
        ]

    def _plan(self, scale: _Scale, status: dict[str, Any]) -> list[_Line]:
        """Return the floor plan with row y = 1 on top."""
        wrong = {_pe_id(name): word for word in ("stalled", "dead") for name in status.get(word) or ()}
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
            word = ("event router" if wide > 14 else "ER") if (x, y) in _EVENT_ROUTER else ""
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
        active = _at(activity, index) if pe in self._used else None
        if pe in wrong:
            mark, fill, style = wrong[pe].upper()[:5] if wide > 4 else "", _MARKS[wrong[pe]], _FAULT
        elif active is not None:
            return _block(("", _percent(active)[:-2], tag)[:high], active, sram, wide)
        else:
            mark, fill, style = (tag if high > 1 else "", "░", _DIM) if pe in self._used else ("·", " ", _DIM)
        return [Segment(f"{mark[:wide] if row == high // 2 else '':{fill}^{wide}}", style) for row in range(high)]

    def _panel(self, status: dict[str, Any], width: int, rows: int) -> list[_Line]:
        lines, seconds = [], list(self._seconds.values())[-max(width - 24, 1) :]
        for key in _FIGURES:
            value = Segment(f"{_figure(_number(status, key)):>9}  ", _BOLD)
            spark = "" if key == "tick" else _sparkline([figures[key] for figures in seconds])
            lines.append([Segment(f"{key.replace('_per_', '/'):<13}"), value, Segment(spark, _BLUE)])
        lines += [_share("fullest SRAM", _number(status, "sram_worst"), width, _BLUE), []]
        shown = self._layers[: max(rows - 13, 1)]
        rest = f"   {len(self._layers) - len(shown)} more" if len(shown) < len(self._layers) else ""
        lines.append([Segment(f"{'layer':<14}", _BOLD), Segment(f"units PEs  active{rest}", _DIM)])
        for place, layer in enumerate(shown):
            name = set_cell_size(f"L{place + 1:<2} {_clean(layer.get('name'))}", 13)
            label = f"{name}{layer.get('units', '?'):>6}{layer.get('pes', '?'):>4}"
            lines.append(_share(label, _at(status.get("activity"), place), width))
        if rows > 40 and (shares := status.get("pe_activity")):
            lines += [[], [Segment("busiest PEs", _BOLD)]]
            busy = [(_at(shares, place) or 0.0, pe) for place, pe in enumerate(self._pes)]
            for share, pe in sorted(busy, key=lambda pair: -pair[0])[:8]:
                lines.append(_share(f"{_clean(pe.get('name')):<13}{_clean(pe.get('layer'))}", share, width))
        room = rows - len(lines) - 2
        if status.get("text") and room > 0:
            lines += [[], [Segment("text so far", _BOLD)], *_wrapped(str(status["text"]), width, room)]
        return lines


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
            self._guarded(lambda: self._console.print(Text(_clean(line), _NOTE)))

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
