"""What a workload adds to `launch.py paper`: the runs it needs, and the chapter that comes of them.

`paper.py` in a workload's folder has `paper_part(checkpoint, transport)`, which returns a `PaperPart`: of a checkpoint that its
`takes(checkpoint)` says is one for this table, else of the network that is shipped for it. The paper's own numbers are in
`host/show/published.toml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from host.cost.priced import Priced, PricedPositions
from host.mapping.placement import Placement
from host.options import RunOptions

COST_HEAD = ("Measurement", "A100", "SpiNNaker2", "here", "band", "error")


class PaperRun(NamedTuple):
    """A run behind the paper's tables, and its column in the table of changed settings: heading, published ms a sequence."""

    options: RunOptions
    heading: str
    published_ms: float


class UnrunPrice(NamedTuple):
    """A placement that is priced without a run: over silent positions, with settings as of `launch.py price --set`."""

    placement: Placement
    positions: int
    settings: Sequence[str] = ()


class PaperSection(NamedTuple):
    """A table or figure: `place` orders those of all workloads, `title` and `table` are printed, `text` is for the document."""

    place: int
    title: str
    table: str
    text: str


class PaperChapter(NamedTuple):
    """What a workload writes: sections, Markdown lists of what misses and of what cannot be decided, and `draw(folder)`, which
    draws its figures and returns their files.
    """

    sections: Sequence[PaperSection]
    misses: str
    undecided: str
    draw: Callable[[Path], list[Path]] = lambda _: []


class PaperPart(NamedTuple):
    """Runs by the names of their folders, and what makes a chapter of the reports and costs of all runs; among the costs are
    those of `unrun`, by their names.

    Workloads come in the order of `place`, that of their first section.
    """

    place: int
    runs: Mapping[str, PaperRun]
    chapter: Callable[[Mapping[str, Mapping[str, Any]], Mapping[str, PricedPositions]], PaperChapter]
    unrun: Mapping[str, UnrunPrice] = MappingProxyType({})


def other_misses(network: str, time: str, energy: str) -> str:
    """Return the list of misses for a network that is not the paper's: as little as can be said of any, in time and energy."""
    return (
        f"- **{network}: time {time}, energy {energy}.** The paper's network was another one: this is what the two differ by, in\n"
        "  numbers and arithmetic, as much as what the price lacks."
    )


def deviation(ours: float, published: float) -> str:
    """Return the deviation from a published number in percent, with its sign."""
    return f"{100 * (ours / published - 1):+.1f} %"


def cost_rows(gpu: Mapping[str, float], chip: Mapping[str, float], cost: Priced, batch: int, digits: int) -> list[Sequence[str]]:
    """Return the rows of batch size, power, and time and energy of a sequence; `digits` are those of a published energy."""
    rows: list[Sequence[str]] = [("Batch size", *[str(batch)] * 3, "", "")]
    for label, key, factor, ours, band, published, precise in (
        ("Power (W)", "power_w", 1.0, cost.power_w, cost.power_band_w, 2, 3),
        ("Time (ms)", "time_ms", 1e3 / batch, cost.time_s, cost.time_band_s, 2, 2),
        ("Energy (J)", "energy_j", 1 / batch, cost.energy_j, cost.energy_band_j, digits, 4),
    ):
        low, here, high = (f"{factor * value:.{precise}f}" for value in (band[0], ours, band[1]))
        theirs, error = f"{chip[key]:.{published}f}", deviation(factor * ours, chip[key])
        rows.append((label, f"{gpu[key]:g}", theirs, here, f"{low} to {high}", error))
    return rows
