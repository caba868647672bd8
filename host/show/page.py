"""`report.html`: a run on one page that needs nothing else: no script, no file, no network. Readable at 360 pixels and above.

Takes what a run folder holds, drawn figures, and the sections of the run's workload, and returns HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from host.cost.cost_table import CostTable
from host.show.blocks import Figure, Html, details, figure_row, flatten, heading, listing, paragraph, section, table
from host.show.status import format_metric, unit_of
from noc.chip import ChipSpec, describe

STYLE = "\n" + Path(__file__).with_name("page.css").read_text("utf-8")

IS_MODELLED = {
    "Exact: computed or counted, not estimated": [
        "events with their float32 values, the text or score that follows from them, and effective multiply-accumulates: bit for "
        "bit the same for any number of PEs, mapping and transport",
        "copies of events between PEs, and what the routing table delivers and drops",
        "SRAM: every byte that a PE keeps lies in a named region of a 128 KiB arena",
    ],
    "Modelled: exact counts times constants with a source, listed below": [
        "cycles of each stage, from instruction timings of a Cortex-M4F for the loops as a compiler emits them",
        "messages: flits, XY routes on the floor plan, the busiest link or port and the farthest hop of each layer's turn",
        "DRAM: the time to read the input at a sustained rate",
        "power: the chip's published states, weighted by how long PEs compute and wait; the bands show what is uncertain",
    ],
    "Not modelled": [
        "bank conflicts in SRAM, and refresh and latency of DRAM",
        "queues in the network on chip beyond the busiest link or port; the energy of a hop",
        "the host's own work (embedding look-up, CNN, decoder, softmax), the loading of weights, and the start of the chip",
        "heat, ageing, and differences between chips",
    ],
}
NEUROBENCH = (
    "Of the network that the PEs run, by the rules of NeuroBench's harness for recurrent cells; an execution is one "
    "position of one sequence. Host: the embedding, which is the decoder too. The definitions are in docs/report.md."
)
GRADES = (
    "Grades: P read in a primary text, S second-hand, D derived here, C read from third-party code, NF looked for and not "
    "found, user changed by the user. Where no source gives a value it is assumed, and marked so. "
)


class LinkRow(NamedTuple):
    """A link between chips: its name, whether it leaves its board, its packets, and the share of the run that it is busy."""

    name: str
    cable: bool
    packets: int
    busy: float


@dataclass(kw_only=True)
class Content:
    """What a page shows. Whatever a run lacks (one that failed has no report, an unpriced one no figures) stays empty."""

    name: str
    report: Mapping[str, Any]
    config: Mapping[str, Any]
    files: Sequence[tuple[str, str]]
    sections: Sequence[Html] = ()
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    chip: ChipSpec | None = None
    costs: CostTable | None = None
    links: Sequence[LinkRow] = ()


def html(content: Content) -> str:
    """Return the page."""
    sections = [*content.sections, *_chip_sections(content), *_energy_sections(content), *_run_sections(content)]
    body = "\n".join(part for part in (*_head(content), _cards(content.report), *sections) if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.name)}: Gennaker run</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _head(content: Content) -> list[str]:
    report, result = content.report, content.report.get("result") or {}
    facts = [str(result["source"])] if result.get("source") else []
    if mapping := report.get("mapping"):
        facts.append(f"{mapping['pes']} PEs, mapping {mapping['strategy']}, weights as {mapping['format']}")
    paragraphs = [paragraph("; ".join(facts), "faint")] if facts else []
    if report.get("partial"):
        why = f": {report['problem']}" if report.get("problem") else ""
        paragraphs.append(paragraph(f"Partial: the run did not reach its end{why}", "warn"))
    if result.get("note"):
        paragraphs.append(paragraph(result["note"], "warn"))
    return [f"<h1>{escape(content.name)}</h1>", *paragraphs]


def _cards(report: Mapping[str, Any]) -> str:
    metrics = [metric for metric in report.get("metrics") or () if metric.get("value") is not None]
    cards = [_card(metric["label"], format_metric(metric), metric.get("note") or "") for metric in metrics]
    cards += [*_cost_cards(report), *_count_cards(report)]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _card(label: str, value: str, note: str) -> str:
    """Return a number at the top of the page, with its name above it."""
    return f'<div class="card">{escape(label)}<b>{escape(value)}</b><small>{escape(note)}</small></div>'


def _cost_cards(report: Mapping[str, Any]) -> list[str]:
    cost, unit = report.get("modelled"), unit_of(report)
    if not cost:
        return []
    share = cost["time_per_token_s"] / cost["time_s"] if cost["time_s"] else 0.0
    times, energies = ([share * end for end in cost[key]] for key in ("time_band_s", "energy_band_j"))
    time, power, energy = (cost[key] for key in ("time_per_token_s", "power_w", "energy_per_token_j"))
    return [
        _card("modelled time", f"{1e3 * time:.3g} ms", f"a {unit}; {_band(times, 'ms')}"),
        _card("modelled power", f"{1e3 * power:.3g} mW", _band(cost["power_band_w"], "mW")),
        _card("modelled energy", f"{1e3 * energy:.3g} mJ", f"a {unit}; {_band(energies, 'mJ')}"),
    ]


def _count_cards(report: Mapping[str, Any]) -> list[str]:
    cards: list[str] = []
    if events := report.get("events"):
        active = " / ".join(f"{100 * (1 - sparsity):.1f} %" for sparsity in events["sparsity_by_layer"])
        cards.append(_card("events", f"{events['count']:,}", f"active units by layer: {active}"))
        cards.append(_card("event hash", events["sha256"][:12], events["sha256"]))
    counters = report.get("counters") or {}
    if counters.get("packets_sent") is not None:
        lost = f"{counters['packets_delivered']:,} delivered, {counters['packets_dropped']:,} dropped"
        cards.append(_card("copies between PEs", f"{counters['packets_sent']:,}", lost))
    if report.get("mapping"):
        worst = report["mapping"]["sram"]["worst"]
        cards.append(_card("fullest PE", f"{worst['weights']:,} B", f"of weights; {worst['free']:,} B of its data banks are free"))
    emulation = report.get("emulation") or {}
    if emulation.get("ms_per_token"):
        note = f"wall time a {unit_of(report)} over {emulation.get('transport', '?')}; says nothing about the chip"
        cards.append(_card("emulator", f"{emulation['ms_per_token']:.3g} ms", note))
    return cards


def _band(ends: Sequence[float], unit: str) -> str:
    """Return a band in thousandths, which `unit` names."""
    return f"band {1e3 * ends[0]:.3g} to {1e3 * ends[1]:.3g} {unit}"


def _chip_sections(content: Content) -> list[Html]:
    report, figures, sections = content.report, content.figures, []
    if report.get("modelled"):
        stages = _stages(report["modelled"]["stages_s"])
        sections.append(section("Time on the modelled chip", [figure_row(figures.get("time", ())), stages]))
    if figures.get("chip"):
        chips = (report.get("mapping") or {}).get("chips", 1)
        sections.append(section("The chip" if chips == 1 else f"The {chips} chips", [figure_row(figures["chip"])]))
    if content.links:
        sections.append(section("Links between chips", [figure_row(figures.get("links", ()), _links(content.links))]))
    if figures.get("events"):
        sections.append(section("Events", [figure_row(figures["events"])]))
    return sections


def _stages(stages_s: Mapping[str, Mapping[str, float]]) -> Html:
    total_s = sum(sum(row.values()) for row in stages_s.values()) or 1.0
    names = list(dict.fromkeys(name for row in stages_s.values() for name in row))
    rows = [[layer, *(f"{100 * row.get(name, 0) / total_s:.1f} %" for name in names)] for layer, row in stages_s.items()]
    sums = [sum(row.get(name, 0) for row in stages_s.values()) for name in names]
    rows.append(["all layers", *(f"{100 * seconds / total_s:.1f} %" for seconds in sums)])
    rows.append(["seconds of the run", *(f"{seconds:.4g}" for seconds in sums)])
    return table(("layer", *names), rows, numeric=range(1, len(names) + 1))


def _links(links: Sequence[LinkRow]) -> list[Html]:
    """Return the links as tables, the busiest ones open to view; `links` has the busiest first."""
    rows = [(link.name, "cable" if link.cable else "board", link.packets, f"{100 * link.busy:.3g} %") for link in links]
    head, open_rows = ("link", "over", "packets", "busy"), len(rows) if len(rows) <= 12 else 8
    cables = sum(link.cable for link in links)
    note = (
        f"{sum(link.packets for link in links):,} packets cross {len(links)} links, {cables} of them cables to another board or "
        f"around the torus of their own. The busiest is {links[0].name}: busy for {100 * links[0].busy:.3g} % of the run."
    )
    blocks = [paragraph(note), table(head, rows[:open_rows], numeric=(2, 3))]
    return blocks + [details(f"All {len(rows)} links", table(head, rows, numeric=(2, 3)))] * bool(rows[open_rows:])


def _energy_sections(content: Content) -> list[Html]:
    cost = content.report.get("modelled")
    if not cost:
        return []
    total_j = cost["energy_j"] or 1.0
    rows = [(name, f"{1e3 * joules:.4g}", f"{100 * joules / total_j:.1f} %") for name, joules in cost["energy_parts_j"].items()]
    rows.append(("sum", f"{1e3 * cost['energy_j']:.4g}", "100 %"))
    parts = table(("part", "mJ", "share"), rows, numeric=(1, 2))
    return [
        section("Energy", [figure_row(content.figures.get("energy", ())), parts]),
        section("Work", [table(("count", "over the run"), cost["work"].items(), numeric=(1,))]),
    ]


def _run_sections(content: Content) -> list[Html]:
    report, sections = content.report, []
    if report.get("neurobench"):
        metrics = table(("metric", "value"), flatten(report["neurobench"]), numeric=(1,))
        sections.append(section("NeuroBench metrics", [paragraph(NEUROBENCH, "faint"), metrics]))
    scope = [block for title, points in IS_MODELLED.items() for block in (heading(title), listing(points))]
    sections.append(section("What is modelled and what is not", scope))
    if content.costs is not None and content.chip is not None:
        sections.append(section("Constants", _constants(content.costs, content.chip, report)))
    blocks = [table(("option", "value"), sorted(flatten(content.config)), long=1)]
    if report.get("mapping"):
        blocks += [heading("Mapping"), table(("key", "value"), flatten(report["mapping"]), long=1)]
    files = table(("file", "what it holds"), content.files, long=1)
    return [*sections, section("Configuration", blocks), section("Files of this run", [files])]


def _constants(costs: CostTable, chip: ChipSpec, report: Mapping[str, Any]) -> list[Html]:
    used = set((report.get("modelled") or {}).get("assumed", ()))
    note = GRADES + (f"Assumed and in use in this run: {', '.join(sorted(used))}." if used else "")
    settings = ", ".join(f"{name} {value}" for name, value in costs.settings.items())
    rows = [
        (name, f"{one.value:g}", f"{one.low:g} to {one.high:g}" if one.low < one.high else "", one.unit, one.grade, one.source)
        for name, one in costs.constants.items()
    ]
    constants = table(
        ("constant", "value", "band", "unit", "grade", "source"), rows, numeric=(1,), long=5,
        assumed={name for name, one in costs.constants.items() if one.assumed},
    )  # fmt: skip
    facts = table(
        ("number of the chip", "value", "grade", "source"), describe(chip), long=3,
        assumed={name for name, fact in chip.facts.items() if fact.assumed},
    )  # fmt: skip
    summary = f"All {len(chip.facts)} numbers of the chip"
    return [paragraph(note), paragraph(f"Settings: {settings}; chip {chip.name}."), constants, details(summary, facts)]
