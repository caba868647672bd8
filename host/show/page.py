"""`report.html`: a run on one page that needs nothing else: no script, no file, no network. Readable at 360 pixels and above.

Pure text: it takes what a run folder holds and drawn figures, and returns HTML. Everything that comes from a run (names,
paths, prompts, generated text) goes through `escape`; only the figures are put in as they are. What it does not know:
how figures are drawn (`host/show/plots.py`) and where the numbers come from (`host/show/figures.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

from host.cost.cost_table import CostTable
from host.run.report import unit_of
from host.workloads.dvs.results import beside
from noc.chip import ChipSpec, describe

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --card: #f4f6f8; --ink: #1b1f24; --faint: #5c6570; --line: #d5dae0;
  --accent: #0b62a8; --warn: #9a4b00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171b; --card: #1e2329; --ink: #e6e9ed; --faint: #a0a9b4;
  --line: #353c45; --accent: #6cb6f5; --warn: #f2a65a; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1060px; margin: 0 auto; padding: 16px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0.4em 0 0.1em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2em 0 0.6em; padding-bottom: 0.25em; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 0.4em; }
p { margin: 0.4em 0; max-width: 75ch; overflow-wrap: anywhere; }
.faint, figcaption, .card small { color: var(--faint); }
.warn { color: var(--warn); font-weight: 600; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card); border-radius: 8px; padding: 12px; margin: 0.6em 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 195px), 1fr)); gap: 10px; margin: 1em 0; }
.card { background: var(--card); border-radius: 8px; padding: 10px 14px; overflow-wrap: anywhere; }
.card b { display: block; font-size: 1.35rem; line-height: 1.3; font-weight: 600; }
.card small { display: block; line-height: 1.35; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 400px), 1fr)); gap: 24px 28px; }
figure { margin: 0; min-width: 0; max-width: 500px; }
figure h3 { margin-bottom: 0.1em; }
figcaption { font-size: 0.87rem; line-height: 1.4; margin-bottom: 0.5em; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
figure svg text { font-family: system-ui, -apple-system, "Segoe UI", sans-serif !important; }
.scroll { overflow-x: auto; margin: 0.5em 0 1em; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); }
td:first-child { white-space: nowrap; }
th { color: var(--faint); font-weight: 600; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.source { min-width: 14em; max-width: 46em; overflow-wrap: anywhere; }
tr.assumed td:first-child::after { content: " assumed"; color: var(--warn); font-size: 0.85em; }
code { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 0.88em; overflow-wrap: anywhere; }
details { margin: 0.6em 0; } summary { cursor: pointer; color: var(--accent); }
ul { padding-left: 1.2em; max-width: 80ch; } li { margin: 0.25em 0; }
@media (min-width: 860px) { .figures:has(figure + figure) figcaption { min-height: 2.8em; } }
@media (max-width: 520px) { table { font-size: 0.8rem; } th, td { padding-right: 9px; }
  td:first-child { white-space: normal; overflow-wrap: anywhere; min-width: 6.5em; } td.source { min-width: 11em; } }
"""

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


@dataclass
class Figure:
    """A drawn figure with what stands above it."""

    title: str
    caption: str
    svg: str


class LinkRow(NamedTuple):
    """A link between chips: its name, whether it leaves its board, its packets, and the share of the run that it is busy."""

    name: str
    cable: bool
    packets: int
    busy: float


@dataclass
class Content:
    """What a page shows. Whatever a run lacks (one that failed has no report, an unpriced one no figures) stays empty."""

    name: str
    report: Mapping[str, Any]
    config: Mapping[str, Any]
    files: Sequence[tuple[str, str]]
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    chip: ChipSpec | None = None
    costs: CostTable | None = None
    links: Sequence[LinkRow] = ()


def html(content: Content) -> str:
    """Return the page."""
    report = content.report
    blocks = [_head(content), _cards(report)]
    lm = report.get("lm") or {}
    if lm.get("text"):
        blocks += ["<h2>Text</h2>", f"<pre>{escape(lm['text'])}</pre>"]
    figures = content.figures
    if report.get("dvs"):
        blocks += ["<h2>Gestures</h2>", _gestures(report["dvs"], figures.get("gestures", ()))]
    if report.get("modelled"):
        blocks += ["<h2>Time on the modelled chip</h2>", _figures(figures.get("time", ())), _stages(report)]
    if figures.get("chip"):
        chips = (report.get("mapping") or {}).get("chips", 1)
        blocks += ["<h2>The chip</h2>" if chips == 1 else f"<h2>The {chips} chips</h2>", _figures(figures["chip"])]
    if content.links:
        blocks += ["<h2>Links between chips</h2>", _figures(figures.get("links", ()), _links(content.links))]
    if figures.get("events"):
        blocks += ["<h2>Events</h2>", _figures(figures["events"])]
    if report.get("modelled"):
        blocks += ["<h2>Energy</h2>", _figures(figures.get("energy", ())), _energy(report["modelled"])]
        blocks += ["<h2>Work</h2>", _table(("count", "over the run"), report["modelled"]["work"].items(), numeric=(1,))]
    if report.get("neurobench"):
        blocks += ["<h2>NeuroBench metrics</h2>", _neurobench(report["neurobench"])]
    blocks += ["<h2>What is modelled and what is not</h2>", *_scope()]
    if content.costs is not None and content.chip is not None:
        blocks += ["<h2>Constants</h2>", _constants(content.costs, content.chip, report)]
    blocks += ["<h2>Configuration</h2>", _table(("option", "value"), sorted(_flat(content.config)), source=1)]
    if report.get("mapping"):
        blocks += ["<h3>Mapping</h3>", _table(("key", "value"), _flat(report["mapping"]), source=1)]
    blocks += ["<h2>Files of this run</h2>", _table(("file", "what it holds"), content.files, source=1)]
    body = "\n".join(block for block in blocks if block)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.name)}: Gennaker run</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


# ---- parts


def _head(content: Content) -> str:
    report, lm = content.report, content.report.get("lm") or {}
    mapping = report.get("mapping") or {}
    what = [str(lm["source"])] if lm.get("source") else []
    if mapping:
        what.append(f"{mapping['pes']} PEs, mapping {mapping['strategy']}, weights as {mapping['format']}")
    lines = [f"<h1>{escape(content.name)}</h1>", f'<p class="faint">{escape("; ".join(what))}</p>' if what else ""]
    if report.get("partial"):
        why = f": {report['problem']}" if report.get("problem") else ""
        lines.append(f'<p class="warn">Partial: the run did not reach its end{escape(why)}</p>')
    if lm.get("note"):
        lines.append(f'<p class="warn">{escape(lm["note"])}</p>')
    return "\n".join(line for line in lines if line)


def _cards(report: Mapping[str, Any]) -> str:
    cards: list[tuple[str, str, str]] = []
    lm, events, cost = report.get("lm") or {}, report.get("events"), report.get("modelled")
    if lm.get("perplexity") is not None:
        cards.append(("perplexity", f"{lm['perplexity']:.2f}", f"over {lm['tokens']:,} tokens"))
    unit, dvs = unit_of(report), report.get("dvs") or {}
    if dvs.get("accuracy") is not None:
        right = sum(row[place] for place, row in enumerate(dvs["confusion"]))
        cards.append(("accuracy", f"{100 * dvs['accuracy']:.1f} %", f"{right} of {dvs['samples']} samples"))
        if dvs["baseline_accuracy"] is not None:
            agree = f"{dvs['baseline_agreement']} of {dvs['samples']} samples get the same class"
            cards.append(("same network in torch", f"{100 * dvs['baseline_accuracy']:.1f} %", agree))
    if dvs.get("time_per_sample_s"):
        joules = f"{1e3 * dvs['energy_per_sample_j']:.3g} mJ; {dvs['frames_per_sample']} frames"
        cards.append(("modelled, a sample", f"{1e3 * dvs['time_per_sample_s']:.4g} ms", joules))
    if cost:
        share = cost["time_per_token_s"] / cost["time_s"] if cost["time_s"] else 0.0
        each = {key: [share * value for value in cost[key]] for key in ("time_band_s", "energy_band_j")}
        cards += [
            ("modelled time", f"{1e3 * cost['time_per_token_s']:.3g} ms", f"a {unit}; " + _band(each["time_band_s"], 1e3, "ms")),
            ("modelled power", f"{1e3 * cost['power_w']:.3g} mW", _band(cost["power_band_w"], 1e3, "mW")),
            (
                "modelled energy",
                f"{1e3 * cost['energy_per_token_j']:.3g} mJ",
                f"a {unit}; " + _band(each["energy_band_j"], 1e3, "mJ"),
            ),
        ]
    if events:
        active = " / ".join(f"{100 * (1 - s):.1f} %" for s in events["sparsity_by_layer"])
        cards.append(("events", f"{events['count']:,}", f"active units by layer: {active}"))
        cards.append(("event hash", events["sha256"][:12], events["sha256"]))
    counters = report.get("counters") or {}
    if counters.get("packets_sent") is not None:
        lost = f"{counters['packets_delivered']:,} delivered, {counters['packets_dropped']:,} dropped"
        cards.append(("copies between PEs", f"{counters['packets_sent']:,}", lost))
    if report.get("mapping"):
        worst = report["mapping"]["sram"]["worst"]
        cards.append(("fullest PE", f"{worst['weights']:,} B", f"of weights; {worst['free']:,} B of its data banks are free"))
    emulation = report.get("emulation") or {}
    if emulation.get("ms_per_token"):
        note = f"wall time a {unit} over {emulation.get('transport', '?')}; says nothing about the chip"
        cards.append(("emulator", f"{emulation['ms_per_token']:.3g} ms", note))
    made = [
        f'<div class="card">{escape(title)}<b>{escape(value)}</b><small>{escape(note)}</small></div>'
        for title, value, note in cards
    ]
    return f'<div class="cards">{"".join(made)}</div>' if made else ""


def _band(ends: Sequence[float], scale: float, unit: str) -> str:
    return f"band {scale * ends[0]:.3g} to {scale * ends[1]:.3g} {unit}"


def _figures(figures: Iterable[Figure], beside: str = "") -> str:
    made = [
        f"<figure><h3>{escape(one.title)}</h3><figcaption>{escape(one.caption)}</figcaption>{one.svg}</figure>" for one in figures
    ]
    beside = f"<div>{beside}</div>" if beside else ""
    return f'<div class="figures">{"".join(made)}{beside}</div>' if made or beside else ""


def _gestures(dvs: Mapping[str, Any], figures: Iterable[Figure]) -> str:
    names = dvs["classes"]

    def name(place: int | None) -> str | None:
        return None if place is None else names[place]

    rows = [
        (one["name"], one["subject"], name(one["label"]), name(one["prediction"]), name(one["baseline"]))
        for one in dvs["predictions"]
    ]
    damaged = "".join(f"<li>{escape(line)}</li>" for line in dvs["damages"])
    table = _table(("sample", "subject", "class", "found", "by torch"), rows, source=0)
    return (
        f"<p>{escape(beside(dvs))}.</p>{_figures(figures)}"
        + (f"<h3>Damaged</h3><ul>{damaged}</ul>" if damaged else "")
        + f"<details><summary>All {len(rows)} samples</summary>{table}</details>"
    )


def _stages(report: Mapping[str, Any]) -> str:
    stages = report["modelled"]["stages_s"]
    total = sum(sum(row.values()) for row in stages.values()) or 1.0
    names = list(dict.fromkeys(name for row in stages.values() for name in row))
    rows = [[layer, *(f"{100 * row.get(n, 0) / total:.1f} %" for n in names)] for layer, row in stages.items()]
    sums = [sum(row.get(n, 0) for row in stages.values()) for n in names]
    rows.append(["all layers", *(f"{100 * value / total:.1f} %" for value in sums)])
    rows.append(["seconds of the run", *(f"{value:.4g}" for value in sums)])
    return _table(("layer", *names), rows, numeric=range(1, len(names) + 1))


def _links(links: Sequence[LinkRow]) -> str:
    """Return the links as tables, the busiest ones open to view; `links` has the busiest first."""
    rows = [(one.name, "cable" if one.cable else "board", one.packets, f"{100 * one.busy:.3g} %") for one in links]
    head, first = ("link", "over", "packets", "busy"), len(rows) if len(rows) <= 12 else 8
    cables = sum(one.cable for one in links)
    note = (
        f"{sum(one.packets for one in links):,} packets cross {len(links)} links, {cables} of them cables to another board or "
        f"around the torus of their own. The busiest is {links[0].name}: busy for {100 * links[0].busy:.3g} % of the run."
    )
    more = f"<details><summary>All {len(rows)} links</summary>{_table(head, rows, numeric=(2, 3))}</details>"
    return f"<p>{escape(note)}</p>{_table(head, rows[:first], numeric=(2, 3))}{more if rows[first:] else ''}"


def _energy(cost: Mapping[str, Any]) -> str:
    total = cost["energy_j"] or 1.0
    rows = [(name, f"{1e3 * value:.4g}", f"{100 * value / total:.1f} %") for name, value in cost["energy_parts_j"].items()]
    rows.append(("sum", f"{1e3 * cost['energy_j']:.4g}", "100 %"))
    return _table(("part", "mJ", "share"), rows, numeric=(1, 2))


def _neurobench(metrics: Mapping[str, Any]) -> str:
    note = (
        "Of the network that the PEs run, by the rules of NeuroBench's harness for recurrent cells; an execution is one "
        "position of one sequence. Host: the embedding, which is the decoder too. The definitions are in docs/report.md."
    )
    return f'<p class="faint">{escape(note)}</p>' + _table(("metric", "value"), _flat(metrics), numeric=(1,))


def _scope() -> list[str]:
    made = []
    for title, points in IS_MODELLED.items():
        made.append(f"<h3>{escape(title)}</h3><ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>")
    return made


def _constants(costs: CostTable, chip: ChipSpec, report: Mapping[str, Any]) -> str:
    used = set((report.get("modelled") or {}).get("assumed", ()))
    note = (
        "Grades: P read in a primary text, S second-hand, D derived here, C read from third-party code, NF looked for and not "
        "found, user changed by the user. Where no source gives a value it is assumed, and marked so. "
        + (f"Assumed and in use in this run: {', '.join(sorted(used))}." if used else "")
    )
    settings = ", ".join(f"{name} {value}" for name, value in costs.settings.items())
    rows = [
        (name, f"{one.value:g}", f"{one.low:g} to {one.high:g}" if one.low < one.high else "", one.unit, one.grade, one.source)
        for name, one in costs.constants.items()
    ]
    ours = _table(
        ("constant", "value", "band", "unit", "grade", "source"), rows, numeric=(1,), source=5,
        marked={name for name, one in costs.constants.items() if one.assumed},
    )  # fmt: skip
    facts = _table(
        ("number of the chip", "value", "grade", "source"), describe(chip), source=3,
        marked={name for name, fact in chip.facts.items() if fact.assumed},
    )  # fmt: skip
    return (
        f"<p>{escape(note)}</p><p>Settings: {escape(settings)}; chip {escape(chip.name)}.</p>{ours}"
        f"<details><summary>All {len(chip.facts)} numbers of the chip</summary>{facts}</details>"
    )


def _table(
    head: Sequence[str], rows: Iterable[Sequence[Any]], *, numeric: Iterable[int] = (), source: int | None = None,
    marked: Iterable[str] = (),
) -> str:  # fmt: skip
    numbers, notable = set(numeric), set(marked)

    def cell(tag: str, column: int, value: Any) -> str:
        kind = ' class="n"' if column in numbers else ' class="source"' if column == source else ""
        return f"<{tag}{kind}>{escape(_text(value))}</{tag}>"

    lines = [f"<tr>{''.join(cell('th', i, name) for i, name in enumerate(head))}</tr>"]
    for row in rows:
        mark = ' class="assumed"' if row[0] in notable else ""
        lines.append(f"<tr{mark}>{''.join(cell('td', i, value) for i, value in enumerate(row))}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested content as (dotted name, value)."""
    rows: list[tuple[str, Any]] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "–"  # noqa: RUF001 - a dash
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "–"  # noqa: RUF001
    return str(value)
