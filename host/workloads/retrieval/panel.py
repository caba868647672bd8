"""The live view's panel of a run on snapshots: the grid as it sharpens bit by bit, between the matched filter and the truth.

From the status: `number`, `of`, and `grids`, name -> sizes: a list of them for a line of cells, a list of lists for a plane.
Importing it is light: the launcher does.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from host.show.status import Fields
from host.show.terminal_style import Line, Panel, Span, clean, figure

_HEIGHTS = " ▁▂▃▄▅▆▇█"
_SHADES = " ·░▒▓█"
_LABEL = 16
_LEAST = 8  # characters of a line of cells
_GAP = 2


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:  # noqa: ARG001 - the contract's arguments
    """Return a line a grid, or planes side by side; nothing where they do not fit."""
    grids = shown.get("grids")
    if not isinstance(grids, dict) or not grids:
        return []
    head: list[Line] = [[Span(f"snapshot {figure(shown.get('number'))} of {figure(shown.get('of'))}", "bold")]]
    try:
        first = next(iter(grids.values()))
        drawn = _planes(grids, columns) if isinstance(first[0], list) else _spectra(grids, columns)
    except (TypeError, ValueError, IndexError, KeyError):  # a stranger's status
        return []
    return head + drawn if drawn and len(drawn) < rows else []


def _spectra(grids: Mapping[str, Sequence[float]], columns: int) -> list[Line]:
    """Return a line a grid: the heights of its cells; where there is less room than cells, some share one: the largest's."""
    if columns < _LABEL + _LEAST:
        return []
    width = max(len(sizes) for sizes in grids.values())
    each = -(-width // (columns - _LABEL))  # cells that share a character
    top = max(max(sizes) for sizes in grids.values()) or 1.0
    heights = {
        name: "".join(_sign(_HEIGHTS, max(sizes[at : at + each]), top) for at in range(0, len(sizes), each))
        for name, sizes in grids.items()
    }
    return [[Span(f"{clean(name):<{_LABEL}}", "dim"), Span(row, _look(name))] for name, row in heights.items()]


def _planes(grids: Mapping[str, Sequence[Sequence[float]]], columns: int) -> list[Line]:
    """Return as many planes as fit side by side, the first and the last of them, two cells of a column in a line."""
    names = list(grids)
    width = max(len(next(iter(grids.values()))[0]), _LABEL) + _GAP
    fit = columns // width
    if fit < 2:
        return []
    names = [names[0], *names[max(1, len(names) - fit + 1) :]]
    parts = [[clean(name), *_shaded(grids[name])] for name in names]
    looks = ["dim" if not row else "" for row in range(len(parts[0]))]
    return [
        [Span(f"{part[row]:<{width}}", looks[row] or _look(name)) for name, part in zip(names, parts, strict=True)]
        for row in range(len(parts[0]))
    ]


def _shaded(plane: Sequence[Sequence[float]]) -> list[str]:
    top = max(max(row) for row in plane) or 1.0
    pairs = [[max(pair) for pair in zip(*plane[at : at + 2], strict=True)] for at in range(0, len(plane), 2)]
    return ["".join(_sign(_SHADES, size, top) for size in row) for row in pairs]


def _sign(signs: str, size: Any, top: float) -> str:
    """Return the sign of a size, 0 to `top`; the first is for what is nothing at all."""
    share = min(max(float(size) / top, 0.0), 1.0)
    return signs[0] if share < 1 / 64 else signs[1 + min(int(share * (len(signs) - 1)), len(signs) - 2)]


def _look(name: str) -> str:
    return "dim" if name == "matched filter" else "hit" if name == "truth" else "accent"


PANEL = Panel(lines, above=True)
