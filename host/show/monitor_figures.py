"""What stands beside the floor plan in the live view, as much of it as there is room for.

The run's figures, where the chip's time would go, layers, links, the busiest PEs, and the workload's panel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any

from host.show.layer_tags import layer_tags, tag_of
from host.show.plain_monitor import LoadedLink, Reading, busy_links, chip_readings, machine_lines, readings
from host.show.status import Fields, at, finite, number
from host.show.terminal_style import Line, Panel, Span, bar, clean, cut, figure, heat_step, percent, sparkline

_LABEL, _LONGEST_LABEL = 12, 20  # characters of a figure's name, where there is little room and where there is some
_LEAST_COURSE = 12
_PANEL_ROWS = 5  # kept free for a panel below the figures
_TALL = 36  # rows from which on the chip's figures have a course of their own
_LAYERS = 11  # characters that the layers of a PE may take, as names
_COURSE = 600  # values of a course that are kept
_A_SECOND = 4
_STAGES = 7  # of different colours


class RunFigures:
    """Lays out the figures of a run with this layout."""

    def __init__(self, layout: Fields, panel: Panel | None) -> None:
        self._layout, self._panel = layout, panel
        self._layers, self._pes = (list(layout.get(key) or ()) for key in ("layers", "pes"))
        self._several = len(layout.get("chips") or ()) > 1
        self._course: dict[int, dict[str, float | None]] = {}  # by quarter of an elapsed second

    def lines(self, status: Fields, width: int, rows: int) -> list[Line]:
        """Return at most `rows` lines, for `width` columns."""
        above = self._panel_lines(status, width, rows, above=True)
        room = rows - len(above)
        own = self._readings(status, width, room, tick=not above)
        busy = busy_links(status, self._layout) if self._several else []
        if self._several:
            load, name = (figure(busy[0].load), busy[0].name) if busy else ("?", "")
            own.append([Span(f"{'busiest link':<13}"), Span(f"{load:>9}  ", "bold"), Span(name, "busy")])
        own += [_share("fullest SRAM", number(status, "sram_worst"), width, "accent"), []]
        machines = machine_lines(status)
        kept = _PANEL_ROWS if self._panel_lines(status, width, _PANEL_ROWS, above=False) else 0
        spare = room - len(own) - len(machines) - kept
        chip = _chip_lines(status, width, spare - len(self._layers) - 1, with_links=not self._several)
        layers = self._layer_lines(status, width, spare - len(chip))
        lines = [*own, *chip, *layers, *machines]
        if busy and room - len(lines) > 10:
            lines += _link_lines(busy[: 8 if room - len(lines) > 22 else 4], width)
        if room - len(lines) - kept > 10 and (shares := status.get("pe_activity")):
            lines += self._busiest_pes(shares, width)
        return [*above, *lines, *self._panel_lines(status, width, room - len(lines), above=False)]

    def _readings(self, status: Fields, width: int, rows: int, tick: bool) -> list[Line]:
        """Return a line for each of the run's figures, with its course; `tick`: there is room for the tick too."""
        figures = readings(status, self._layout)
        shown = figures if tick else figures[:-1]
        if rows >= _TALL:
            shown = [*shown[:-1], *chip_readings(status), shown[-1]] if tick else shown
        self._note_course(status, [*figures, *chip_readings(status)])
        longest = min(max(len(name) for name, *_ in shown), _LONGEST_LABEL)
        wide = max(longest, _LABEL) if width - longest - 12 >= _LEAST_COURSE else _LABEL
        course = list(self._course.values())[-max(width - wide - 12, 1) :]
        lines: list[Line] = []
        for name, _, text in shown:
            drawn = "" if name == "tick" else sparkline([values.get(name) for values in course])
            label = name if len(name) <= wide else f"{name[: wide - 1]}…"
            lines.append([Span(f"{label:<{wide + 1}}"), Span(f"{text:>9}  ", "bold"), Span(drawn, "accent")])
        return lines

    def _note_course(self, status: Fields, figures: Sequence[Reading]) -> None:
        self._course[int(_A_SECOND * (number(status, "elapsed_s") or 0))] = {name: value for name, value, _ in figures}
        while len(self._course) > _COURSE:
            del self._course[next(iter(self._course))]

    def _layer_lines(self, status: Fields, width: int, rows: int) -> list[Line]:
        layers = self._layers[: max(rows - 1, 1)]
        rest = f"   {len(self._layers) - len(layers)} more" if len(layers) < len(self._layers) else ""
        lines: list[Line] = [[Span(f"{'layer':<13}", "bold"), Span(f"units  PEs  active{rest}", "dim")]]
        for place, layer in enumerate(layers):
            name = cut(f"L{place + 1:<2} {clean(layer.get('name'))}", 13)
            label = f"{name}{layer.get('units', '?'):>5} {layer.get('pes', '?'):>4}"
            lines.append(_share(label, at(status.get("activity"), place), width))
        return lines

    def _busiest_pes(self, shares: Sequence[Any], width: int) -> list[Line]:
        lines: list[Line] = [[], [Span("busiest PEs", "bold"), Span("  events a unit, mean of the last ticks", "dim")]]
        active = [(at(shares, place) or 0.0, pe) for place, pe in enumerate(self._pes)]
        for share, pe in nlargest(8, active, key=lambda pair: pair[0]):
            names = str(pe.get("layer") or "")
            layers = clean(names) if len(names) <= _LAYERS else tag_of(pe, layer_tags(self._layout))
            lines.append(_share(f"{clean(pe.get('name')):<13}{layers}", share, width))
        return lines

    def _panel_lines(self, status: Fields, width: int, rows: int, above: bool) -> list[Line]:
        """Return the workload's panel if it stands above (or below) the figures, and an empty line between them."""
        panel = self._panel
        if panel is None or panel.above != above or rows < 2:
            return []
        values = (record.get("shown") for record in (self._layout, status))
        layout_shown, shown = (value if isinstance(value, dict) else {} for value in values)
        lines = panel.lines(layout_shown, shown, width, rows - 1)[: rows - 1]
        cleaned = [[span._replace(text=clean(span.text)) for span in line] for line in lines]
        return ([*cleaned, []] if above else [[], *cleaned]) if cleaned else []


def _share(label: str, share: float | None, width: int, look: str = "heat") -> Line:
    """Return a line with a share from 0 to 1 as a number and as a bar."""
    filled = Span(bar(share or 0.0, _room(width)), look, heat_step(share or 0.0) if look == "heat" else -1)
    return [Span(f"{label:<24}"[:24]), Span(f"{percent(share):>7}  ", "bold"), filled]


def _room(width: int) -> int:
    """Return how long a bar may be beside its label and number."""
    return max(min(width - 33, 60), 1)


def _chip_lines(status: Fields, width: int, rows: int, with_links: bool) -> list[Line]:
    """Return where the chip's time would go, as a bar over the stages, and the busiest links where there is room."""
    modelled = status.get("modelled")
    stages = [*_pairs(modelled, "stages")][:_STAGES]
    if rows < 2 or not stages or width < 20:
        return []
    largest = sorted(enumerate(stages), key=lambda entry: -entry[1][1])
    legend = _wrapped(
        [[Span("■ ", f"part{n}"), Span(f"{name} {percent(share)}  ")] for n, (name, share) in largest if share >= 0.005], width
    )
    named = legend[: min(rows - 1 - (rows > 3), 3)]  # where there is little room, rather a second line of names than an empty one
    lines: list[Line] = [_stacked([share for _, share in stages], width - 1), *named, *[[]] * (rows > 1 + len(named))]
    links = _pairs(modelled, "links") if with_links else []
    if links and rows - len(lines) > 4 and isinstance(modelled, Mapping):
        unit = clean(modelled.get("links_unit"))
        lines.append([Span("busiest links  ", "bold"), Span(f"{unit} a position on the chip", "dim")])
        for name, load in links[: rows - len(lines) - 2]:
            label = f"{clean(name):<13}{figure(load):>11}{'':<9}"
            length, look = round(load / links[0][1] * _room(width)), "busy" if load == links[0][1] else "accent"
            lines.append([Span(label), Span("█" * length, look)])
        lines.append([])
    return lines


def _pairs(modelled: Any, key: str) -> list[tuple[str, float]]:
    """Return pairs of name and finite number under `key`; none where there are none."""
    pairs = modelled.get(key) if isinstance(modelled, Mapping) else None
    good = [pair for pair in pairs or () if isinstance(pair, list | tuple) and len(pair) == 2 and (finite(pair[1]) or 0) > 0]
    return [(clean(name), float(value)) for name, value in good]


def _stacked(shares: Sequence[float], width: int) -> Line:
    """Return shares of one whole side by side, as a bar of `width` characters."""
    line, done, total = list[Span](), 0, sum(shares)
    for place, reached in enumerate(sum(shares[: n + 1]) for n in range(len(shares))):
        end = round(width * reached / total)
        line.append(Span("█" * (end - done), f"part{place}"))
        done = end
    return line


def _wrapped(items: Sequence[Line], width: int) -> list[Line]:
    """Return items side by side, in as many lines as they need; one that is too long is cut."""
    lines, used = list[Line](), width
    for item in items:
        length = sum(len(span.text) for span in item)
        if used + length > width:
            lines.append([])
            used = 0
        lines[-1] += item
        used += length
    return lines


def _link_lines(busy: Sequence[LoadedLink], width: int) -> list[Line]:
    lines: list[Line] = [[], [Span("links       events now", "bold"), Span("  cable: leaves the board", "dim")]]
    for link in busy:
        part = link.load / busy[0].load if busy[0].load else 0.0
        label = f"{link.name:<9}{figure(link.load):>13}{'  cable' if link.cable else '':<9}"
        lines.append([Span(label), Span("█" * round(part * _room(width)), "busy" if link is busy[0] else "accent")])
    return lines
