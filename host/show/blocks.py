"""What a page is made of, as HTML: sections of paragraphs, tables, figures and lists.

Whatever a run brings (names, paths, prompts, generated text) is escaped; only drawn figures are put in as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple, NewType
from urllib.parse import quote

if TYPE_CHECKING:
    from host.show import canvas

Html = NewType("Html", str)
"""A piece of a page; only this file makes some."""
Row = Sequence[Any]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure, with what stands above it on the page. `name` is that of its files and of `run.figures.NAME()` in Python; `draw`
    draws it. It is drawn once, when the page or a file needs it.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[], canvas.Figure]

    @cached_property
    def drawn(self) -> canvas.Figure:
        """The figure as matplotlib has it."""
        return self.draw()

    @cached_property
    def svg(self) -> str:
        """The figure as text of the page."""
        from host.show.inline_svg import svg

        return svg(self.drawn, self.name)


class Link(NamedTuple):
    """A cell of a table that leads somewhere: a file beside the page."""

    text: str
    href: str


def anchor(title: str) -> str:
    """Return the name by which a link of the page finds the section with this title."""
    return "-".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def section(title: str, blocks: Iterable[Html]) -> Html:
    """Return a part of a page with a title of its own."""
    return Html("\n".join([f'<h2 id="{escape(anchor(title))}">{escape(title)}</h2>', *blocks]))


def paragraph(text: str, look: str = "") -> Html:
    """Return text as a paragraph; `look`: "faint", "warn", or as other text."""
    return Html(f"<p{_kind(look)}>{escape(text)}</p>")


def heading(text: str) -> Html:
    """Return a title within a section."""
    return Html(f"<h3>{escape(text)}</h3>")


def preformatted(text: str) -> Html:
    """Return text whose line breaks stay."""
    return Html(f"<pre>{escape(text)}</pre>")


def scrolled(text: str) -> Html:
    """Return one line of code that does not break: where it finds no room, it can be scrolled."""
    return Html(f'<div class="scroll"><code class="line">{escape(text)}</code></div>')


def listing(points: Iterable[str]) -> Html:
    """Return points, one below the other."""
    return Html(f"<ul>{''.join(f'<li>{escape(point)}</li>' for point in points)}</ul>")


def details(summary: str, block: Html) -> Html:
    """Return a block that is folded away under a summary."""
    return Html(f"<details><summary>{escape(summary)}</summary>{block}</details>")


def contents(parts: Iterable[Html]) -> Html:
    """Return a list of links to the sections among these parts of a page."""
    titles = [title for part in parts for title in re.findall(r'<h2 id="([^"]*)">(.*?)</h2>', part)]
    links = " ".join(f'<a href="#{name}">{title}</a>' for name, title in titles)
    return Html(f"<nav>{links}</nav>" if links else "")


def figure_row(figures: Iterable[Figure], folder: str = "") -> Html:
    """Return figures side by side where there is room; `folder`: where they are files, to which links lead."""
    cells = [
        f"<figure><h3>{escape(one.title)}{_files(one.name, folder)}</h3>"
        f"<figcaption>{escape(one.caption)}</figcaption>{one.svg}</figure>"
        for one in figures
    ]
    return Html(f'<div class="figures">{"".join(cells)}</div>' if cells else "")


def _files(name: str, folder: str) -> str:
    links = (f'<a href="{folder}/{quote(name)}.{kind}">{kind.upper()}</a>' for kind in ("svg", "pdf"))
    return f"<small>{' '.join(links)}</small>" if folder else ""


def table(
    head: Row, rows: Iterable[Row], *, numeric: Collection[int] = (), long: int | None = None, assumed: Collection[str] = (),
    spare: int | None = None, is_wide: bool = False,
) -> Html:  # fmt: skip
    """Return rows under a head. `numeric`: columns that are flush right; `long`: a column of text that may wrap
    anywhere; `assumed`: first cells of rows whose value no source gives; `spare`: a column that a narrow screen leaves out;
    `is_wide`: many columns, of smaller letters, in which no cell of a row wraps.
    """
    kinds: dict[int | None, str] = {**dict.fromkeys(numeric, "n"), long: "long", spare: "spare"}

    def line(tag: str, row: Row, look: str = "") -> str:
        looks = [kinds.get(column, "") for column in range(len(row))]
        cells = [f"<{tag}{_kind(of)}>{_cell(value)}</{tag}>" for of, value in zip(looks, row, strict=True)]
        return f"<tr{_kind(look)}>{''.join(cells)}</tr>"

    lines = [line("th", head), *(line("td", row, "assumed" if row[0] in assumed else "") for row in rows)]
    return Html(f'<div class="scroll"><table{_kind("wide" * is_wide)}>{"".join(lines)}</table></div>')


def _cell(value: Any) -> str:
    if isinstance(value, Link):
        return f'<a href="{escape(quote(value.href))}">{escape(value.text)}</a>'
    return escape(format_cell(value))


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
