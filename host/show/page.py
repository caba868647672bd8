"""`report.html`: a run on one page that needs nothing else: no script, no file, no network. Readable at 360 pixels and above.

Head and cards are here; below them stand the sections of the run's workload, and those of `host/show/sections`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from host.show.blocks import Figure, Html, contents, figure_row, paragraph, section
from host.show.content import Content
from host.show.quantities import format_ends, format_quantity
from host.show.sections import Built, all_sections, build_sections
from host.show.sections import figures_of as section_figures
from host.show.status import format_metric, unit_of
from models.palette import PAGE_DARK, PAGE_LIGHT

FIGURES = "figures"
"""The folder of the run's figures."""

_CSS = Path(__file__).with_name("page.css").read_text("utf-8")
_HASH = 12  # digits of a hash on its card
_FIRST = 10
"""Sections of an order below this one stand above the cards."""


class Page(NamedTuple):
    """A page and the figures on it."""

    html: str
    figures: Sequence[Figure]


def html(content: Content) -> str:
    """Return the page."""
    return lay_out(content).html


def figures_of(content: Content) -> list[Figure]:
    """Return every figure of the page, without the page."""
    return [*content.figures, *(figure for one in all_sections() for figure in section_figures(one, content))]


def lay_out(content: Content) -> Page:
    """Return the page: head, verdict and cards first, then the workload's part, then the other sections."""
    built = build_sections(content)
    first, others = [one for one in built if one.order < _FIRST], [one for one in built if one.order >= _FIRST]
    has_files = any(name == f"{FIGURES}/" for name, _ in content.files)

    def drawn(figures: Sequence[Figure]) -> list[Html]:
        return [figure_row(figures, FIGURES if has_files else "")] if figures else []

    def parts(sections: Sequence[Built]) -> list[Html]:
        return [section(one.title, [*drawn(one.figures), *one.blocks]) for one in sections]

    verdict, below = parts(first), [*content.sections, *drawn(content.figures), *parts(others)]
    body = [*_head(content), *verdict, _cards(content.report), contents([*verdict, *below]), *below]
    text = "\n".join(part for part in body if part)
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(content.name)}: Gennaker run</title>\n<style>\n{style()}</style>\n</head>\n<body>\n<main>\n"
        f"{text}\n</main>\n</body>\n</html>\n"
    )
    return Page(page, [*content.figures, *(figure for one in built for figure in one.figures)])


def style() -> str:
    """Return the page's style sheet, in the palette's colours."""
    light, dark = (" ".join(f"--{name}: {colour};" for name, colour in of.items()) for of in (PAGE_LIGHT, PAGE_DARK))
    return f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{_CSS}"


def _head(content: Content) -> list[str]:
    report, result = content.report, content.report.get("result") or {}
    title = str(report.get("title") or content.name)
    facts = [str(result["source"])] if result.get("source") and str(result["source"]) not in title else []
    if mapping := report.get("mapping"):
        facts.append(f"{mapping['pes']:,} PEs, mapping {mapping['strategy']}, weights as {mapping['format']}")
    facts.append(f"run folder {content.name}")
    if (provenance := report.get("provenance") or {}).get("date"):
        facts.append(str(provenance["date"]).replace("T", " ").replace("Z", " UTC"))
    paragraphs = [paragraph("; ".join(facts), "faint")]
    if report.get("partial"):
        why = f": {report['problem']}" if report.get("problem") else ""
        paragraphs.append(paragraph(f"Partial: the run did not reach its end{why}", "warn"))
    if result.get("note"):
        paragraphs.append(paragraph(result["note"], "warn"))
    is_file = "." in title.partition(" ")[0]  # whose name stands as it is
    return [f"<h1>{escape(title if is_file else title[:1].upper() + title[1:])}</h1>", *paragraphs]


def _cards(report: Mapping[str, Any]) -> str:
    metrics = [metric for metric in report.get("metrics") or () if metric.get("value") is not None]
    cards = [_card(metric["label"], format_metric(metric), metric.get("note") or "") for metric in metrics]
    cards += [*_cost_cards(report), *_count_cards(report)]
    columns = min((5, 4, 3), key=lambda wide: -len(cards) % wide)  # the fewest holes
    return f'<div class="cards" style="--columns: {columns}">{"".join(cards)}</div>' if cards else ""


def _card(label: str, value: str, note: str) -> str:
    """Return a number at the top of the page, with its name above it."""
    return f'<div class="card">{escape(label)}<b>{escape(value)}</b><small>{escape(note)}</small></div>'


def _cost_cards(report: Mapping[str, Any]) -> list[str]:
    cost, unit = report.get("modelled"), unit_of(report)
    if not cost:
        return []
    share = cost["time_per_token_s"] / cost["time_s"] if cost["time_s"] else 0.0
    values = [
        ("modelled time", cost["time_per_token_s"], "s", [share * end for end in cost["time_band_s"]], f"a {unit}; "),
        ("modelled power", cost["power_w"], "W", cost["power_band_w"], ""),
        ("modelled energy", cost["energy_per_token_j"], "J", [share * end for end in cost["energy_band_j"]], f"a {unit}; "),
    ]
    return [
        _card(label, format_quantity(value, base), f"{note}band {format_ends(value, band, base)}")
        for label, value, base, band, note in values
    ]


def _count_cards(report: Mapping[str, Any]) -> list[str]:
    cards: list[str] = []
    if events := report.get("events"):
        active = " / ".join(f"{100 * (1 - sparsity):.1f} %" for sparsity in events["sparsity_by_layer"])
        cards.append(_card("events", f"{events['count']:,}", f"active units by layer: {active}"))
        cards.append(_hash_card(events["sha256"]))
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
        cards.append(_card("emulator", format_quantity(emulation["ms_per_token"] / 1e3, "s"), note))
    return cards


def _hash_card(sha256: str) -> str:
    """Return a card for a hash: as much of it as stands on one line, the rest where the pointer rests and below."""
    whole = '<a href="#configuration">whole</a>: the same on any PEs, chips and transports'
    start = f'<b class="hash">{escape(sha256[:_HASH])}</b>'
    return f'<div class="card" title="{escape(sha256)}">event hash{start}<small>{whole}</small></div>'
