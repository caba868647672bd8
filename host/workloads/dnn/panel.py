"""The live view's panel of a DNN: the layer that runs, how far its passes are, its workers, and the latest classes.

From the layout: `layers`, `kinds`, `tiles`, `used`, `passes`, `workers`. From the status: `layer`, `pass`, `step`, `classes`.
Importing it is light: the launcher does.
"""

from host.show.status import Fields, number
from host.show.terminal_style import Line, Panel, Span, bar, clean, cut, figure

_NAME, _KIND = 20, 18


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the pass, a line for each layer with a mark at the one that runs, and classes; nothing where they do not fit."""
    layers = list(layout_shown.get("layers") or ())
    least = 2
    if not layers or rows < least or columns < _NAME + _KIND + 10:
        return []
    step, layer, part = (number(shown, key) for key in ("step", "layer", "pass"))
    passes = number(layout_shown, "passes") or 1
    total = len(layers) * passes
    panel: list[Line] = [[
        Span(f"pass {figure((part or 0) + 1)} of {figure(passes)}  ", "bold"), Span(bar((step or 0) / total, 20), "accent"),
        Span(f"  layer {figure((layer or 0) + 1)} of {len(layers)}", "dim"),
    ]]  # fmt: skip
    kinds, tiles, used = (list(layout_shown.get(key) or ()) for key in ("kinds", "tiles", "used"))
    workers = len(layout_shown.get("workers") or ()) or 1
    room = max(min(len(layers), rows - 2), 0)
    first = max(min(int(layer or 0) - room // 2, len(layers) - room), 0)
    for place in range(first, first + room):
        runs = place == layer
        have = used[place] if place < len(used) else 0
        panel.append([
            Span("▸" if runs else " ", "hit"), Span(cut(clean(layers[place]), _NAME), "bold" if runs else "plain"),
            Span(cut(clean(kinds[place] if place < len(kinds) else ""), _KIND), "dim"),
            Span(f"{figure(tiles[place] if place < len(tiles) else 0):>7} tiles on "), Span(bar(have / workers, 8), "accent"),
            Span(f" {have}"),
        ])  # fmt: skip
    classes = shown.get("classes")
    if isinstance(classes, list) and classes and len(panel) < rows:
        panel.append([Span("classes  ", "dim"), Span(" ".join(figure(one) for one in classes))])
    return panel


PANEL = Panel(lines, above=True)
