"""The live view's panel of a DNN: the layer that runs, how far its passes are, its workers, and the latest classes.

From the layout: `layers`, `kinds`, `tiles`, `used`, `passes`, `workers`, and as planned `bounds` and `times_s`. From the status:
`layer`, `pass`, `step`, `tiles_done`, `layer_bytes`, `classes`. The floor plan's colours are each worker's share of its tiles.
Importing it is light: the launcher does.
"""

from host.show.status import Fields, number
from host.show.terminal_style import Line, Panel, Span, bar, clean, columns_of, cut, figure

_WIDE = (20, 18, 11, 8)
_NARROW = (14, 12, 7, 4)
"""Columns of a layer's name, kind, tiles and the bar of its workers; narrow below `_LEAST_WIDE` columns."""
_SLIM = (14, 0, 7, 0)
"""The same where kind and bar have no room: below `_LEAST_NARROW` columns."""
_LEAST_WIDE, _LEAST_NARROW = 100, 74
_REST, _SLIM_REST = len("  tiles on 1234bound by scheduling") + 1, len("  on 1234scheduling")
"""Columns of the rest of a layer's line, with and without its kind and bar."""
_DRAM, _CLASSES = "DRAM  ", "classes  "


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the pass, a line for each layer with a mark at the one that runs, what DRAM brought for the one before, and classes;
    nothing where they do not fit.
    """
    layers = list(layout_shown.get("layers") or ())
    least = 2
    name, kind, count, length = _WIDE if columns >= _LEAST_WIDE else _NARROW if columns >= _LEAST_NARROW else _SLIM
    if not layers or rows < least or columns < name + kind + 10:
        return []
    kinds, tiles, used = (list(layout_shown.get(key) or ()) for key in ("kinds", "tiles", "used"))
    count = max(count, *(2 * len(figure(one)) + 1 for one in tiles)) if tiles else count
    # What is left goes to the columns that would be cut.
    spare = max(columns - (name + kind + count + length + (_REST if kind else _SLIM_REST)), 0)
    if kind:
        more = min(max(max(map(_width, kinds), default=0) + 1 - kind, 0), spare)
        kind, spare = kind + more, spare - more
    name += min(max(max(map(_width, layers)) + 1 - name, 0), spare)
    step, layer, part = (number(shown, key) for key in ("step", "layer", "pass"))
    passes = number(layout_shown, "passes") or 1
    total = len(layers) * passes
    panel: list[Line] = [[
        Span(f"pass {figure((part or 0) + 1)} of {figure(passes)}  ", "bold"),
        Span(bar((step or 0) / total, 20 if kind else 10), "accent"),
        Span(f"  layer {figure((layer or 0) + 1)} of {len(layers)}", "dim"),
    ]]  # fmt: skip
    workers = len(layout_shown.get("workers") or ()) or 1
    bounds, times = list(layout_shown.get("bounds") or ()), list(layout_shown.get("times_s") or ())
    room = max(min(len(layers), rows - 3), 1)
    first = max(min(int(layer or 0) - room // 2, len(layers) - room), 0)
    for place in range(first, first + room):
        runs = place == layer
        have = used[place] if place < len(used) else 0
        panel.append([
            Span("▸" if runs else " ", "hit"), Span(_cut_name(clean(layers[place]), name - 1), "bold" if runs else "plain"),
            Span(" " + cut(clean(kinds[place] if place < len(kinds) else ""), kind - 1) if kind else "", "dim"),
            Span(f" {_tiles(tiles, place, shown if runs else {}):>{count}}{' tiles' if kind else ''} on "),
            Span(cut(bar(have / workers, length), length) + " " if length else "", "accent"), Span(f"{have:<4}"),
            Span(f"{'bound by ' if kind else ''}{clean(bounds[place])}" if place < len(bounds) else "", "dim"),
        ])  # fmt: skip
    before = (int(layer or 0) - 1) % len(layers)
    seconds, moved = (times[before] if before < len(times) else 0.0), number(shown, "layer_bytes")
    if moved and seconds and len(panel) < rows:
        text = f"{moved / 1e3:,.1f} kB{' read' if kind else ''}, {moved / seconds / 1e9:.2f} GB/s in "
        where, planned, most = clean(layers[before]), "  by its planned time", columns - len(_DRAM) - len(text)
        panel.append([
            Span(_DRAM, "dim"), Span(text), Span(_cut_name(where, max(most, 4)).rstrip()),
            Span(planned if kind and _width(where) + len(planned) <= most else "", "dim"),
        ])  # fmt: skip
    classes = shown.get("classes")
    if isinstance(classes, list) and classes and len(panel) < rows:
        text = " ".join(clean(str(one)) for one in classes)
        panel.append([Span(_CLASSES, "dim"), Span(cut(text, columns - len(_CLASSES)).rstrip())])
    return panel


def _cut_name(name: str, columns: int) -> str:
    """Return a layer's name in so many columns; of a long one the end, which tells it from others."""
    cut_off = 0
    while _width(name[cut_off:]) > columns - bool(cut_off):
        cut_off += 1
    return cut(f"…{name[cut_off:]}" if cut_off else name, columns)


def _width(text: str) -> int:
    """Return the columns that a text takes."""
    return sum(map(columns_of, clean(text)))


def _tiles(tiles: list[int], place: int, shown: Fields) -> str:
    """Return a layer's tiles, with those that are done of the one that runs."""
    whole = figure(tiles[place] if place < len(tiles) else 0)
    done = number(shown, "tiles_done")
    return whole if done is None else f"{figure(min(int(done), tiles[place]) if place < len(tiles) else done)}/{whole}"


PANEL = Panel(lines, above=True)
