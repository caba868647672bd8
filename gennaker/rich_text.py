"""Tables and frames, for notebooks and pandas."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gennaker.errors import Error

_STYLE = "text-align:left;vertical-align:top"
_NUMBERS = "text-align:right;vertical-align:top"


def html_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", note: str = "") -> str:
    """Return a table for a notebook, numbers flush right; every text is escaped: names come from files."""
    texts = [list(map(str, row)) for row in rows]
    styles = [_NUMBERS if column and all(map(_is_number, column)) else _STYLE for column in zip(*texts, strict=True)]
    lines = [f"<table><caption style='{_STYLE}'><b>{html.escape(title)}</b></caption>" if title else "<table>"]
    if any(heads):
        names = (f"<th style='{style}'>{html.escape(head)}</th>" for head, style in zip(heads, styles, strict=False))
        lines.append("<tr>" + "".join(names) + "</tr>")
    for row in texts:
        cells = (f"<td style='{style}'>{html.escape(cell)}</td>" for cell, style in zip(row, styles, strict=True))
        lines.append("<tr>" + "".join(cells) + "</tr>")
    return "".join(lines) + "</table>" + (f"<p>{html.escape(note)}</p>" if note else "")


def _is_number(text: str) -> bool:
    try:
        return float(text.replace(",", "")) is not None
    except ValueError:
        return False


def frame_of(rows: Any, **options: Any) -> Any:
    """Return a pandas DataFrame of rows or columns; Error, one line, where there is no pandas."""
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        raise Error("a frame needs pandas: pip install pandas; without it, leave frame=True out") from None
    return pandas.DataFrame(rows, **options)


def list_of_rows(rows: Iterable[Mapping[str, Any]], frame: bool) -> Any:
    """Return rows as they are, or as a DataFrame."""
    return frame_of(list(rows)) if frame else list(rows)
