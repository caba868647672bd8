"""The live view's panel of a run on snapshots: the matched filter, what came out, and the truth, one below the other.
Where there is less room than cells, some share a character: the largest of them.

From the status: `number`, `of`, and `grids`, name -> sizes along the last dimension. Importing it is light: the launcher does.
"""

from host.show.status import Fields
from host.show.terminal_style import Line, Panel, Span, clean, figure

_SHADES = " .:-=+*#%@"
_LABEL = 16


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:  # noqa: ARG001 - the contract's arguments
    """Return a line a grid; nothing where they do not fit."""
    grids = shown.get("grids")
    if not isinstance(grids, dict) or rows < len(grids) + 1 or columns < _LABEL + 8:
        return []
    panel: list[Line] = [[Span(f"snapshot {figure(shown.get('number'))} of {figure(shown.get('of'))}", "bold")]]
    for name, of_cells in grids.items():
        each = -(-len(of_cells) // (columns - _LABEL)) or 1  # cells that share a character
        sizes = [max(of_cells[at : at + each]) for at in range(0, len(of_cells), each)]
        top = max(sizes, default=0) or 1
        shades = "".join(_SHADES[min(int(size / top * (len(_SHADES) - 1) + 0.5), len(_SHADES) - 1)] for size in sizes)
        panel.append([Span(f"{clean(name):<{_LABEL}}", "dim"), Span(shades, "accent")])
    return panel


PANEL = Panel(lines, above=True)
