"""What a run's figures say: its bottleneck, the change that helps most, and a table of every single setting.

`answers_block` is what `answers.json` of a run folder holds (docs/answers.md); summary, page and `price --what-if` show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from host.cost.bottleneck import MULTIPLY, Bottleneck, bottleneck_of
from host.cost.ledger import RunLedger
from host.cost.priced import Priced
from host.cost.what_if import OTHERS, Answer, best, described, moved_bytes
from host.show.quantities import format_change, format_digits, format_share, prefix_of
from host.show.text_table import format_table, wrap_words

SCHEMA = 1
Record = Mapping[str, Any]
"""An answers block, or a row of it."""
_PLURAL = ("the units' own steps", "links between chips")
_MARK = "*"
_LONGEST_UNIT = 6  # letters, with " a " before it in a column of 11 characters
_EXPECTED = f"{_MARK} expected: this run's counts, dealt out to the other placement's PEs"


def answers_block(ledger: RunLedger, priced: Priced, rows: Sequence[Answer], sram_bytes: int | None) -> dict[str, Any]:
    """Return the answers of a priced run: `bottleneck`, `advice`, `recorded` (the run's own figures) and `rows`."""
    slow, first = bottleneck_of(priced, ledger), best(rows)
    return {
        "schema": SCHEMA,
        "bottleneck": {"sentence": bottleneck_sentence(slow), **(slow.described() if slow else {})},
        "advice": {"sentence": advice_sentence(first, rows), "row": described(first) if first else None},
        "recorded": {
            "time_s": priced.time_s, "energy_j": priced.energy_j, "moved_bytes": moved_bytes(priced), "sram_bytes": sram_bytes,
            "executions": ledger.executions,
        },
        "rows": [described(row) for row in rows],
    }  # fmt: skip


def short_block(answers: Record) -> dict[str, Any]:
    """Return what the report holds of answers: a few flat columns."""
    slow, row = answers["bottleneck"], answers["advice"]["row"] or {}
    return {
        "bottleneck": slow["sentence"], "advice": answers["advice"]["sentence"], "layer": slow.get("layer"),
        "stage": slow.get("stage"), "share": slow.get("share"), "change": _flags_of(row) if row else None,
        "time_change": row.get("time_change"), "energy_change": row.get("energy_change"),
    }  # fmt: skip


def bottleneck_sentence(slow: Bottleneck | None) -> str:
    """Return the sentence that names the bottleneck and its share."""
    if slow is None:
        return "The run took no time on the chip."
    part = f"{slow.words.get(slow.stage, slow.stage)} ({format_share(slow.share)})"
    layer = next(iter(slow.by_layer))
    busiest, layer_words = format_share(slow.by_layer[layer]), quote_number(layer)
    if slow.pipelined and len(slow.by_layer) > 1:
        return f"{layer_words} sets the pace, busy {busiest} of the time, the largest part of it {part}."
    share = format_share(slow.by_kind[slow.kind])
    first = f"{slow.kind[0].upper()}{slow.kind[1:]} {'take' if slow.kind in _PLURAL else 'takes'} {share} of the time on the chip"
    if len(slow.by_layer) == 1:
        return f"{first}." if slow.kind != MULTIPLY or len(slow.by_stage) == 1 else f"{first}, the largest part {part}."
    if layer == slow.layer:
        return f"{first}; the slowest layer is {layer_words} with {busiest}, its largest part {part}."
    return f"{first}; the slowest layer is {layer_words} with {busiest}, the largest part {part} of {quote_number(slow.layer)}."


def quote_number(name: str) -> str:
    """Return the name of a layer for a sentence: where it is a number, as in files of some programs, in quotation marks."""
    return f'"{name}"' if name[:1].isdigit() else name


def advice_sentence(row: Answer | None, rows: Sequence[Answer]) -> str:
    """Return the sentence on the change that helps most, of `rows`."""
    if not any(row.time_s is not None for row in rows):
        return "`launch.py price RUN --what-if` says what would help."
    aside = " without placing the network anew" if any(one.value == OTHERS for one in rows) else ""
    if row is None:
        return f"No single setting{aside} would take more than 1 % off time x energy."
    return (
        f"What would help most{aside}: {row.group} {row.value} in place of {row.was}, {_effect('time', row.time_change or 0)} and "
        f"{_effect('energy', row.energy_change or 0)}."
    )


def _effect(what: str, change: float) -> str:
    if abs(change) < 0.0005:
        return f"as much {what}"
    return f"{format_share(abs(change))} {'less' if change < 0 else 'more'} {what}"


def _flags_of(row: Record) -> str:
    return f"--set {row['setting']}" if row.get("setting") else str(row.get("flags"))


def format_what_if(answers: Record, unit: str, columns: int = 80) -> list[str]:
    """Return the table of settings as lines of at most `columns` characters, the best first; figures are those a `unit`."""
    recorded = answers["recorded"]
    each = max(recorded["executions"], 1)
    scales = [(name, prefix_of(recorded[name] / each), symbol) for name, symbol in FIGURES.items()]
    wide, of_each = columns >= 100, f" a {unit}" if len(unit) <= _LONGEST_UNIT else f"/{unit}"
    head = ["setting"]
    for name, (_, prefix), symbol in scales:
        head += [f"{prefix}{symbol}{of_each}" if name != "moved_bytes" else f"{prefix}{symbol} moved", ""]
    rows = [head + ["SRAM used, B"] * wide]
    rows.append(["as it is", *_cells(recorded, scales, each), *_sram(recorded, wide)])
    for row in priced_rows(answers):
        rows.append([name_of(row), *_cells(row, scales, each), *_sram(row, wide)])
    for names in (22, 0):  # a unit of many letters takes the room beside the names
        lines = [line.rstrip() for line in format_table(rows, separator=" ", least=(names, 11, 6, 11, 6, 9, 6))]
        if max(map(len, lines)) <= columns:
            break
    if same := [name_of(row) for row in unchanged_rows(answers)]:
        lines += wrap_words(f"no change: {', '.join(same)}", columns)
    for row in unpriced_rows(answers):
        lines += wrap_words(f"{name_of(row)}: {row['note']}", columns, indent=2)
    return lines + ([_EXPECTED] if any(row["expected"] for row in priced_rows(answers)) else [])


FIGURES = {"time_s": "s", "energy_j": "J", "moved_bytes": "B"}
_CHANGES = {"time_s": "time_change", "energy_j": "energy_change", "moved_bytes": "bytes_change"}


def _cells(row: Record, scales: Sequence[tuple[str, tuple[int, str], str]], each: int) -> list[str]:
    cells = []
    for name, (power, _), _ in scales:
        change = change_of(row, name)
        cells += [format_digits(row[name] / each / 10.0**power), "" if change is None else format_change(change)]
    return cells


def name_of(row: Record) -> str:
    """Return what a row is called; a mark says that its figures are expected."""
    return f"{row['group']} {row['value']}{_MARK if row['expected'] else ''}"


def change_of(row: Record, figure: str) -> float | None:
    """Return how a row's figure differs from the run's, as a share of it; None in the row of the run itself."""
    change: float | None = row.get(_CHANGES[figure])
    return change


def _sram(row: Record, wide: bool) -> list[str]:
    size = row.get("sram_bytes")
    return [f"{size:,}" if size is not None else ""] if wide else []


def priced_rows(answers: Record) -> list[Record]:
    """Return the rows that change something, what takes the least time x energy first."""
    rows = [row for row in answers["rows"] if row["time_s"] is not None and not _is_same(row)]
    return sorted(rows, key=lambda row: (row["time_s"] * row["energy_j"], row["moved_bytes"]))


def unchanged_rows(answers: Record) -> list[Record]:
    """Return the rows of settings that this run does not use: they change nothing."""
    return [row for row in answers["rows"] if row["time_s"] is not None and _is_same(row)]


def unpriced_rows(answers: Record) -> list[Record]:
    """Return the rows without figures; their notes say why."""
    return [row for row in answers["rows"] if row["time_s"] is None]


def _is_same(row: Record) -> bool:
    return not any((row["time_change"], row["energy_change"], row["bytes_change"]))
