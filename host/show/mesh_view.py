"""The floor plans of several chips as they lie on the mesh, drawn in characters for the live view.

A chip is drawn as large as all of them fit: a PE as two characters or as half of one, a QPE as half of one, or the whole chip
as one tile with its number. Rows of the mesh are shifted by half a chip each, so that the six neighbours of a chip lie around
it and the links between them can be drawn; where not even tiles fit so, they stand in rows without links. What a status
lacks is drawn as unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from host.show.status import Fields, at
from host.show.terminal_style import Line, Span, heat_step, percent
from noc.chip import PES_PER_QPE, QPES, ChipError, PeId, parse_pe

MARKS = {"stalled": "!", "dead": "×"}  # noqa: RUF001 - a cross
EVENT_ROUTER = ((4, 3), (4, 4))
"""Of the four holes of a chip's floor plan only these two; the other two lie at the die's edge."""

_SITES = {(x, y, p): (2 * (y - 1) + p // 2, 2 * (x - 1) + p % 2) for x, y in QPES for p in range(PES_PER_QPE)}
_HALF_ROWS, _COLUMNS = 12, 14  # of a chip's PEs
_UP = {(1, 0): "E", (1, 1): "NE", (0, 1): "N"}  # the links that are drawn from their lower or left end


class Scale(NamedTuple):
    """How large a chip is drawn, in characters, without the line above it that names it; `tile`: it is only that line.

    `across` and `down` lead from chip to chip; `marks` is where, in the line with the name, the links to the row above are.
    """

    wide: int
    high: int
    across: int
    down: int
    marks: tuple[int, int]
    tile: bool = False


LARGE = Scale(28, 12, 30, 13, (4, 23))
SCALES = (LARGE, Scale(14, 6, 16, 7, (2, 11)), Scale(7, 3, 8, 4, (1, 5)), Scale(3, 0, 4, 2, (0, 2), tile=True))


class Drawing(NamedTuple):
    """A drawing: its lines, how wide it is, and at which scale it was made."""

    lines: list[Line]
    wide: int
    scale: Scale


class _Unlit(NamedTuple):
    """What a PE or QPE shows that has no activity: `fill` to see it by, and how."""

    fill: str
    look: str


_UNUSED, _UNKNOWN = _Unlit("·", "dim"), _Unlit("░", "dim")
_WRONG = {kind: _Unlit(mark, "fault") for kind, mark in MARKS.items()}
_Pixel = float | _Unlit | None  # None: there is nothing


class _Pe(NamedTuple):
    """A PE in use: its place in the layout, its name, and where it is on its chip."""

    place: int
    name: str
    row: int
    column: int


class MeshView:
    """Draws the chips of a layout (`host/show/status.py`)."""

    def __init__(self, layout: Fields) -> None:
        listed = [chip for chip in layout.get("chips") or () if isinstance(chip, dict) and isinstance(chip.get("number"), int)]
        self.chips = [int(chip["number"]) for chip in listed]
        places = {int(chip["number"]): chip.get("position") for chip in listed}
        self._mesh = {n: (int(p[0]), int(p[1])) for n, p in places.items() if isinstance(p, list | tuple) and len(p) == 2}
        self._pes: dict[int, list[_Pe]] = {chip: [] for chip in self.chips}
        layers = {str(layer.get("name")): place for place, layer in enumerate(layout.get("layers") or (), 1)}
        self._layers: dict[int, set[int]] = {chip: set() for chip in self.chips}
        for place, pe in enumerate(layout.get("pes") or ()):
            site = pe_named(pe.get("name"))
            if site is not None and site.chip in self._pes and site[1:] in _SITES:
                self._pes[site.chip].append(_Pe(place, str(site), *_SITES[site.x, site.y, site.p]))
                self._layers[site.chip] |= {layers[name] for name in str(pe.get("layer") or "").split("+") if name in layers}
        self._links = [tuple(link.get("ends") or ()) if isinstance(link, dict) else () for link in layout.get("links") or ()]

    def draw(self, status: Fields, wide: int, high: int) -> Drawing | None:
        """Return the chips as large as they fit into `wide` columns and `high` rows; None where they do not."""
        for on_mesh in (True, False):
            for scale in SCALES:
                places = self._on_mesh(scale) if on_mesh else self._in_rows(scale, wide)
                right = max((column + scale.wide for _, column in places.values()), default=wide + 1)
                bottom = max((row + 1 + scale.high for row, _ in places.values()), default=high + 1)
                if right <= wide and bottom <= high:
                    canvas = _Canvas(bottom)
                    self._draw(canvas, scale, places, status)
                    if on_mesh:
                        self._draw_links(canvas, scale, places, status.get("links"))
                    return Drawing(canvas.lines(), right, scale)
        return None

    def _on_mesh(self, scale: Scale) -> dict[int, tuple[int, int]]:
        """Return where each chip goes, (row, column); nothing where it is not known for all of them. The mesh's y grows upwards."""
        if not self.chips or len(self._mesh) < len(self.chips):
            return {}
        top = max(y for _, y in self._mesh.values())
        left = min(2 * x - y for x, y in self._mesh.values())
        return {n: ((top - y) * scale.down, (2 * x - y - left) * scale.across // 2) for n, (x, y) in self._mesh.items()}

    def _in_rows(self, scale: Scale, wide: int) -> dict[int, tuple[int, int]]:
        a_row = max((wide + scale.across - scale.wide) // scale.across, 1)
        down = max(scale.down - 1, scale.high + 1)  # tiles need no line between them
        return {n: (place // a_row * down, place % a_row * scale.across) for place, n in enumerate(self.chips)}

    def _draw(self, canvas: _Canvas, scale: Scale, places: Mapping[int, tuple[int, int]], status: Fields) -> None:
        wrong = {str(name): kind for kind in MARKS for name in status.get(kind) or ()}
        shares = status.get("pe_activity")
        for chip, (row, column) in places.items():
            canvas.put(row, column, self._name(chip, scale, shares, wrong))
            if not scale.tile:
                pixels = self._pixels(chip, shares, wrong)
                if scale is LARGE:
                    lines = [list(map(_wide, line)) for line in pixels]
                else:
                    lines = _halves(pixels if scale.wide == _COLUMNS else _by_qpe(pixels))
                for down, line in enumerate(lines, 1):
                    canvas.put(row + down, column, line)

    def _name(self, chip: int, scale: Scale, shares: Sequence[Any] | None, wrong: Mapping[str, str]) -> Line:
        """Return the line that names a chip: its number, its layers and its mean activity, or what is wrong on it."""
        kinds = [wrong[pe.name] for pe in self._pes[chip] if pe.name in wrong]
        router = wrong.get(f"router@{chip}")
        room = scale.wide if scale.tile else scale.marks[1] - scale.marks[0] - 1
        margin = (scale.wide - room) // 2
        if router or kinds:
            mark = MARKS["dead" if "dead" in (router, *kinds) else "stalled"]
            what = ("router", "ER") if router else (f"{len(kinds)} PEs" if len(kinds) > 1 else "1 PE", str(len(kinds)))
            short = f"{chip} {mark}{what[1]}"
            texts = (f"chip {chip} {mark} {what[0]}", f"chip {short}", short, f"{mark}{chip}")
            return [Span(" " * margin), Span(f"{_fitting(texts, room):^{room}}", "fault")]
        active = [share for pe in self._pes[chip] if (share := at(shares, pe.place)) is not None]
        mean = sum(active) / len(active) if active else None
        activity = percent(mean).replace(" ", "") if self._pes[chip] else "·"
        if scale.tile:
            step = heat_step(mean) if mean is not None else -1
            return [Span(f"{chip:^{room}}" if mean is not None else f"{chip}{activity}"[:room].center(room), "tile", -1, step)]
        run = sorted(self._layers[chip])
        layers = f"L{run[0]}" + (f"-{run[-1]}" if run[1:] else "") if run else ""
        texts = (f"chip {chip} {layers} {activity}", f"chip {chip} {activity}", f"{chip} {activity}", f"{chip}")
        return [Span(" " * margin), Span(f"{_fitting(texts, room):^{room}}", "bold")]

    def _pixels(self, chip: int, shares: Sequence[Any] | None, wrong: Mapping[str, str]) -> list[list[_Pixel]]:
        """Return what each PE shows, as 12 rows of 14."""
        pixels: list[list[_Pixel]] = [[None] * _COLUMNS for _ in range(_HALF_ROWS)]
        for row, column in _SITES.values():
            pixels[row][column] = _UNUSED
        for place, name, row, column in self._pes[chip]:
            share = at(shares, place)
            pixels[row][column] = _WRONG[wrong[name]] if name in wrong else _UNKNOWN if share is None else share
        if kind := wrong.get(f"router@{chip}"):
            for x, y in EVENT_ROUTER:
                for row in (2 * y - 2, 2 * y - 1):
                    pixels[row][2 * x - 2 : 2 * x] = [_WRONG[kind]] * 2
        return pixels

    def _draw_links(
        self, canvas: _Canvas, scale: Scale, places: Mapping[int, tuple[int, int]], loads: Sequence[Any] | None
    ) -> None:
        """Mark each link between neighbours on the drawing, both directions as one; those around the torus have no room."""
        busiest = max((load for place in range(len(self._links)) if (load := at(loads, place))), default=0.0)
        carried: dict[tuple[int, int], float] = {}
        for place, ends in enumerate(self._links):
            if len(ends) == 2 and all(end in self._mesh for end in ends):
                pair = (min(ends), max(ends))
                carried[pair] = max(carried.get(pair, 0.0), at(loads, place) or 0.0)
        for (a, b), load in carried.items():
            for one, other in ((a, b), (b, a)):
                (x, y), (to_x, to_y) = self._mesh[one], self._mesh[other]
                way = _UP.get((to_x - x, to_y - y))
                if way is None:
                    continue
                look = "busy" if load and load == busiest else "accent" if load else "dim"
                row, column = places[one]
                if way == "E":
                    gap = scale.across - scale.wide
                    line = "━" if load and load >= busiest / 2 else "─"
                    canvas.put(row + (scale.high + 1) // 2, column + scale.wide, [Span(line * gap, look)])
                else:
                    above = row - 1 if scale.tile else row
                    mark = ("╲", "╱")[way == "NE"]  # noqa: RUF001 - a line
                    canvas.put(above, column + scale.marks[way == "NE"], [Span(mark, look)])


def pe_named(name: Any) -> PeId | None:
    """Return the PE of this name; None where it names none."""
    try:
        return parse_pe(str(name))
    except ChipError:
        return None


def _fitting(texts: Iterable[str], room: int) -> str:
    texts = [" ".join(text.split()) for text in texts]
    return next((text for text in texts if len(text) <= room), texts[-1][:room])


def _wide(pixel: _Pixel) -> Span:
    """Return two characters for a pixel."""
    if pixel is None:
        return Span("  ")
    if isinstance(pixel, _Unlit):
        return Span(f"{pixel.fill} " if pixel is _UNUSED else 2 * pixel.fill, pixel.look)
    return Span("▇▇", "heat", heat_step(pixel))  # not quite full, so that rows stay apart


def _halves(pixels: Sequence[Sequence[_Pixel]]) -> list[Line]:
    """Return one character for two pixels, one above the other."""
    return [list(map(_half, above, below)) for above, below in zip(pixels[::2], pixels[1::2], strict=True)]


def _half(above: _Pixel, below: _Pixel) -> Span:
    unlit = [pixel for pixel in (above, below) if isinstance(pixel, _Unlit)]
    for pixel in (*_WRONG.values(), _UNKNOWN):
        if any(one is pixel for one in unlit) and (pixel is not _UNKNOWN or len(unlit) == 2):
            return Span(pixel.fill, pixel.look)
    ink = heat_step(above) if isinstance(above, float | int) else -1
    ground = heat_step(below) if isinstance(below, float | int) else -1
    if ink >= 0:
        return Span("█", "heat", ink) if ink == ground else Span("▀", "heat", ink, ground)
    if ground >= 0:
        return Span("▄", "heat", ground)
    return Span(unlit[0].fill, unlit[0].look) if unlit else Span(" ")


def _by_qpe(pixels: Sequence[Sequence[_Pixel]]) -> list[list[_Pixel]]:
    """Return what each QPE shows: what is wrong with a PE of it, else the mean of what is known."""
    return [
        [_of_qpe([pixels[y][x], pixels[y][x + 1], pixels[y + 1][x], pixels[y + 1][x + 1]]) for x in range(0, _COLUMNS, 2)]
        for y in range(0, _HALF_ROWS, 2)
    ]


def _of_qpe(four: Sequence[_Pixel]) -> _Pixel:
    for pixel in (_WRONG["dead"], _WRONG["stalled"]):
        if any(one is pixel for one in four):
            return pixel
    shares = [pixel for pixel in four if isinstance(pixel, float | int)]
    if shares:
        return sum(shares) / len(shares)
    return next((one for one in four if one is _UNKNOWN), four[0])


class _Canvas:
    """Rows of spans that are put anywhere, without overlapping but by their outer blanks."""

    def __init__(self, rows: int) -> None:
        self._rows: list[list[tuple[int, Span]]] = [[] for _ in range(rows)]

    def put(self, row: int, column: int, spans: Iterable[Span]) -> None:
        """Put spans side by side; blanks are left out."""
        for span in spans:
            if span.look != "plain" and 0 <= row < len(self._rows):
                self._rows[row].append((column, span))
            column += len(span.text)

    def lines(self) -> list[Line]:
        """Return the rows from left to right, neighbours of one look joined."""
        lines: list[Line] = []
        for row in self._rows:
            line, end = list[Span](), 0
            for column, span in sorted(row):
                if column > end:
                    line.append(Span(" " * (column - end)))
                if line and column <= end and line[-1][1:] == span[1:]:
                    line[-1] = span._replace(text=line[-1].text + span.text)
                else:
                    line.append(span)
                end = column + len(span.text)
            lines.append(line)
        return lines
