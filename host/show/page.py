"""`report.html`: a run on one page that needs nothing else: no script, no file, no network. Readable at 360 pixels and above.

Head and cards are here; below them stand the sections of the run's workload, and those of `host/show/sections`.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from host.show.blocks import paragraph
from host.show.content import Content
from host.show.sections import build_sections
from host.show.status import format_metric, unit_of

STYLE = "\n" + Path(__file__).with_name("page.css").read_text("utf-8")


def html(content: Content) -> str:
    """Return the page."""
    sections = [*content.sections, *build_sections(content)]
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
