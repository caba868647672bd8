"""The live view's panel of a run on recordings: the event frame as it streams, beside the classes and their scores.

From the layout: `classes`, their names. From the status: `sample` (its number), `samples`, `name`, `label` (the true class),
`frame` (size * size bytes), `size`, `scores`, and `top`, the score of a full bar. Importing it is light: the launcher does.
"""

from host.show.status import Fields, number
from host.show.terminal_style import Line, Panel, Span, clean, figure
from host.workloads.dvs.frame_glyphs import SHORTEST, Bar, bars, cells

_FRAME = 32  # columns of a whole event frame, and twice its rows
_BARS = 22  # columns of the classes beside it at least
_FIGURE_ROWS = 10  # that a whole frame leaves to the run's figures


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the sample's name, and below it the frame beside a bar for each class; nothing where they do not fit."""
    classes = list(layout_shown.get("classes") or ())
    if not classes or rows < len(classes) + 1:
        return []
    # The whole frame where the figures below keep room, else every second pixel of it.
    whole = columns >= _FRAME + _BARS and rows >= 1 + _FRAME // 2 + _FIGURE_ROWS
    left = _FRAME if whole else _FRAME // 2
    frame = cells(shown.get("frame"), shown.get("size"), left)
    room = min(max(columns - left - 14, SHORTEST), 16)
    width = max(min(columns - left - room - 4, 32), 0)
    scores = bars(classes, shown.get("scores"), shown.get("label"), shown.get("top"), room, width)
    sample, samples = (figure(number(shown, key)) for key in ("sample", "samples"))
    panel = [[Span(f"sample {sample} of {samples}  ", "bold"), Span(clean(shown.get("name")), "dim")]]
    for row in range(max(left // 2, len(classes))):
        pixels = frame[row] if row < len(frame) else []
        line = [*pixels, Span(" " * (left - len(pixels) + 2))]
        if row < len(scores):
            line += _class_line(scores[row])
        elif row == len(scores) + 1:
            line.append(Span("▸the true class", "dim"))
        panel.append(line)
    return panel


def _class_line(row: Bar) -> Line:
    mark, look = ("▸", "hit") if row.true else (" ", "plain")
    hue = ("hit" if row.true else "miss") if row.leads else "accent"
    return [Span(mark, "hit"), Span(row.name, look), Span(" "), Span(row.bar, hue)]


PANEL = Panel(lines, above=True)
