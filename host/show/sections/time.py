"""How long each stage of each layer takes on the modelled chip."""

from collections.abc import Mapping

from host.cost.cycles import LINKS, WAIT
from host.show import plots
from host.show.blocks import Figure, Html, figure_row, table
from host.show.content import Content, PricedRun

TITLE = "Time on the modelled chip"
ORDER = 10
_STAGE_WORDS = {"egru_input": "W\u00a0x", "egru_internal": "R\u00a0y", WAIT: "for DRAM", LINKS: "until the last chip has heard"}


def build(content: Content) -> list[Html]:
    """Return the profile of stages and its table."""
    cost = content.report.get("modelled")
    if not cost:
        return []
    drawn = [stage_profile(content.run, content.unit)] if content.run else []
    return [figure_row(drawn), _stages(cost["stages_s"])]


def stage_profile(run: PricedRun, unit: str) -> Figure:
    """Return the drawing of the stages of each layer's slowest PE."""
    ledger, priced = run.ledger, run.priced
    steps = ledger.positions * ledger.lanes
    rows = {layer: {stage: 1e3 * s / steps for stage, s in stages.items()} for layer, stages in priced.stages_s.items()}
    stages = list(dict.fromkeys(stage for row in rows.values() for stage in row))
    words = [f"{stage}: {_STAGE_WORDS[stage]}" for stage in stages if stage in _STAGE_WORDS]
    if LINKS in stages:
        words = [f"{WAIT}: for DRAM and the input's way" if word.startswith(WAIT) else word for word in words]
    caption = f"On the slowest PE of each layer. {'; '.join(words)}."
    return Figure("Stages by layer", caption, plots.svg(plots.stacked_bars(rows, f"ms a {unit}"), "stages"))


def _stages(stages_s: Mapping[str, Mapping[str, float]]) -> Html:
    total_s = sum(sum(row.values()) for row in stages_s.values()) or 1.0
    names = list(dict.fromkeys(name for row in stages_s.values() for name in row))
    rows = [[layer, *(f"{100 * row.get(name, 0) / total_s:.1f} %" for name in names)] for layer, row in stages_s.items()]
    sums = [sum(row.get(name, 0) for row in stages_s.values()) for name in names]
    rows.append(["all layers", *(f"{100 * seconds / total_s:.1f} %" for seconds in sums)])
    rows.append(["seconds of the run", *(f"{seconds:.4g}" for seconds in sums)])
    return table(("layer", *names), rows, numeric=range(1, len(names) + 1))
