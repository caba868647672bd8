"""How the constants that a price hangs on are shown: as text, as Markdown, and as a chart of bars about the price."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from host.cost.sensitivity import Sensitivity
from host.cost.tornado import Bar
from host.cost.uncertain import Uncertain
from host.show.quantities import format_constant
from host.show.text_table import format_markdown, format_table

_MEASURES = {"time_s": "time", "power_w": "power", "energy_j": "energy"}
_TEXT_WIDTH = 78


def format_band(one: Uncertain) -> str:
    """Return a constant's value and band with its unit: `1 (0.86 to 1) cycle`."""
    return format_constant(one.value, (one.low, one.high), one.unit)


def sentences_on_ends(constants: Iterable[Uncertain]) -> list[str]:
    """Return for each constant whose value lies on an end of its band one sentence that says why."""
    return [
        f"{one.name} {format_band(one)}, at its {'low' if one.value == one.low else 'high'} end: {one.at_end}"
        for one in constants
        if not one.inside
    ]


def format_change(change: tuple[float, float]) -> str:
    """Return how far something moves at the two ends of a constant, in percent: `-12.9/+7.5`; a dot where it does not."""
    low, high = sorted(100 * end for end in change)
    return f"{low:+.1f}/{high:+.1f}" if max(-low, high) >= 0.05 else "."


def format_tornado(bars: Sequence[Bar]) -> list[str]:
    """Return lines: under a head one constant each, what it is, and by how many percent its ends move time, power and energy."""
    if not bars:
        return ["nothing: no constant that this run uses has a band"]
    rows = [("constant", *(f"{word}, %" for word in _MEASURES.values()))]
    rows += [(bar.constant.name, *(format_change(bar.changes(measure)) for measure in _MEASURES)) for bar in bars]
    head, *lines = (line.rstrip() for line in format_table(rows, least=(32, 13, 13, 13)))
    text = [head]
    for line, bar in zip(lines, bars, strict=True):
        text += [line, *_wrapped(f"{bar.constant.words}: {format_band(bar.constant)}")]
    return text


def format_ends(sentences: Sequence[str]) -> list[str]:
    """Return lines that say which constants lie on an end of their band, and why."""
    return [line for sentence in sentences for line in _wrapped(sentence, first="- ")]


def _wrapped(text: str, first: str = "  ") -> list[str]:
    lines, line = [], first
    for word in text.split():
        if len(line) + len(word) > _TEXT_WIDTH and line.strip():
            lines.append(line.rstrip())
            line = "  "
        line += f"{word} "
    return [*lines, line.rstrip()]


def sensitivity_rows(rows: Sequence[Sensitivity], runs: Sequence[str], measure: str) -> list[tuple[str, ...]]:
    """Return a row a constant that moves this measure of any run by 0.05 % or more: its name, what it is, its band, and by how
    many percent its ends move each run.
    """
    table_rows = []
    for row in rows:
        cells = [format_change(row.bars[run].changes(measure)) if run in row.bars else "." for run in runs]
        if any(cell != "." for cell in cells):
            table_rows.append((row.constant.name, row.constant.words, format_band(row.constant), *cells))
    return table_rows


def sensitivity_markdown(rows: Sequence[Sensitivity], headings: Mapping[str, str], measure: str) -> str:
    """Return `sensitivity_rows` as a Markdown table; `headings` name the runs."""
    cells = [(f"{words} (`{name}`)", *more) for name, words, *more in sensitivity_rows(rows, list(headings), measure)]
    return format_markdown(("Constant", "value and band", *headings.values()), cells)


def sensitivity_text(rows: Sequence[Sensitivity], runs: Sequence[str]) -> list[str]:
    """Return the tables of time, power and energy as lines for a terminal."""
    lines = []
    for measure, word in _MEASURES.items():
        rows_of_sensitivity = sensitivity_rows(rows, runs, measure)
        table = [(f"{word}, %", *runs), *((name, *cells) for name, _, _, *cells in rows_of_sensitivity)]
        lines += [*(line.rstrip() for line in format_table(table, least=(32,))), ""]
    lines.append("constants: what they are, value (band) and unit")
    for row in rows:
        lines += _wrapped(f"{row.constant.name}: {row.constant.words}, {format_band(row.constant)}")
    return lines
