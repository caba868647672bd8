"""The live view's panel of a run of a spiking network: a layer's spikes step by step, class counts as they rise, and a membrane.

From the layout: `classes`, `layer`, `membrane`. From the status: `sample`, `samples`, `name`, `label` (the true class or None),
`step`, `steps`, `scores`, `raster` (shares of units that fired by step and band of units), and `membrane` where one is
asked for. Importing it is light: the launcher does.
"""

from host.show.status import Fields, at, finite, number
from host.show.terminal_style import Line, Panel, Span, bar, clean, cut, figure, sparkline

_NAME, _REST, _LEAST_RASTER = 14, 19, 16  # columns: of a class, of its count and bar, of a raster beside them
_SHORT = {"right hand": "R", "left hand": "L", "counter clockwise": "↺", "clockwise": "↻"}
_SHADES = " ░▒▓█"
_FULL = 0.5  # share of a band's units that is drawn full


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the sample's name, the raster beside a bar for each class, and the membrane; nothing where they do not fit."""
    classes = list(layout_shown.get("classes") or ())
    if not classes or rows < len(classes) + 1 or columns < _NAME + 12:
        return []
    room = columns - _NAME - _REST if columns >= _NAME + _REST + _LEAST_RASTER else 0
    scores = shown.get("scores")
    raster = shaded(shown.get("raster"), min(len(classes), rows - 1), room) if room else []
    heights = [at(scores if isinstance(scores, list) else None, place) or 0.0 for place in range(len(classes))]
    top, best = max(*heights, 1e-9), max(range(len(classes)), key=lambda place: heights[place])
    label = shown.get("label")
    sample, samples, step, steps = (figure(number(shown, key)) for key in ("sample", "samples", "step", "steps"))
    # The layer first, where its raster is drawn: a file's name may be long.
    about = ", ".join(filter(None, (str(layout_shown.get("layer", "")) if room else "", str(shown.get("name", "")))))
    head = f"sample {sample} of {samples}, step {step} of {steps}  "
    panel: list[Line] = [[Span(head, "bold"), Span(clean(about)[: max(columns - len(head), 0)], "dim")]]
    for place, name in enumerate(classes):
        line: Line = [Span(raster[place] if place < len(raster) else " " * room, "accent"), Span("  " if room else "")]
        true, leads = place == label, place == best and heights[place] > 0
        look = ("hit" if true or label is None else "miss") if leads else "plain"
        line += [
            Span("▸" if true else " ", "hit"),
            Span(cut(_shortened(clean(name)), _NAME), look),
            Span(f"{_score(heights[place]):>7} "),
        ]
        line.append(Span(bar(heights[place] / top, 8), look))
        panel.append(line)
    values = shown.get("membrane")
    if isinstance(values, list) and values and rows > len(panel):
        known = [finite(value) for value in values][-max(columns - 24, 1) :]
        low = min((value for value in known if value is not None), default=0.0)
        risen = [None if value is None else value - low for value in known]
        panel.append([Span(cut(f"membrane {clean(layout_shown.get('membrane'))} ", 22), "dim"), Span(sparkline(risen), "accent")])
    return panel


def _score(score: float) -> str:
    """Return a count, or a membrane in two digits behind the point, never a zero with a sign."""
    return figure(score) if score == int(score) else f"{round(score, 2) or 0.0:.2f}"


def _shortened(name: str) -> str:
    for words, sign in _SHORT.items():
        name = name.replace(words, sign)
    return name


def shaded(raster: object, rows: int, columns: int) -> list[str]:
    """Return the last steps as columns of characters, bands of units as rows, darker where more fired."""
    steps = [step for step in raster if isinstance(step, list) and step] if isinstance(raster, list) else []
    steps = steps[-columns:]
    if not steps or rows < 1:
        return []
    drawn = []
    for row in range(rows):
        line = ""
        for step in steps:
            first, last = row * len(step) // rows, max((row + 1) * len(step) // rows, row * len(step) // rows + 1)
            share = sum(finite(value) or 0.0 for value in step[first:last]) / (last - first)
            line += _SHADES[min(int(share / _FULL * 4 + (0.999 if share > 0 else 0)), 4)]
        drawn.append(line.ljust(columns))
    return drawn


PANEL = Panel(lines, above=True)
