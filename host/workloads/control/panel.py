"""The live view's panel of a run in an environment: the cart or the arms, the readout's membranes, the return, and the deadline.

From the layout: `environment`, `actions`, `episodes`, `limit`, `deadline_s`, and `timer_s`, what an action takes in timer ticks.
From the status: `episode`, `step`, `return`, `drawing`, `values` (a membrane an action) and `returns` of the last episodes.
Importing it is light: the launcher does.
"""

from host.show.status import Fields, finite, number
from host.show.terminal_style import RISE, Line, Panel, Span, clean, figure
from host.workloads.control.drawing import drawn

_PICTURE = 36  # columns
_ROWS = 8
_NAMES = {"cartpole": ("left", "right"), "cartpole-v0": ("left", "right"), "acrobot": ("torque -1", "torque 0", "torque +1")}
_BAR = 18


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the episode's line, and below it the picture beside membranes, return and deadline; nothing where they do not fit."""
    if not layout_shown.get("environment") or rows < 4 or columns < 24:
        return []
    episode, episodes = number(shown, "episode"), number(layout_shown, "episodes")
    head = f"episode {figure(None if episode is None else episode + 1)} of {figure(episodes)}"
    panel: list[Line] = [[Span(head, "bold"), Span(f"  action {figure(number(shown, 'step'))}", "dim")]]
    beside = _beside(layout_shown, shown, max(0, min(_BAR, columns - _PICTURE - 26)))
    high = min(_ROWS, rows - 1)
    drawing = shown.get("drawing")
    wide = _PICTURE if columns >= _PICTURE + 24 else 0
    picture = drawn(drawing, wide, high) if isinstance(drawing, dict) and wide else []
    for row in range(max(len(picture), min(len(beside), high))):
        left = [Span(picture[row] + "  ", "accent")] if row < len(picture) else [Span(" " * (wide + 2))] if picture else []
        panel.append(left + (beside[row] if row < len(beside) else []))
    return panel


def _beside(layout_shown: Fields, shown: Fields, width: int) -> list[Line]:
    out: list[Line] = [[Span("return so far  ", "dim"), Span(figure(number(shown, "return")), "bold")]]
    returns = [value for value in (shown.get("returns") or ()) if finite(value) is not None][-24:]
    if returns:
        out.append([Span("episodes       ", "dim"), Span(_rise(returns), "accent")])
    values = [finite(value) for value in (shown.get("values") or ())][:5]
    known = [value for value in values if value is not None]
    names = _NAMES.get(str(layout_shown.get("environment")), ())
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    for place, value in enumerate(values):
        name = names[place] if place < len(names) else f"action {place}"
        filled = 0 if value is None or high <= low else round(width * (value - low) / (high - low))
        leads = value is not None and value == high
        text = clean(f"{name:<10}")
        out.append([Span("▸" if leads else " ", "hit"), Span(text), Span("█" * filled, "hit" if leads else "accent"),
                    Span(f" {figure(value)}", "dim")])  # fmt: skip
    out += _deadline(layout_shown, width)
    return out


def _deadline(layout_shown: Fields, width: int) -> list[Line]:
    deadline_s, timer_s = number(layout_shown, "deadline_s"), number(layout_shown, "timer_s")
    if not deadline_s or timer_s is None:
        return []
    share = timer_s / deadline_s
    filled = min(width, round(width * share))
    look = "hit" if share <= 1 else "miss"
    bar = [Span("█" * filled, look), Span("·" * (width - filled), "dim")]
    return [[Span(" deadline  "), *bar, Span(f" {1e3 * timer_s:.3g} of {1e3 * deadline_s:g} ms", "dim")]]


def _rise(values: list[float]) -> str:
    low, high = min(values), max(values)
    top = len(RISE) - 1
    return "".join(RISE[top if high <= low else 1 + round((value - low) / (high - low) * (top - 1))] for value in values)


PANEL = Panel(lines, above=True)
"""Where the live view shows it."""
