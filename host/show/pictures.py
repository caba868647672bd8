"""The pictures of a run folder: `trace.json.gz` and `report.html`, made from the files that lie in it.

Runs after the run, in the launcher. What the page shows is in `host/show/page.py` and `host/show/sections`.
"""

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from host.cost.cost_table import load_table
from host.cost.ledger_file import open_ledger
from host.cost.ledger_writer import FILE as LEDGER_FILE
from host.cost.price import price
from host.errors import HostError
from host.run_folder import ANSWERS, read_report
from host.show import perfetto
from host.show.blocks import Figure, Html
from host.show.content import Content, PricedRun
from host.show.figure_files import write_pdfs, write_svgs
from host.show.page import FIGURES, figures_of, lay_out
from noc.chip import load_chip

PAGE = "report.html"
_FILES = {
    PAGE: "this page",
    "report.json": "what the run did; docs/report.md lists the keys",
    ANSWERS: "the bottleneck, and what each single setting would change; docs/answers.md",
    "modelled.json": "of the report: seconds by layer and stage, energy by part, the work, links, settings",
    "conservation.json": "of the report: what each PE, router and link sent, delivered and dropped",
    "neurobench.json": "of the report: NeuroBench's metrics",
    "result.json": "of the report: what the workload says at length",
    "details.json": "of the report: counts by layer and sender, SRAM, versions of libraries",
    "config.json": "the options as they were resolved",
    "mapping.json": "one entry a PE: layers, units, bytes and regions of its SRAM",
    LEDGER_FILE: "what every shard did at every position; launch.py price prices it again",
    "events.npz": "every event: sequence, position, phase, population, unit, value (docs/run.md)",
    "states.npz": "what neuron models keep after each position",
    "outputs.npz": "what the network answers",
    "logits.npz": "what the head computes",
    f"{FIGURES}/": "every figure of this page, as SVG and as PDF",
    perfetto.FILE: "timeline in modelled time, for ui.perfetto.dev",
}


@dataclass(frozen=True, kw_only=True)
class WorkloadPage:
    """What a workload adds to the page of a run with a report, of which any key may be missing: sections, figures, and what the
    timeline calls positions, which go through these names in turn.
    """

    sections: Callable[[Mapping[str, Any]], Sequence[Html]] = lambda _: ()
    figures: Callable[[Mapping[str, Any]], Sequence[Figure]] = lambda _: ()
    position_names: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: ()


Beside = Callable[[Callable[[], None]], AbstractContextManager[None]]
"""Does something while a block runs, or behind it."""


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


@contextmanager
def _behind(draw: Callable[[], None]) -> Iterator[None]:
    yield
    draw()


@_uncollected()
def make_pictures(folder: Path, positions: int, workload: WorkloadPage | None = None, beside: Beside = _behind) -> str:
    """Write the timeline of the first `positions` positions (0: none), the page, and its figures as SVG and PDF, with what the
    run's workload adds; `beside` does what can be done beside the page.

    Return what was written and how long it took. HostError, one line, where a file of the folder cannot be read or written.
    """
    began = time.perf_counter()
    try:
        content = content_of(folder, workload)
        written = [PAGE, f"{FIGURES}/"]
        with beside(lambda: write_pdfs(figures_of(content), folder)):
            run = content.run
            if run and positions:
                wall_times = _wall_times(content.report)
                names = (workload or WorkloadPage()).position_names(content.report)
                perfetto.write_trace(
                    folder / perfetto.FILE, run.ledger, run.priced, run.chip, run.costs, positions, wall_times, names
                )  # fmt: skip
                written.append(perfetto.FILE)
            page = lay_out(replace(content, files=_files(folder)))
            (folder / PAGE).write_text(page.html, "utf-8", "backslashreplace")  # names of files may be no text
            write_svgs(page.figures, folder)
    except OSError as error:
        raise HostError(f"--out {folder}: pictures cannot be made ({error.strerror})") from error
    return f"{folder / PAGE}{''.join(f', {name}' for name in written[1:])} ({time.perf_counter() - began:.1f} s)"


def content_of(folder: Path, workload: WorkloadPage | None = None) -> Content:
    """Return what a run folder holds, priced where it has a ledger, with what the run's workload adds.

    OSError or HostError where it cannot be read.
    """
    report = read_report(folder)
    config, mapping = (json.loads((folder / f"{name}.json").read_text("utf-8")) for name in ("config", "mapping"))
    run, workload = None, workload or WorkloadPage()
    if report.get("modelled"):
        ledger = open_ledger(folder)
        costs = load_table(used=ledger.twins)
        chip = load_chip(ledger.chip["preset"], None, ledger.chip["facts"], "the run's configuration")
        run = PricedRun(ledger, price(ledger, chip, costs), chip, costs)
    answers = json.loads(path.read_text("utf-8")) if (path := folder / ANSWERS).is_file() else {}
    return Content(
        name=folder.resolve().name, report=report, config=config, mapping=mapping, sections=workload.sections(report),
        figures=workload.figures(report), run=run, answers=answers,
    )  # fmt: skip


def _files(folder: Path) -> list[tuple[str, str]]:
    """Return the files of a run that the page lists, with what they hold."""
    names = {path.name for path in folder.iterdir()} | {PAGE, f"{FIGURES}/"}
    return [(name, content) for name, content in _FILES.items() if name in names]


def _wall_times(report: Mapping[str, Any]) -> dict[str, Any]:
    emulation = report.get("emulation") or {}
    return {name: emulation.get(name) for name in ("prepare_s", "start_s", "run_s", "ms_per_token")}
