"""The pictures of a run folder: `trace.json.gz` and `report.html`, made from the files that lie in it.

Runs after the run, in the launcher. What the page shows is in `host/show/page.py` and `host/show/sections`.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host.cost.cost_table import load_table
from host.cost.ledger_file import open_ledger
from host.cost.ledger_writer import FILE as LEDGER_FILE
from host.cost.price import price
from host.errors import HostError
from host.run_folder import read_report
from host.show import perfetto
from host.show.blocks import Html
from host.show.content import Content, PricedRun
from host.show.page import html
from noc.chip import load_chip

PAGE = "report.html"
_FILES = {
    PAGE: "this page",
    "report.json": "what the run did; docs/report.md lists the keys",
    "modelled.json": "of the report: seconds by layer and stage, energy by part, the work, links, settings",
    "conservation.json": "of the report: what each PE, router and link sent, delivered and dropped",
    "neurobench.json": "of the report: NeuroBench's metrics",
    "details.json": "of the report: counts by layer and sender, SRAM, versions of libraries",
    "config.json": "the options as they were resolved",
    "mapping.json": "one entry a PE: layers, units, bytes and regions of its SRAM",
    LEDGER_FILE: "what every shard did at every position; launch.py price prices it again",
    "events.npz": "every event: sequence, position, phase, population, unit, value (docs/run.md)",
    "states.npz": "what neuron models keep after each position",
    "outputs.npz": "what the network answers",
    "logits.npz": "what the head computes",
    perfetto.FILE: "timeline in modelled time, for ui.perfetto.dev",
}

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
        report = read_report(folder)
        config, mapping = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "mapping"))
        written, run = [PAGE], None
        if report.get("modelled"):
            ledger = open_ledger(folder)
            costs = load_table(used=ledger.twins)
            chip = load_chip(ledger.chip["preset"], None, ledger.chip["facts"], "the run's configuration")
            run = PricedRun(ledger, price(ledger, chip, costs), chip, costs)
            if positions:
                wall_times = _wall_times(report)
                perfetto.write_trace(folder / perfetto.FILE, ledger, run.priced, chip, costs, positions, wall_times)
                written.append(perfetto.FILE)
        content = Content(
            name=folder.resolve().name, report=report, config=config, mapping=mapping, files=_files(folder),
            sections=sections(report), run=run,
        )  # fmt: skip
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
