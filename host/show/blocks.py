"""What a page is made of, as HTML: sections of paragraphs, tables, figures and lists.

Whatever a run brings (names, paths, prompts, generated text) is escaped; only drawn figures are put in as they are.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple, NewType

Html = NewType("Html", str)
"""A piece of a page; only this file makes some."""
Row = Sequence[Any]


class Figure(NamedTuple):
    """A drawn figure with what stands above it."""

    title: str
    caption: str
    svg: str


def section(title: str, blocks: Iterable[Html]) -> Html:
    """Return a part of a page with a title of its own."""
    return Html("\n".join([f"<h2>{escape(title)}</h2>", *blocks]))


def paragraph(text: str, look: str = "") -> Html:
    """Return text as a paragraph; `look`: "faint", "warn", or as other text."""
    return Html(f"<p{_kind(look)}>{escape(text)}</p>")


def heading(text: str) -> Html:
    """Return a title within a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def preformatted(text: str) -> Html:
    """Return text whose line breaks stay."""
    return Html(f"<pre>{escape(text)}</pre>")


def listing(points: Iterable[str]) -> Html:
    """Return points, one below the other."""
    return Html(f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>")


def details(summary: str, block: Html) -> Html:
    """Return a block that is folded away under a summary."""
    return Html(f"<details><summary>{escape(summary)}</summary>{block}</details>")


def figure_row(drawn: Iterable[Figure], beside: Sequence[Html] = ()) -> Html:
    """Return figures side by side where there is room, then other blocks as one more of them."""
    cells = [
        f"<figure><h3>{escape(title)}</h3><figcaption>{escape(caption)}</figcaption>{svg}</figure>" for title, caption, svg in drawn
    ]
    cells += [f"<div>{''.join(beside)}</div>"] * bool(beside)
    return Html(f'<div class="figures">{"".join(cells)}</div>' if cells else "")


def table(
    head: Row, rows: Iterable[Row], *, numeric: Collection[int] = (), long: int | None = None, assumed: Collection[str] = ()
) -> Html:
    """Return rows under a head. `numeric`: columns that are flush right; `long`: a column of text that may wrap
    anywhere; `assumed`: first cells of rows whose value no source gives.
    """

    def line(tag: str, row: Row, look: str = "") -> str:
        looks = ["n" if column in numeric else "long" if column == long else "" for column in range(len(row))]
        cells = [f"<{tag}{_kind(of)}>{escape(format_cell(value))}</{tag}>" for of, value in zip(looks, row, strict=True)]
        return f"<tr{_kind(look)}>{''.join(cells)}</tr>"

    lines = [line("th", head), *(line("td", row, "assumed" if row[0] in assumed else "") for row in rows)]
    return Html(f'<div class="scroll"><table>{"".join(lines)}</table></div>')


def _kind(look: str) -> str:
    return f' class="{look}"' if look else ""


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
