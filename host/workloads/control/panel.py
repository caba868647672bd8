"""The live view's panel of a run in an environment: the cart or the arms, the readout's membranes, the return, and the deadline.

From the layout: `environment`, `actions`, `episodes`, `limit`, `deadline_s`, and `timer_s`, what an action takes in timer ticks.
From the status: `episode`, `step`, `return`, `drawing`, `values` (a membrane an action) and `returns` of the last episodes.
Importing it is light: the launcher does.
"""

from host.show.status import Fields, finite, number
from host.show.terminal_style import RISE, Line, Panel, Span, figure
from host.workloads.control.drawing import drawn

_WIDEST, _NARROWEST, _BESIDE = 36, 14, 26  # columns of a picture, and of what stands beside it at least
_ROWS = 8
_NAMES = {"cartpole": ("left", "right"), "cartpole-v0": ("left", "right"), "acrobot": ("torque -1", "torque 0", "torque +1")}
_VALUE = 7


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:
    """Return the episode's line, below it the picture beside return and membranes, and the deadline; nothing where none fits."""
    if not layout_shown.get("environment") or rows < 5 or columns < _BESIDE:
        return []
    episode, episodes = number(shown, "episode"), number(layout_shown, "episodes")
    head = f"episode {figure(None if episode is None else episode + 1)} of {figure(episodes)}"
    panel: list[Line] = [[Span(head, "bold"), Span(f"  action {figure(number(shown, 'step'))}", "dim")]]
    last = _deadline(layout_shown, columns)
    high = min(_ROWS, rows - 1 - len(last))
    wide = min(_WIDEST, columns - _BESIDE - 2)
    drawing = shown.get("drawing")
    picture = drawn(drawing, wide, high) if isinstance(drawing, dict) and wide >= _NARROWEST else []
    beside = _beside(layout_shown, shown, columns - wide - 2 if picture else min(columns, 2 * _BESIDE))
    for row in range(max(len(picture), min(len(beside), high))):
        left = [Span(picture[row] + "  ", "accent")] if row < len(picture) else [Span(" " * (wide + 2))] if picture else []
        panel.append(left + (beside[row] if row < len(beside) else []))
    return panel + last


def _beside(layout_shown: Fields, shown: Fields, width: int) -> list[Line]:
    out: list[Line] = [[Span("return so far  ", "dim"), Span(figure(number(shown, "return")), "bold")]]
    returns = [value for value in (shown.get("returns") or ()) if finite(value) is not None][-(width - 10) :]
    if returns:
        out.append([Span("episodes  ", "dim"), Span(_rise(returns), "accent")])
    values = [finite(value) for value in (shown.get("values") or ())][:5]
    known = [value for value in values if value is not None]
    known_names = _NAMES.get(str(layout_shown.get("environment")), ())
    names = [known_names[place] if place < len(known_names) else f"{place}" for place in range(len(values))]
    room = max(map(len, names), default=0) + 1
    low, high = (min(*known, 0.0), max(known)) if known else (0.0, 0.0)
    bar = max(0, min(_WIDEST // 2, width - room - _VALUE - 1))
    for name, value in zip(names, values, strict=True):
        filled = 0 if value is None or high <= low else round(bar * (value - low) / (high - low))
        leads = value is not None and value == high
        text = f"{figure(value):>{_VALUE}}"
        out.append([
            Span("▸" if leads else " ", "hit"), Span(f"{name:<{room}}"[:room]), Span(f"{text} ", "dim"),
            Span("█" * filled, "hit" if leads else "accent"),
        ])  # fmt: skip
    return out


def _deadline(layout_shown: Fields, columns: int) -> list[Line]:
    """Return the bar of what an action takes in timer ticks, in full where it is the deadline."""
    deadline_s, timer_s = number(layout_shown, "deadline_s"), number(layout_shown, "timer_s")
    if not deadline_s or timer_s is None:
        return []
    text = f" {1e3 * timer_s:.3g} of {1e3 * deadline_s:g} ms"
    width = max(0, min(_WIDEST, columns - len("deadline ") - len(text)))
    share = timer_s / deadline_s
    filled = min(width, round(width * share))
    return [[
        Span("deadline ", "dim"), Span("█" * filled, "hit" if share <= 1 else "miss"), Span("·" * (width - filled), "dim"),
        Span(text, "dim"),
    ]]  # fmt: skip


def _rise(values: list[float]) -> str:
    low, high = min(values), max(values)
    top = len(RISE) - 1
    return "".join(RISE[top if high <= low else 1 + round((value - low) / (high - low) * (top - 1))] for value in values)


PANEL = Panel(lines, above=True)
"""Where the live view shows it."""
