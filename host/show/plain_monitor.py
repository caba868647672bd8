"""A run's figures in words, and the monitor that prints them as plain lines.

Takes plain dicts (`host/show/status.py`) in which any key may be missing: what is not known is shown as unknown, never as
zero.
"""

import io
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import NamedTuple, TextIO

from host.show.quantities import format_quantity
from host.show.status import Fields, at, finite, format_metric, number, unit_of
from host.show.terminal_style import Line, Span, clean, clock, encoding, figure, percent

PLAIN_INTERVAL_S = 2.0
SILENT_S = 2.5  # after which a machine that says nothing is marked
_MACHINES = 8  # shown at a time
_NAME = 12  # characters of a machine's name
_WIDEST = 9  # characters of a figure
_NARROWEST = 40  # columns to which lines are folded
_LAYERS = 6  # whose activity a plain line says


def progress(status: Fields, layout: Fields) -> tuple[float, str]:
    """Return how far the phase is, from 0 to 1, and the same in words."""
    if status.get("phase") in ("starting", "loading"):
        done, total, unit = number(status, "ready"), finite(len(layout.get("pes") or ())), "PEs ready"
    else:
        done, total, unit = number(status, "done"), number(status, "total"), f"{clean(unit_of(layout))}s"
    words, rate = f"{figure(done)} of {figure(total)} {unit}", number(status, "per_s")
    if status.get("phase") == "running" and rate and done is not None and total:
        words += f", {clock((total - done) / rate)} left"
    return min((done or 0.0) / total, 1.0) if total else 0.0, words


class Reading(NamedTuple):
    """One of a run's figures: its name, its value, and the value as text, "?" where it is not known."""

    name: str
    value: float | None
    text: str


def readings(status: Fields, layout: Fields) -> list[Reading]:
    """Return the run's figures: its speed, the workload's metrics, and the network's traffic."""

    def counted(name: str, key: str) -> Reading:
        value = number(status, key)
        return Reading(name, value, figure(value))

    metrics = [metric for metric in status.get("metrics") or () if isinstance(metric, Mapping)]
    return [
        counted(f"{clean(unit_of(layout))}s/s", "per_s"),
        *(_reading(metric) for metric in metrics),
        counted("events/tick", "events_per_tick"),
        counted("packets/tick", "packets_per_tick"),
        counted("tick", "tick"),
    ]


def chip_readings(status: Fields) -> list[Reading]:
    """Return what the chip would take for the last positions; none before it has been priced."""
    modelled = status.get("modelled")
    if not isinstance(modelled, Mapping) or number(modelled, "time_s") is None:
        return []
    names = (("chip, time", "time_s", "s"), ("chip, power", "power_w", "W"), ("chip, energy", "energy_j", "J"))
    return [Reading(name, value, format_quantity(value, base)) for name, key, base in names for value in [number(modelled, key)]]


def chip_words(status: Fields, layout: Fields) -> str:
    """Return what the chip would take, in words: "on the chip: 2.34 ms, 989 µJ a token, 422 mW"; "" before it has been priced."""
    figures = chip_readings(status)
    if not figures:
        return ""
    time, power, energy = (text for _, _, text in figures)
    return f"on the chip: {time}, {energy} a {clean(unit_of(layout))}, {power}"


def _reading(metric: Fields) -> Reading:
    value, text = number(metric, "value"), clean(format_metric(metric))
    return Reading(clean(metric.get("label")), value, text if len(text) <= _WIDEST else figure(value))


def hardware(layout: Fields) -> str:
    """Return what a run is on: a chip's name, and how many where there are several."""
    chips, name = len(layout.get("chips") or ()), clean(layout.get("chip"))
    return f"{chips} chips of {name}" if chips > 1 else name


class LoadedLink(NamedTuple):
    """A link between chips: its name, the events that it carries at the latest position, and whether it leaves its board."""

    name: str
    load: float
    cable: bool


def busy_links(status: Fields, layout: Fields) -> list[LoadedLink]:
    """Return the links whose load is known, the busiest first."""
    links = [
        LoadedLink(clean(link.get("name")), load, bool(link.get("cable")))
        for place, link in enumerate(layout.get("links") or ())
        if isinstance(link, dict) and (load := at(status.get("links"), place)) is not None
    ]
    return sorted(links, key=lambda link: -link.load)


class MachineRow(NamedTuple):
    """A machine of a run on several: its name, chips in words, PEs, cores in use, bytes sent, and what is wrong, or ""."""

    name: str
    chips: str
    pes: str
    cores: float | None
    sent_bytes: float | None
    wrong: str


def machine_rows(status: Fields) -> list[MachineRow]:
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
        rows.append(
            MachineRow(
                name=clean(machine.get("name")),
                chips=words,
                pes=figure(finite(machine.get("pes"))),
                cores=cores,
                sent_bytes=sent,
                wrong=wrong,
            )
        )
    return rows


def machine_lines(status: Fields) -> list[Line]:
    """Return the table's head and a line a machine, as many as can be read at a glance, those in trouble first."""
    rows = machine_rows(status)
    if not rows:
        return []
    rest = f"   {len(rows) - _MACHINES} more" if len(rows) > _MACHINES else ""
    lines: list[Line] = [[], [Span(f"{'machine':<13}", "bold"), Span(f"chips  PEs  cores  MB sent{rest}", "dim")]]
    for row in sorted(rows, key=lambda row: not row.wrong)[:_MACHINES]:
        name = row.name if len(row.name) <= _NAME else row.name[: _NAME - 1] + "…"
        sent_mb = None if row.sent_bytes is None else row.sent_bytes / 1e6
        load = Span(f" {row.wrong}", "fault") if row.wrong else Span(f"{figure(row.cores):>6} {figure(sent_mb):>8}")
        lines.append([Span(f"{name:<{_NAME}} {row.chips:>5} {row.pes:>4} "), load])
    return lines


def alarms(status: Fields, room: int) -> Iterator[tuple[str, str]]:
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

    def __init__(self, layout: Fields, stream: TextIO) -> None:
        self._layout, self._stream = layout, stream
        self._status: Fields = {}
        self._unshown, self._phase, self._due = False, None, 0.0
        self.note("; ".join(str(part) for part in (layout.get("title"), hardware(layout), layout.get("note")) if part))

    def update(self, status: Fields) -> None:
        """Take the newest figures."""
        self._status, self._unshown = status, True
        if monotonic() >= self._due or status.get("phase") != self._phase:
            self._show()

    def note(self, line: str) -> None:
        """Print `line`."""
        text = clean(line).encode(encoding(self._stream), "replace").decode(encoding(self._stream))
        if self._stream.isatty():  # folded by words, as wide as it is
            width = max(shutil.get_terminal_size().columns, _NARROWEST)
            text = textwrap.fill(text, width, subsequent_indent="     ", break_on_hyphens=False)
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
        parts, machines = [progress(status, self._layout)[1]], machine_rows(status)
        if status.get("done") != 0 and status.get("phase") not in ("starting", "loading"):  # before, all of them are zero
            speed, *others = readings(status, self._layout)
            parts += [f"{speed.text} {speed.name}"] * (speed.text != "?")
            parts += [f"{name} {text}" for name, value, text in others[:-3] if text != "?"]
            shares = [share for place in range(len(layers)) if (share := at(status.get("activity"), place)) is not None]
            parts += [f"active {' '.join(percent(share)[:-2] for share in shares[:_LAYERS])} %"] * bool(shares)
            parts += [f"busiest link {link.name} {figure(link.load)} events" for link in busy_links(status, self._layout)[:1]]
            parts += [words] if (words := chip_words(status, self._layout)) else []
        parts += [f"{len(machines)} machines"] if machines else []
        parts += [f"{machine.name}: {machine.wrong}" for machine in machines if machine.wrong]
        parts += [f"{badge.upper()}: {names}" for badge, names in alarms(status, 60)]
        self.note(f"{clock(number(status, 'elapsed_s') or 0)} {status.get('phase', 'running')}: {'; '.join(parts)}")
