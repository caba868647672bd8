"""Where the energy goes, and the power over time."""

import numpy as np

from host.cost.windows import windows
from host.show import perfetto, plots
from host.show.blocks import Figure, Html, figure_row, table
from host.show.content import Content, PricedRun

TITLE = "Energy"
ORDER = 50
_POWER_POSITIONS = 6  # whose power is drawn


def build(content: Content) -> list[Html]:
    """Return the figures and the table of parts."""
    cost = content.report.get("modelled")
    if not cost:
        return []
    total_j = cost["energy_j"] or 1.0
    rows = [(name, f"{1e3 * joules:.4g}", f"{100 * joules / total_j:.1f} %") for name, joules in cost["energy_parts_j"].items()]
    rows.append(("sum", f"{1e3 * cost['energy_j']:.4g}", "100 %"))
    drawn = [energy_split(content.run, content.unit), power_course(content.run)] if content.run else []
    return [figure_row(drawn), table(("part", "mJ", "share"), rows, numeric=(1, 2))]


def energy_split(run: PricedRun, unit: str) -> Figure:
    """Return the parts of the energy, as bars."""
    steps = run.ledger.positions * run.ledger.lanes
    parts = {name: 1e3 * joules / steps for name, joules in run.priced.energy_parts_j.items()}
    caption = "floor: the chip with its PEs off; sleep: PEs powered; compute and wait: above sleep."
    return Figure(f"Energy a {unit}", caption, plots.svg(plots.bars(parts, f"mJ a {unit}"), "energy"))


def power_course(run: PricedRun) -> Figure:
    """Return the power of the first positions, for both ends of what is not known."""
    ledger, course = run.ledger, {}
    window = next(windows(ledger, run.chip, run.costs, _POWER_POSITIONS))
    priced, end_s = window.priced, run.priced.time_s
    last = priced.began_s[window.own].max() if ledger.positions > _POWER_POSITIONS else end_s
    for name, end in (("waiting PEs at their low end", "low"), ("at their high end", "high")):
        starts, power = perfetto.power_w(window.ledger, priced, run.chip, run.costs.at(end, end), run.priced)
        turns = int(np.searchsorted(starts, last, side="left"))
        bounds = np.append(starts, end_s)[: turns + 1]
        course[name] = (1e3 * np.repeat(bounds, 2)[1:-1], 1e3 * np.repeat(power[:turns], 2))
    figure = plots.lines(course, "modelled time in ms", "mW", low=0)
    whose = "The chip's" if ledger.chips == 1 else "All chips'"
    caption = (
        f"{whose} mean power in each layer's turn, first {min(_POWER_POSITIONS, ledger.positions)} positions. What a waiting PE "
        "draws is published nowhere: from asleep to as much as a busy one."
    )
    return Figure("Power over time", caption, plots.svg(figure, "power"))
