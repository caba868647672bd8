"""What a page is made of, and its HTML: sections of paragraphs, tables, figures and lists.

Whatever a run brings (names, paths, prompts, generated text) is escaped; only drawn figures are put in as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

Row = Sequence[Any]


class Paragraph(NamedTuple):
    """Text; `look`: "faint", "warn", or as other text."""

    text: str
    look: str = ""


class Heading(NamedTuple):
    """A title within a section."""

    text: str


class Preformatted(NamedTuple):
    """Text whose line breaks stay."""

    text: str


class Listing(NamedTuple):
    """Points, one below the other."""

    points: Sequence[str]


class Table(NamedTuple):
    """Rows under a head. `numeric`: columns that are flush right; `long`: a column of text that may wrap anywhere; `assumed`:
    first cells of rows whose value no source gives.
    """

    head: Row
    rows: Iterable[Row]
    numeric: Collection[int] = ()
    long: int | None = None
    assumed: Collection[str] = ()


class Figure(NamedTuple):
    """A drawn figure with what stands above it."""

    title: str
    caption: str
    svg: str


class Figures(NamedTuple):
    """Figures side by side where there is room, then other blocks as one more of them."""

    figures: Sequence[Figure]
    beside: Sequence[Block] = ()


class Details(NamedTuple):
    """Blocks that are folded away under a summary."""

    summary: str
    blocks: Sequence[Block]


Block = Paragraph | Heading | Preformatted | Listing | Table | Figures | Details


class Section(NamedTuple):
    """A part of a page with a title of its own."""

    title: str
    blocks: Sequence[Block]


def section_html(section: Section) -> str:
    """Return a section as HTML."""
    return "\n".join([f"<h2>{escape(section.title)}</h2>", *map(block_html, section.blocks)])


def block_html(block: Block) -> str:
    """Return a block as HTML."""
    match block:
        case Paragraph(text, look):
            kind = f' class="{look}"' if look else ""
            return f"<p{kind}>{escape(text)}</p>"
        case Heading(text):
            return f"<h3>{escape(text)}</h3>"
        case Preformatted(text):
            return f"<pre>{escape(text)}</pre>"
        case Listing(points):
            return f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>"
        case Figures(figures, beside):
            more = f"<div>{''.join(map(block_html, beside))}</div>" if beside else ""
            return f'<div class="figures">{"".join(map(_figure_html, figures))}{more}</div>' if figures or beside else ""
        case Details(summary, blocks):
            return f"<details><summary>{escape(summary)}</summary>{''.join(map(block_html, blocks))}</details>"
        case Table():
            return _table_html(block)


def _figure_html(figure: Figure) -> str:
    caption = f"<h3>{escape(figure.title)}</h3><figcaption>{escape(figure.caption)}</figcaption>"
    return f"<figure>{caption}{figure.svg}</figure>"


def _table_html(table: Table) -> str:
    def cell(tag: str, column: int, value: Any) -> str:
        kind = ' class="n"' if column in table.numeric else ' class="long"' if column == table.long else ""
        return f"<{tag}{kind}>{escape(format_cell(value))}</{tag}>"

    lines = [f"<tr>{''.join(cell('th', column, name) for column, name in enumerate(table.head))}</tr>"]
    for row in table.rows:
        mark = ' class="assumed"' if row[0] in table.assumed else ""
        lines.append(f"<tr{mark}>{''.join(cell('td', column, value) for column, value in enumerate(row))}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def format_cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return "–"  # noqa: RUF001 - a dash
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(format_cell, value)) or format_cell(None)
    return str(value)


def flatten(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Return nested content as rows of a table: (dotted name, value)."""
    rows: list[tuple[str, Any]] = []
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            rows += flatten(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows
