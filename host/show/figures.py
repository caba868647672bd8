"""The pictures of a run folder: `trace.json.gz` and `report.html`, made from the files that lie in it.

Runs after the run, in the launcher. Here figures get their numbers; `host/show/plots.py` draws them, and
`host/show/page.py` puts them on the page.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable, load_table
from host.cost.cycles import LINKS
from host.cost.ledger import FILE as LEDGER_FILE
from host.cost.ledger import Ledger, load_ledger
from host.cost.link_cost import link_cost
from host.cost.link_traffic import machine_for
from host.cost.price import Priced, price
from host.errors import HostError
from host.show import perfetto, plots
from host.show.blocks import Figure, Html
from host.show.page import Content, LinkRow, html
from host.show.status import unit_of
from models.network import F64
from noc.chip import ChipSpec, PeId, load_chip, parse_pe
from noc.machine import BOARD_CHIPS, Machine
from noc.xy_routes import Link

PAGE = "report.html"
_FILES = {
    PAGE: "this page",
    "report.json": "what the run did; docs/report.md lists the keys",
    "config.json": "the options as they were resolved",
    "mapping.json": "one entry a PE: layers, units, bytes and regions of its SRAM",
    LEDGER_FILE: "what every shard did at every position; launch.py price prices it again",
    perfetto.FILE: "timeline in modelled time, for ui.perfetto.dev",
}
_MOST_POINTS = 240  # across a figure: as many as a phone shows
_POWER_POSITIONS = 6  # whose power is drawn

Sections = Callable[[Mapping[str, Any]], Sequence[Html]]
"""Returns what a workload adds to the page of a run with this report, of which any key may be missing."""


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave garbage collection for later: drawing makes hundreds of thousands of objects, nearly all in use until its end."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


@_uncollected()
def make_pictures(folder: Path, positions: int, sections: Sections = lambda _: ()) -> str:
    """Write the timeline of the first `positions` positions (0: none) and the page, with the `sections` of the run's workload.

    Return what was written and how long it took. HostError, one line, where a file of the folder cannot be read or written.
    """
    began = time.perf_counter()
    try:
        report, config, mapping = (
            json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("report", "config", "mapping")
        )
        content = Content(name=folder.resolve().name, report=report, config=config, files=(), sections=sections(report))
        written = [PAGE]
        if report.get("modelled"):
            ledger, costs = load_ledger(folder), load_table()
            chip = load_chip(ledger.chip["preset"], None, ledger.chip["facts"], "the run's configuration")
            priced = price(ledger, chip, costs)
            if positions:
                perfetto.write_trace(folder / perfetto.FILE, ledger, priced, chip, costs, positions, _wall_times(report))
                written.append(perfetto.FILE)
            content.figures = _figures(ledger, priced, chip, costs, mapping, unit_of(report))
            content.chip, content.costs, content.links = chip, costs, _link_rows(priced, chip, costs)
        content.files = _files(folder)
        (folder / PAGE).write_text(html(content), "utf-8", "backslashreplace")  # names of files may be no text
    except OSError as error:
        raise HostError(f"--out {folder}: pictures cannot be made ({error.strerror})") from error
    return f"{folder / PAGE}{''.join(f', {name}' for name in written[1:])} ({time.perf_counter() - began:.1f} s)"


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return the files of a run that the page lists, with what they hold."""
    names = {path.name for path in folder.iterdir()} | {PAGE}
    return [(name, content) for name, content in _FILES.items() if name in names]


def _wall_times(report: Mapping[str, Any]) -> dict[str, Any]:
    emulation = report.get("emulation") or {}
    return {name: emulation.get(name) for name in ("prepare_s", "start_s", "run_s", "ms_per_token")}


def _figures(
    ledger: Ledger, priced: Priced, chip: ChipSpec, costs: CostTable, mapping: list[dict[str, Any]], unit: str
) -> dict[str, list[Figure]]:
    """Return the page's figures by section."""
    return {
        "time": [_stage_profile(ledger, priced, unit)],
        "chip": _maps(ledger, priced, chip, mapping),
        "links": _links(ledger, priced, chip),
        "events": _events(ledger),
        "energy": [_power_split(ledger, priced, unit), _power_course(ledger, priced, chip, costs)],
    }


def _stage_profile(ledger: Ledger, priced: Priced, unit: str) -> Figure:
    steps = ledger.positions * ledger.lanes
    rows = {layer: {stage: 1e3 * s / steps for stage, s in stages.items()} for layer, stages in priced.stages_s.items()}
    caption = "On the slowest PE of each layer. egru_input: W\u00a0x; egru_internal: R\u00a0y; wait: for DRAM."
    if any(LINKS in stages for stages in rows.values()):
        caption = caption.replace("DRAM.", "DRAM and the input's way; links: until the last chip has heard.")
    return Figure("Stages by layer", caption, plots.svg(plots.stacked_bars(rows, f"ms a {unit}"), "stages"))


def _maps(ledger: Ledger, priced: Priced, chip: ChipSpec, mapping: list[dict[str, Any]]) -> list[Figure]:
    pes, table = ledger.pes, ledger.table
    active = _by_pe(ledger, ledger.of("events").sum(axis=0, dtype=np.int64)) / _by_pe(ledger, table["units"] * ledger.lanes)
    percent = dict(zip(pes, (100 * active / max(ledger.positions, 1)).tolist(), strict=True))
    full = {parse_pe(row["pe"]): 100 * (1 - row["sram"]["free"] / chip.data_bytes) for row in mapping}
    busy = dict(zip(pes, (100 * priced.busy_s / priced.time_s).tolist(), strict=True))
    machine = machine_for(ledger, chip)
    several = 1 < len(machine.live) <= BOARD_CHIPS  # more are too many to see
    how = "Seven columns and six rows of QPEs, four PEs each; grey: no QPE; hollow: not used."
    if several:
        how = "Chips by number, as they lie on the mesh; a pixel is a PE, four a QPE; faint: not used."
    maps: list[tuple[str, str, dict[PeId, float], str, float | None]] = [
        ("Activity", f"Units with an event, mean over the run. {how}", percent, "% of units", None),
        ("SRAM", "Fill of the three data banks.", full, "% of 96 KiB", 100),
        ("Busy time", "Share of the run in which a PE computes; the rest it waits.", busy, "% of time", None),
    ]
    figures, positions = [], _positions(machine)
    for n, (title, caption, values, unit, high) in enumerate(maps):
        drawn = plots.chip_maps(values, positions, unit, high=high) if several else plots.chip_map(values, unit, high=high)
        figures.append(Figure(title, caption, plots.svg(drawn, f"map{n}")))
    at, flits = _busiest_mesh(ledger, priced)
    where = f" of chip {at}, which has the busiest of all" if len(machine.live) > 1 else ""
    caption = f"Flits on each link between QPEs{where}, a position; each direction keeps to its side."
    return [*figures, Figure("Link load", caption, plots.svg(plots.link_map(flits, "flits"), f"map{len(figures)}"))]


def _busiest_mesh(ledger: Ledger, priced: Priced) -> tuple[int, dict[Link, float]]:
    """Return the chip with the busiest link between QPEs, and the flits on each of its links, a position."""
    traffic = priced.traffic
    flits = traffic.loads.sum(axis=(0, 1)) / max(ledger.positions, 1)
    at = int(traffic.link_chips[np.argmax(flits)]) if len(flits) else 0
    of_chip = zip(traffic.links, flits.tolist(), traffic.link_chips.tolist(), strict=True)
    return at, {link: load for link, load, chip in of_chip if chip == at}


def _links(ledger: Ledger, priced: Priced, chip: ChipSpec) -> list[Figure]:
    """Return the map of the links between chips; none where there are none, or too many to see."""
    machine, traffic = machine_for(ledger, chip), priced.link_traffic
    if traffic is None or not traffic.links or len(machine.live) > BOARD_CHIPS:
        return []
    packets = traffic.packets.sum(axis=(0, 1)) / max(ledger.positions, 1)
    loads = dict.fromkeys(machine.links, 0.0) | dict(zip(traffic.links, packets.tolist(), strict=True))
    caption = "Packets on each link, a position; each direction keeps to its side; those around the torus end where they leave."
    drawn = plots.mesh_links(loads, _positions(machine), "packets")
    return [Figure("Links between chips", caption, plots.svg(drawn, "links"))]


def _link_rows(priced: Priced, chip: ChipSpec, costs: CostTable) -> list[LinkRow]:
    """Return what each link between chips carried, the one that is busy longest first."""
    traffic = priced.link_traffic
    if traffic is None or not traffic.links:
        return []
    busy = link_cost(traffic, chip, costs).busy_s / priced.time_s
    packets = traffic.packets.sum(axis=(0, 1))
    columns = zip(map(str, traffic.links), traffic.cables.tolist(), packets.tolist(), busy.tolist(), strict=True)
    return sorted((LinkRow(*row) for row in columns), key=lambda row: -row.busy)


def _positions(machine: Machine) -> dict[int, tuple[int, int]]:
    return {chip: machine.positions[chip] for chip in machine.live}


def _by_pe(ledger: Ledger, values: Any) -> F64:
    return np.asarray(np.bincount(ledger.table["pe"], weights=values, minlength=len(ledger.pes)), np.float64)


def _events(ledger: Ledger) -> list[Figure]:
    layer = ledger.table["layer"]
    share = 100 * ledger.of("events").T / (ledger.table["units"] * ledger.lanes)[:, None]
    starts = [int(np.argmax(layer == n + 1)) for n in range(len(ledger.layers))]
    raster = plots.raster(share, ledger.layers, starts, ledger.positions, "% of units", "position")
    at = plots.downsample(np.arange(ledger.positions)[None, :], _MOST_POINTS)[0]
    courses = {}
    for n, name in enumerate(ledger.layers):
        units = int(ledger.table["units"][layer == n + 1].sum()) * ledger.lanes
        course = 100 * ledger.of("events")[:, layer == n + 1].sum(axis=1, dtype=np.int64) / units
        courses[name if name not in courses else f"{name} ({n + 1})"] = (at, plots.downsample(course[None, :], _MOST_POINTS)[0])
    course = plots.lines(courses, "position", "% of units", low=0)
    return [
        Figure("Event raster", "One line a PE, one column a position: units with an event.", plots.svg(raster, "raster")),
        Figure("Activity by layer", "Units with an event at each position.", plots.svg(course, "course")),
    ]


def _power_split(ledger: Ledger, priced: Priced, unit: str) -> Figure:
    steps = ledger.positions * ledger.lanes
    parts = {name: 1e3 * joules / steps for name, joules in priced.energy_parts_j.items()}
    caption = "floor: the chip with its PEs off; sleep: PEs powered; compute and wait: above sleep."
    return Figure(f"Energy a {unit}", caption, plots.svg(plots.bars(parts, f"mJ a {unit}"), "energy"))


def _power_course(ledger: Ledger, priced: Priced, chip: ChipSpec, costs: CostTable) -> Figure:
    course = {}
    last = priced.began_s[:_POWER_POSITIONS].max() if ledger.positions > _POWER_POSITIONS else priced.time_s
    for name, end in (("waiting PEs at their low end", "low"), ("at their high end", "high")):
        starts, power = perfetto.power_w(ledger, priced, chip, costs.at(end, end))
        turns = int(np.searchsorted(starts, last, side="left"))
        bounds = np.append(starts, priced.time_s)[: turns + 1]
        course[name] = (1e3 * np.repeat(bounds, 2)[1:-1], 1e3 * np.repeat(power[:turns], 2))
    figure = plots.lines(course, "modelled time in ms", "mW", low=0)
    whose = "The chip's" if ledger.chips == 1 else "All chips'"
    caption = (
        f"{whose} mean power in each layer's turn, first {min(_POWER_POSITIONS, ledger.positions)} positions. What a waiting PE "
        "draws is published nowhere: from asleep to as much as a busy one."
    )
    return Figure("Power over time", caption, plots.svg(figure, "power"))
