"""Where the energy goes, and the power over time."""

import numpy as np

from host.cost.ledger import RunLedger
from host.cost.windows import windows
from host.show import canvas, perfetto, plots
from host.show.blocks import Figure, Html, details, table
from host.show.content import Content, PricedRun
from host.show.quantities import format_quantity, scale_of
from host.show.words import ENERGY, name_of
from models.network import F64

TITLE = "Energy"
ORDER = 50
_MOST_POINTS = 120  # of the power's course


def figures(content: Content) -> list[Figure]:
    """Return the parts of the energy as bars, and the power over the run."""
    run, unit = content.run, content.unit
    if not run:
        return []
    whose, shown = "The chip's" if run.ledger.chips == 1 else "All chips'", _shown(run.ledger)
    part = "" if shown == run.ledger.positions else f" over the first {shown:,} positions"
    unknown = "What a waiting PE draws is published nowhere: the band goes from asleep to as much as a busy one."
    course = f"{whose} mean power{part}. {unknown}"
    parts = "Floor and powered PEs draw whether or not anything runs; computing and waiting come on top."
    return [
        Figure(name="energy", title=f"Energy a {unit}", caption=parts, draw=lambda: _split(run, unit)),
        Figure(name="power", title="Power over the run", caption=course, draw=lambda: _course(run)),
    ]


def build(content: Content) -> list[Html]:
    """Return the table of parts."""
    cost = content.report.get("modelled")
    if not cost:
        return []
    total_j = cost["energy_j"] or 1.0
    parts = cost["energy_parts_j"].items()
    rows = [(name_of(name, ENERGY), format_quantity(joules, "J"), f"{100 * joules / total_j:.1f} %") for name, joules in parts]
    rows.append(("sum", format_quantity(cost["energy_j"], "J"), "100 %"))
    return [details("Energy of the run, part by part", table(("part", "energy", "share"), rows, numeric=(1, 2)))]


def _split(run: PricedRun, unit: str) -> canvas.Figure:
    parts = {name_of(name, ENERGY): joules / run.steps for name, joules in run.priced.energy_parts_j.items()}
    return plots.bars(parts, "J", f"a {unit}")


def _course(run: PricedRun) -> canvas.Figure:
    """Draw the power over the run, or its first part, between both ends of what is not known."""
    window = next(windows(run.ledger, run.chip, run.costs))
    priced, own, shown = window.priced, window.own, _shown(run.ledger)
    end_s = run.priced.time_s if shown == run.ledger.positions else float(priced.began_s[own.stop].min())
    edges = np.linspace(0.0, end_s, min(_MOST_POINTS, max(shown, 1)) + 1)
    courses = []
    for end in ("low", "high"):
        starts, power = perfetto.power_w(window.ledger, priced, run.chip, run.costs.at(end, end), run.priced)
        before = int(np.searchsorted(starts, end_s, side="left"))
        courses.append(mean_course(starts[:before], power[:before], end_s, edges))
    factor, unit = scale_of(float(courses[1].max(initial=0.0)), "W")
    seconds, time_unit = scale_of(end_s, "s")
    across, (low, high) = np.repeat(seconds * edges, 2)[1:-1], (np.repeat(factor * course, 2) for course in courses)
    hint = f"{low.mean():.3g} to {high.mean():.3g} {unit} on average"
    return plots.band(across, low, high, f"modelled time, {time_unit}", unit, hint)


def _shown(ledger: RunLedger) -> int:
    """Return of how many positions the power is drawn: of a long run those that are priced at a time."""
    return min(ledger.positions, ledger.at_once)


def mean_course(starts: F64, values: F64, end: float, edges: F64) -> F64:
    """Return the mean between each two `edges` of what is values[n] from starts[n] on, until the next start or `end`."""
    bounds = np.append(starts, end)
    whole = np.concatenate([[0.0], np.cumsum(values * np.diff(bounds))])
    return np.asarray(np.diff(np.interp(edges, bounds, whole)) / np.maximum(np.diff(edges), 1e-300), np.float64)
