"""`launch.py paper --outlook`: what quantising buys, one table and one figure of all workloads that have forms to compare.

Events of a model on its input are computed once, offline, and give the ledger of each placement to the last integer.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from host.cost.ledger import Ledger
from host.cost.price import price_positions
from host.cost.priced import Priced
from host.cost.terms import terms_of
from host.errors import Exit, HostError
from host.run.offline import OfflineRun, record
from host.run_folder import new_folder
from host.show import sweep_plots
from host.show.text_table import format_markdown
from host.workloads.outlook_row import OutlookRow
from host.workloads.registry import prepare, workloads

BEGIN, END = "<!-- outlook: made by `launch.py paper --outlook --write-docs` -->", "<!-- end of outlook -->"
HEADS = ("model, format", "quality", "weights of the fullest PE", "PEs", "ms", "band", "mJ", "band", "exp unit: ms", "mJ")
WITH_UNIT = ("exponential=unit",)


class Form(NamedTuple):
    """A row with its prices a word or sample, with the shipped settings and with the exponential unit; None where there is none."""

    row: OutlookRow
    weights_bytes: int = 0
    pes: int = 0
    priced: Priced | None = None
    with_unit: Priced | None = None

    @property
    def each_ms(self) -> float:
        """Milliseconds a word or sample."""
        return 1e3 * self.priced.time_s / self.row.sequences if self.priced else 0.0

    @property
    def each_mj(self) -> float:
        """Millijoules a word or sample."""
        return 1e3 * self.priced.energy_j / self.row.sequences if self.priced else 0.0


def run_outlook(out: Path, docs: Path | None) -> int:
    """Price every form, print the table, and write it with the figure into `out`; into `docs` too, where it is given."""
    groups = forms_by_workload()
    folder = new_folder(out)
    table = outlook_table(groups)
    files = [folder / "outlook.md", *sweep_plots.outlook(relative(groups), folder / "outlook")]
    files[0].write_text(table + "\n", encoding="utf-8")
    if docs is not None:
        page = docs / "int8.md"
        page.write_text(inserted(page.read_text(encoding="utf-8"), table), encoding="utf-8")
        for file in files[1:]:
            shutil.copyfile(file, docs / file.name)
    print(f"{table}\n\nwritten      {', '.join(map(str, files))}")
    return int(Exit.OK)


def forms_by_workload() -> list[list[Form]]:
    """Return the forms of each workload that has any, priced; HostError where none has."""
    makers = [make for workload in workloads().values() if (make := workload.part("outlook", "outlook_rows"))]
    if not makers:
        raise HostError(f"paper --outlook: none of the workloads ({', '.join(workloads())}) has forms to compare")
    return [priced_forms(make()) for make in sorted(makers, key=lambda make: str(make.__module__), reverse=True)]


def priced_forms(rows: Sequence[OutlookRow]) -> list[Form]:
    """Return the forms of one workload with their prices; errors as of a run, for what cannot be run or does not fit."""
    recorded: dict[object, OfflineRun] = {}
    forms = []
    for row in rows:
        if row.options is None:
            forms.append(Form(row))
            continue
        print(f"pricing      {row.title}", flush=True)
        row.options.check()
        job = prepare(row.options)
        key = row.options.checkpoint
        if key not in recorded:
            recorded[key] = record(job.placement, job.source, job.readout)
        ledger = recorded[key].ledger(job.placement)
        weights = int(job.placement.worst()["weights"])
        forms.append(Form(row, weights, len(job.placement.pes), _price(ledger), _price(ledger, WITH_UNIT)))
    return forms


def _price(ledger: Ledger, settings: Sequence[str] = ()) -> Priced:
    return price_positions(ledger, *terms_of(ledger, settings))


def outlook_table(groups: Sequence[Sequence[Form]]) -> str:
    """Return the table of all forms as Markdown; a form without a checkpoint says what is lacking."""
    rows: list[tuple[str, ...]] = []
    for form in (form for group in groups for form in group):
        if form.priced is None or form.with_unit is None:
            rows.append((form.row.title, form.row.note, *[""] * (len(HEADS) - 2)))
            continue
        each = 1e3 / form.row.sequences
        low, high = (each * bound for bound in form.priced.time_band_s)
        least, most = (each * bound for bound in form.priced.energy_band_j)
        rows.append((
            form.row.title, form.row.quality, f"{form.weights_bytes / 1000:.1f} kB", f"{form.pes}", f"{form.each_ms:.2f}",
            f"{low:.2f} to {high:.2f}", f"{form.each_mj:.2f}", f"{least:.2f} to {most:.2f}",
            f"{each * form.with_unit.time_s:.2f}", f"{each * form.with_unit.energy_j:.2f}",
        ))  # fmt: skip
    return format_markdown(HEADS, rows)


def relative(groups: Sequence[Sequence[Form]]) -> Mapping[str, tuple[float, float]]:
    """Return time and energy of each form as a share of its workload's first one, by title, without those that are not there."""
    shares = {}
    for group in groups:
        first = next((form for form in group if form.priced), None)
        for form in group:
            if first is not None and form.priced is not None:
                shares[form.row.title] = form.each_ms / first.each_ms, form.each_mj / first.each_mj
    return shares


def inserted(page: str, table: str) -> str:
    """Return a page with the table between its two marks; HostError where it lacks them."""
    if page.count(BEGIN) != 1 or page.count(END) != 1:
        raise HostError(f"docs/int8.md: needs {BEGIN!r} and {END!r}, once each, around the table")
    head, rest = page.split(BEGIN)
    return f"{head}{BEGIN}\n{table}\n{END}{rest.split(END)[1]}"
