"""The run as a person sees it: the chip's floor plan and the run's figures, drawn live, or as plain progress lines.

Both take plain dicts from another process, in which any key may be missing: what is not known is shown as unknown, never
as zero. The live view stays on the screen when it closes; notes scroll past above it.

Not known here: processes, sockets, packets, networks, and where the figures come from. Nothing else imports `rich`. No
thread: the launcher has its own loop, and a late view is better than a late launcher.
"""

import atexit
import io
import os
import sys
import textwrap
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from time import monotonic, thread_time
from typing import Any, NamedTuple, Protocol, TextIO

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleDimensions
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
_FIGURES = {
    "tokens_per_s": "tokens/s",
    "perplexity": "perplexity",
    "events_per_tick": "events/tick",
    "packets_per_tick": "packets/tick",
}
_EVENT_ROUTER = ((4, 3), (4, 4))  # of the four holes only these two; the other two lie at the die's edge
_STEPS = {"0": 0.0, ">0": 1e-9, "5": 0.05, "10": 0.10, "20": 0.20, "40": 0.40}  # fine at the low end: activity is sparse
_BOUNDS = tuple(_STEPS.values())[1:]
# (block, text on it), one per step. Each block shows on dark and on light; none is red, which is kept for what is wrong.
_HUES = ((244, 231), (98, 231), (32, 231), (36, 16), (76, 16), (214, 16))
_HEAT = tuple(Style(color=f"color({hue})") for hue, _ in _HUES)
_TILE = tuple(Style(color=f"color({ink})", bgcolor=f"color({hue})") for hue, ink in _HUES)
_DIM, _BOLD, _BLUE, _NOTE = _HEAT[0], Style(bold=True), _HEAT[2], Style(color="color(172)")
_PHASE = Style(color="color(231)", bgcolor="color(25)", bold=True)
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


def _number(status: dict[str, Any], key: str) -> float | None:
    value = status.get(key)
    return value if isinstance(value, int | float) and value == value else None  # noqa: PLR0124 - not a NaN


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:,.{0 if abs(value) >= 100 or value % 1 == 0 else 1}f}"


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


def _at(values: Sequence[float] | None, index: int) -> float | None:
    return values[index] if values and index < len(values) else None


def _progress(status: dict[str, Any], pes: int) -> tuple[float, str]:
    """Return how far the phase is, from 0 to 1, and the same in words."""
    start = status.get("phase") in ("starting", "loading")
    done, total = (_number(status, key) for key in (("ready", "") if start else ("tokens", "tokens_total")))
    total = pes if start else total
    words = f"{_figure(done)} of {_figure(total)} {'PEs ready' if start else 'tokens'}"
    rate = _number(status, "tokens_per_s")
    if status.get("phase") == "running" and rate and done is not None and total:
        words += f", {_clock((total - done) / rate)} left"
    return min((done or 0.0) / total, 1.0) if total else 0.0, words


def _alarms(status: dict[str, Any], room: int) -> Iterator[tuple[str, str]]:
    """Yield ("2 dead", names) and the like, with as many names as fit into `room`."""
    for kind in ("dead", "stalled"):
        names = [_clean(name) for name in status.get(kind) or ()]
        shown = len(names)
        while shown > 1 and len(", ".join(names[:shown])) + 14 > room:
            shown -= 1
        if names:
            yield f"{len(names)} {kind}", ", ".join(names[:shown]) + f" and {len(names) - shown} more" * (shown < len(names))


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
        known = {name: _number(status, key) for key, name in {**_FIGURES, "tick": "tick"}.items()}
        parts += [f"{name} {_figure(value)}" for name, value in known.items() if value is not None]
        shares = zip(layers, status.get("activity") or (), strict=False)
        parts += [f"{layer.get('name')} {_percent(share)} active" for layer, share in shares]
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
        return 2 + 7 * (self.qpe[0] + 1), 6 * (self.qpe[1] + 1)


_SCALES = (_Scale(6, 3, 1, 1), _Scale(4, 2, 1, 0), _Scale(2, 1, 0, 0))
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


def _legend() -> _Line:
    steps = [part for name, style in zip(_STEPS, _HEAT, strict=True) for part in (Segment(" ▇", style), Segment(name, _DIM))]
    faults = Segment("!", _FAULT), Segment(" stall  ", _DIM), Segment("×", _FAULT), Segment(" dead", _DIM)  # noqa: RUF001
    more = "    height of a block: SRAM in use; PEs 0 1 over 2 3 in QPE x,y; percent active; layer"
    return [Segment("activity%", _DIM), *steps, Segment("  ▁█ SRAM  ░ unknown  · unused  ", _DIM), *faults, Segment(more, _DIM)]


class _View:
    """Lays out a frame of any size; each PE's block is as high as its SRAM is full and coloured by its activity."""

    def __init__(self, layout: dict[str, Any]) -> None:
        self._layout = layout
        self._layers, self._pes = (list(layout.get(key) or ()) for key in ("layers", "pes"))
        self._tags = {str(layer.get("name")): f"L{place}" for place, layer in enumerate(self._layers, 1)}
        self._used: dict[PeId, tuple[int, float, str]] = {}  # PE: (its place, its SRAM, its layers)
        for index, pe in enumerate(self._pes):
            tag = "+".join(self._tags.get(name, _clean(name)) for name in str(pe.get("layer") or "").split("+"))
            if site := _pe_id(pe.get("name")):
                self._used[site] = index, 1.0 if pe.get("sram") is None else pe["sram"], tag
        self._chip = min((site.chip for site in self._used), default=0)  # one plan shows one chip
        self._seconds: dict[int, dict[str, float | None]] = {}  # what the sparklines show

    def lines(self, status: dict[str, Any], width: int, height: int) -> list[_Line]:
        """Return at most `height` lines, each `width` wide."""
        elapsed = int(_number(status, "elapsed_s") or 0)
        self._seconds[elapsed] = {key: _number(status, key) for key in _FIGURES}
        rows = height - 5
        scale = next((s for s in _SCALES if s.plan[0] + _PANEL <= width and s.plan[1] <= rows), None)
        plan = self._plan(scale, status) if scale else []
        left = scale.plan[0] + 1 if scale else 0
        panel = self._panel(status, width - left, rows)[: max(rows, 0)]
        rows_of_both = zip_longest(plan, panel, fillvalue=list[Segment]())
        body = [Segment.adjust_line_length(line, left) + beside for line, beside in rows_of_both]
        note = [Segment(_clean(self._layout.get("note")), _NOTE)]
        lines = [*self._head(status, width), *body, _legend() if scale else [], note]
        return [Segment.adjust_line_length(line, width) for line in lines][: max(height, 0)]

    def _head(self, status: dict[str, Any], width: int) -> list[_Line]:
        title = _clean(self._layout.get("title"))
        parts = f"{len(self._pes)} PEs", _clean(self._layout.get("chip")), _clock(_number(status, "elapsed_s") or 0)
        right = "  " + " · ".join(filter(None, parts))
        room = max(width - cell_len(right), 0)
        title = title if cell_len(title) <= room else set_cell_size(title, max(room - 1, 0)) + "…"
        done, words = _progress(status, len(self._pes))
        phase = f" {_clean(status.get('phase'))} "
        length = max(width - len(phase) - len(words) - 2, 0)
        bar = Segment("━" * int(done * length), _BLUE), Segment("─" * (length - int(done * length)), _DIM)
        alarm: _Line = []
        for badge, names in _alarms(status, width // 2 if status.get("dead") and status.get("stalled") else width):
            alarm += [Segment(f" {badge} ", _FAULT), Segment(f" {names}  ", _RED)]
        if not alarm and "dead" in status and "stalled" in status:
            alarm = [Segment("no PE is stalled or dead", _DIM)]
        return [
            [Segment(set_cell_size(title, room), _BOLD), Segment(right, _DIM)],
            [Segment(phase, _PHASE), Segment(" "), *bar, Segment(f" {words}")],
            alarm,
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
        if not scale.frame:
            return [[left, Segment(" " * scale.gap), right] for left, right in pairs]
        side, line = Segment("│", _DIM), "─" * (wide - 2)
        rows = [[side, left, Segment(" " * scale.gap), right, side] for left, right in pairs]
        return [[Segment(f"╭{f' {x},{y} ':─^{wide - 2}}╮", _DIM)], *rows, [Segment(f"╰{line}╯", _DIM)]]

    def _pe(self, pe: PeId, scale: _Scale, activity: Sequence[float] | None, wrong: _Wrong) -> list[Segment]:
        """Return a PE's rows; the upper ones are only block, the others carry its activity and layer."""
        wide, high = scale.wide, scale.high
        index, sram, tag = self._used.get(pe, (-1, 0.0, "·"))
        active = _at(activity, index) if pe in self._used else None
        mark, fill, style = (tag if high > 1 else ""), "░", _DIM
        if pe in wrong:
            mark, fill, style = (wrong[pe].upper()[:wide] if wide > 4 else ""), _MARKS[wrong[pe]], _FAULT
        elif pe not in self._used:
            mark, fill = "·", " "
        elif active is not None:
            return _block(("", _percent(active), tag)[:high], active, sram, wide)
        return [Segment(f"{mark[:wide] if row == high // 2 else '':{fill}^{wide}}", style) for row in range(high)]

    def _panel(self, status: dict[str, Any], width: int, rows: int) -> list[_Line]:
        lines = []
        for key, name in _FIGURES.items():
            value = Segment(f"{_figure(_number(status, key)):>9}  ", _BOLD)
            spark = _sparkline([second[key] for second in self._seconds.values()][-max(width - 24, 1) :])
            lines.append([Segment(f"{name:<13}"), value, Segment(spark, _BLUE)])
        lines.append([Segment(f"{'tick':<13}"), Segment(f"{_figure(_number(status, 'tick')):>9}", _BOLD)])
        lines += [_share("fullest SRAM", _number(status, "sram_worst"), width, _BLUE), []]
        shown = self._layers[: max(rows - 13, 1)]
        rest = len(self._layers) - len(shown)
        lines.append([Segment(f"{'layer':<14}", _BOLD), Segment(f"units PEs  active{f'   {rest} more layers' * (rest > 0)}", _DIM)])
        for place, layer in enumerate(shown):
            name = set_cell_size(f"L{place + 1:<2} {_clean(layer.get('name'))}", 13)
            label = f"{name}{layer.get('units', '?'):>6}{layer.get('pes', '?'):>4}"
            lines.append(_share(label, _at(status.get("activity"), place), width))
        busy = list(enumerate(status.get("pe_activity") or ()))[: len(self._pes)] if rows > 40 else []
        lines += [[], [Segment("busiest PEs", _BOLD)]] if busy else []
        for index, active in sorted(busy, key=lambda pair: -pair[1])[:8]:
            pe = self._pes[index]
            lines.append(_share(f"{_clean(pe.get('name')):<13}{_clean(pe.get('layer'))}", active, width))
        room = rows - len(lines) - 2
        if status.get("text") and room > 0:
            lines += [[], [Segment("text so far", _BOLD)], *_wrapped(str(status["text"]), width, room)]
        return lines


# ---- the terminal


class _LiveMonitor:
    def __init__(self, layout: dict[str, Any], stream: TextIO) -> None:
        self._view, self._stream = _View(layout), stream
        self._console = Console(file=stream, force_terminal=True, markup=False, highlight=False, emoji=False)
        self._status: dict[str, Any] = {"phase": "starting"}
        self._due, self._size = 0.0, self._console.size
        self._open, self._process = True, os.getpid()
        # Not on the alternate screen: what others write to the terminal, a process's last words, would vanish with it.
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=stream is sys.stdout,
            redirect_stderr=sys.stderr.isatty(),  # what goes to a file stays there
        )
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
        self._draw(refresh=False)  # stopping shows it
        self._open = False
        atexit.unregister(self.close)
        self._guarded(self._live.stop)

    def _draw(self, refresh: bool = True) -> None:
        try:
            size = ConsoleDimensions(*os.get_terminal_size(self._stream.fileno()))  # the console would ask stdin first
        except (OSError, ValueError):
            size = self._size
        if size != self._size:
            self._guarded(self._console.clear)  # the last frame's lines are no longer where they were drawn
        self._size = self._console.size = size
        # One line less than there are: the cursor's line after the view must not push the title out of sight.
        lines = self._view.lines(self._status, size.width, size.height - 1)
        self._guarded(lambda: self._live.update(SegmentLines(lines, new_lines=True), refresh=refresh))

    def _guarded(self, show: Callable[[], None]) -> None:
        """Show something; a terminal that has gone away ends the view, not the run."""
        try:
            show()
        except (OSError, ValueError):
            self._open = False
