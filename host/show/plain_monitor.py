"""A run's figures in words, and the monitor that prints them as plain lines.

Takes plain dicts from another process, in which any key may be missing: what is not known is shown as unknown, never as
zero. Not known here: terminals, colours, and where the figures come from.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any, NamedTuple, TextIO

PLAIN_INTERVAL_S = 2.0
RISE = " ▁▂▃▄▅▆▇█"
_MACHINES, _NAME = 8, 12  # machines shown at a time, and characters of a name
SILENT_S = 2.5  # after which a machine that says nothing is marked
FIGURES = ("tokens_per_s", "perplexity", "events_per_tick", "packets_per_tick", "tick")  # shown as tokens/s and so on


def encoding(stream: TextIO) -> str:
    """Return the encoding that a stream writes."""
    return getattr(stream, "encoding", None) or "utf-8"


def finite(value: Any) -> float | None:
    """Return `value` where it is a finite number."""
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def number(status: dict[str, Any], key: str) -> float | None:
    """Return the finite number under `key`, or None."""
    return finite(status.get(key))


def at(values: Sequence[Any] | None, index: int) -> float | None:
    """Return the finite number at `index`, or None."""
    return finite(values[index]) if values and index < len(values) else None


def figure(value: float | None) -> str:
    """Return a number in at most nine characters."""
    if value is None or abs(value) >= 1e8:  # as wide as a column is
        return "?" if value is None else f"{value:.2e}"
    return f"{value:,.{0 if abs(value) >= 100 or value % 1 == 0 else 1}f}"


def percent(share: float | None) -> str:
    """Return a share from 0 to 1 in percent, small ones with a decimal."""
    return "?" if share is None else f"{100 * share:.{1 if 0 < share < 0.0995 else 0}f} %"


def clock(seconds: float) -> str:
    """Return a duration as minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


def clean(text: Any) -> str:
    """Return `text` as one line without what would start an escape sequence."""
    return "".join(char if char.isprintable() else " " for char in str(text or ""))


def progress(status: dict[str, Any], layout: dict[str, Any]) -> tuple[float, str]:
    """Return how far the phase is, from 0 to 1, and the same in words."""
    if status.get("phase") in ("starting", "loading"):
        done, total, unit = number(status, "ready"), finite(len(layout.get("pes") or ())), "PEs ready"
    else:
        done, total, unit = number(status, "tokens"), number(status, "tokens_total"), unit_of(layout)
    words, rate = f"{figure(done)} of {figure(total)} {unit}", number(status, "tokens_per_s")
    if status.get("phase") == "running" and rate and done is not None and total:
        words += f", {clock((total - done) / rate)} left"
    return min((done or 0.0) / total, 1.0) if total else 0.0, words


def unit_of(layout: dict[str, Any]) -> str:
    """Return what a run counts: tokens of a text, or what its layout says."""
    return clean(layout.get("unit") or "tokens")


def gesture_of(status: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of the sample that is being classified; nothing where none is."""
    known = status.get("gesture")
    return known if isinstance(known, dict) else {}


def figures(status: dict[str, Any], layout: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the run's figures as (key, name, text), "?" for what is not known."""
    rows = []
    for key in FIGURES:
        if key == "perplexity" and "classes" in layout:
            rows.append(("accuracy", "accuracy", percent(number(gesture_of(status), "accuracy"))))
        elif key != "tick" or "classes" not in layout:  # whose rows go to the frame
            name = key.replace("tokens", unit_of(layout)).replace("_per_", "/")
            rows.append((key, name, figure(number(status, key))))
    return rows


def hardware(layout: dict[str, Any]) -> str:
    """Return what a run is on: a chip's name, and how many where there are several."""
    chips, name = len(layout.get("chips") or ()), clean(layout.get("chip"))
    return f"{chips} chips of {name}" if chips > 1 else name


class LoadedLink(NamedTuple):
    """A link between chips: its name, the events that it carries at the latest position, and whether it leaves its board."""

    name: str
    load: float
    cable: bool


def busy_links(status: dict[str, Any], layout: dict[str, Any]) -> list[LoadedLink]:
    """Return the links whose load is known, the busiest first."""
    found = [
        LoadedLink(clean(link.get("name")), load, bool(link.get("cable")))
        for place, link in enumerate(layout.get("links") or ())
        if isinstance(link, dict) and (load := at(status.get("links"), place)) is not None
    ]
    return sorted(found, key=lambda link: -link.load)


def sparkline(values: Sequence[float | None]) -> str:
    """Return a character a value, as high as it is beside the highest."""
    top = max((value for value in values if value is not None), default=0.0)
    return "".join(" " if value is None or top <= 0 else RISE[1 + int(7 * max(value, 0.0) / top)] for value in values)


class MachineRow(NamedTuple):
    """A machine of a run on several: its name, chips in words, PEs, cores in use, bytes sent, and what is wrong, or ""."""

    name: str
    chips: str
    pes: str
    cores: float | None
    sent_bytes: float | None
    wrong: str


def machine_rows(status: dict[str, Any]) -> list[MachineRow]:
    """Return a row for each machine; none where a run is on this one."""
    rows = []
    for machine in status.get("machines") or ():
        if not isinstance(machine, dict):
            continue
        chips = [chip for chip in machine.get("chips") or () if isinstance(chip, int)]
        words = (f"{chips[0]}-{chips[-1]}" if chips[1:] else str(chips[0])) if chips else ""
        state = clean(machine.get("state"))
        heard, refused = finite(machine.get("heard_s")), finite(machine.get("refused"))
        wrong = "" if state == "up" else state
        wrong = wrong or (f"silent {heard:.0f} s" if heard and heard > SILENT_S else f"{refused:.0f} refused" if refused else "")
        cores, sent = finite(machine.get("load")), finite(machine.get("sent_bytes"))
        rows.append(MachineRow(clean(machine.get("name")), words, figure(finite(machine.get("pes"))), cores, sent, wrong))
    return rows


class MachineLine(NamedTuple):
    """A line of the table of machines, in two parts, each with its look: plain, dim, bold or fault."""

    text: str
    more: str
    look: str = "plain"
    more_look: str = "plain"


def machine_lines(status: dict[str, Any]) -> list[MachineLine]:
    """Return the table's head and a line a machine, as many as can be read at a glance, those first that have something wrong."""
    rows = machine_rows(status)
    if not rows:
        return []
    rest = f"   {len(rows) - _MACHINES} more" if len(rows) > _MACHINES else ""
    lines = [MachineLine("", ""), MachineLine(f"{'machine':<13}", f"chips  PEs  cores  MB sent{rest}", "bold", "dim")]
    for row in sorted(rows, key=lambda row: not row.wrong)[:_MACHINES]:
        name = row.name if len(row.name) <= _NAME else row.name[: _NAME - 1] + "…"
        sent = None if row.sent_bytes is None else row.sent_bytes / 1e6
        figures = f" {row.wrong}" if row.wrong else f"{figure(row.cores):>6} {figure(sent):>8}"
        lines.append(
            MachineLine(f"{name:<{_NAME}} {row.chips:>5} {row.pes:>4} ", figures, "plain", "fault" if row.wrong else "plain")
        )
    return lines


def alarms(status: dict[str, Any], room: int) -> Iterator[tuple[str, str]]:
    """Yield ("2 dead", names) and the like, with as many names as fit into `room` together; or what was lost and ends the run."""
    if status.get("problem"):  # what ends the run says more than who stands still because of it
        yield "lost", clean(status["problem"])[: max(room, 200)]
        return
    kinds = {kind: [clean(name) for name in status[kind]] for kind in ("dead", "stalled") if status.get(kind)}
    for kind, names in kinds.items():
        spare = room // len(kinds) - len(f" {len(names)} {kind}    and {len(names)} more")
        shown = next((n for n in range(len(names), 1, -1) if len(", ".join(names[:n])) <= spare), 1)
        rest = f" and {len(names) - shown} more" if shown < len(names) else ""
        yield f"{len(names)} {kind}", ", ".join(names[:shown]) + rest


class PlainMonitor:
    """A `Monitor` that prints a line every two seconds, when the phase changes, and at the end."""

    def __init__(self, layout: dict[str, Any], stream: TextIO) -> None:
        self._layout, self._stream = layout, stream
        self._status: dict[str, Any] = {}
        self._unshown, self._phase, self._due = False, None, 0.0
        self.note("; ".join(str(part) for part in (layout.get("title"), hardware(layout), layout.get("note")) if part))

    def update(self, status: dict[str, Any]) -> None:
        """Take the newest figures."""
        self._status, self._unshown = status, True
        if monotonic() >= self._due or status.get("phase") != self._phase:
            self._show()

    def note(self, line: str) -> None:
        """Print `line`."""
        text = clean(line).encode(encoding(self._stream), "replace").decode(encoding(self._stream))
        try:
            print(text, file=self._stream, flush=True)
        except (OSError, ValueError):  # nobody reads any more, and the run goes on
            self._stream = io.StringIO()

    def close(self) -> None:
        """Print the last figures, unless they have been."""
        if self._unshown:
            self._show()

    def _show(self) -> None:
        status, layers = self._status, self._layout.get("layers") or ()
        self._unshown, self._phase, self._due = False, status.get("phase"), monotonic() + PLAIN_INTERVAL_S
        parts = [progress(status, self._layout)[1]]
        parts += [f"{name} {text}" for _, name, text in figures(status, self._layout) if text != "?"]
        shares = [(clean(layer.get("name")), at(status.get("activity"), place)) for place, layer in enumerate(layers)]
        parts += [f"{name} {percent(share)} active" for name, share in shares if share is not None]
        parts += [f"busiest link {link.name} {figure(link.load)} events" for link in busy_links(status, self._layout)[:1]]
        machines = machine_rows(status)
        parts += [f"{len(machines)} machines"] if machines else []
        parts += [f"{machine.name}: {machine.wrong}" for machine in machines if machine.wrong]
        parts += [f"{badge.upper()}: {names}" for badge, names in alarms(status, 60)]
        self.note(f"{clock(number(status, 'elapsed_s') or 0)} {status.get('phase', 'running')}: {'; '.join(parts)}")
