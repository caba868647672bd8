"""Tables and frames, for notebooks and pandas."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gennaker.errors import Error

_STYLE = "text-align:left;vertical-align:top"


def html_table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "", note: str = "") -> str:
    """Return a table for a notebook; every text is escaped: names come from files."""
    lines = [f"<table><caption style='{_STYLE}'><b>{html.escape(title)}</b></caption>" if title else "<table>"]
    if any(heads):
        lines.append("<tr>" + "".join(f"<th style='{_STYLE}'>{html.escape(head)}</th>" for head in heads) + "</tr>")
    for row in rows:
        lines.append("<tr>" + "".join(f"<td style='{_STYLE}'>{html.escape(str(cell))}</td>" for cell in row) + "</tr>")
    return "".join(lines) + "</table>" + (f"<p>{html.escape(note)}</p>" if note else "")


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
