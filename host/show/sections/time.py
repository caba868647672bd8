"""How long each stage of each layer takes on the modelled chip."""

from collections.abc import Mapping

from host.show import canvas, plots
from host.show.blocks import Figure, Html, details, table
from host.show.content import Content, PricedRun
from host.show.quantities import format_quantity
from host.show.words import Words, name_of

TITLE = "Time on the modelled chip"
ORDER = 10


def figures(content: Content) -> list[Figure]:
    """Return the profile of stages."""
    run, unit, words = content.run, content.unit, content.stages
    if not run:
        return []
    caption = "On the slowest PE of each layer, stage by stage."
    return [Figure(name="stages", title="Stages by layer", caption=caption, draw=lambda: _profile(run, unit, words))]


def build(content: Content) -> list[Html]:
    """Return the table of stages."""
    cost = content.report.get("modelled")
    return [details("Each layer's share of the time, by stage", _stages(cost["stages_s"], content.stages))] if cost else []


def _profile(run: PricedRun, unit: str, words: Mapping[str, Words]) -> canvas.Figure:
    steps = run.steps
    rows = {
        layer: {name_of(stage, words): seconds / steps for stage, seconds in stages.items()}
        for layer, stages in run.priced.stages_s.items()
    }
    return plots.stacked_bars(rows, "s", f"a {unit}")


def _stages(stages_s: Mapping[str, Mapping[str, float]], words: Mapping[str, Words]) -> Html:
    total_s = sum(sum(row.values()) for row in stages_s.values()) or 1.0
    names = list(dict.fromkeys(name for row in stages_s.values() for name in row))
    rows = [[layer, *(f"{100 * row.get(name, 0) / total_s:.1f} %" for name in names)] for layer, row in stages_s.items()]
    sums = [sum(row.get(name, 0) for row in stages_s.values()) for name in names]
    rows.append(["all layers", *(f"{100 * seconds / total_s:.1f} %" for seconds in sums)])
    rows.append(["time of the run", *(format_quantity(seconds, "s") for seconds in sums)])
    return table(("layer", *(name_of(name, words) for name in names)), rows, numeric=range(1, len(names) + 1))
