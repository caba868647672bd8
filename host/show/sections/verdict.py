"""The first screen: what is slow, what would help most, and what every single setting would change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from host.show.answers import FIGURES, change_of, name_of, priced_rows, unchanged_rows, unpriced_rows
from host.show.blocks import Html, listing, paragraph, table
from host.show.content import Content
from host.show.quantities import format_change, format_quantity

TITLE = "What is slow, and what would help"
ORDER = 5


def build(content: Content) -> list[Html]:
    """Return the two sentences and the table of settings; nothing of a run without answers."""
    answers = content.answers
    if not answers:
        return []
    sentences = [paragraph(answers[part]["sentence"]) for part in ("bottleneck", "advice")]
    return [*sentences, *settings_table(answers, content.unit)]


def settings_table(answers: Mapping[str, Any], unit: str) -> list[Html]:
    """Return the table of settings, the best first, with what is not in it and why."""
    recorded, rows = answers["recorded"], priced_rows(answers)
    each = max(recorded["executions"], 1)
    head = ["setting", "in place of"]
    for what in ("time", "energy", "moved"):
        head += [f"{what} a {unit}", "change"]
    cells = [["as it is", "", *_figures(recorded, each), _size(recorded)]]
    cells += [[name_of(row), row["was"], *_figures(row, each), _size(row)] for row in rows]
    notes = [f"{name_of(row)}: {row['note']}" for row in rows if row["note"]]
    notes += [f"{name_of(row)}: {row['note']}" for row in unpriced_rows(answers)]
    if same := [name_of(row) for row in unchanged_rows(answers)]:
        notes.append(f"change nothing here: {', '.join(same)}")
    if any(row["expected"] for row in rows):
        notes.append("*: expected, from this run's counts dealt out to the other placement's PEs")
    if rows:
        notes.append("SRAM used: weights and variables of the fullest PE")
    blocks = [table([*head, "SRAM used"], cells, numeric=range(2, 9), spare=1)] if rows else []
    return [*blocks, *([listing(notes)] if notes else [])]


def _figures(row: Mapping[str, Any], each: int) -> list[str]:
    cells = []
    for name, symbol in FIGURES.items():
        change = change_of(row, name)
        cells += [format_quantity(row[name] / each, symbol), "" if change is None else format_change(change)]
    return cells


def _size(row: Mapping[str, Any]) -> str:
    return format_quantity(row["sram_bytes"], "B") if row["sram_bytes"] is not None else ""
