"""What a checkpoint says of itself, as rows of label and text: short, on one line each, without what a terminal would obey."""

from collections.abc import Mapping
from typing import Any

_LONGEST_TEXT = 400  # characters of one value; a provenance may be a megabyte
_LONGEST_LIST = 12
_MOST = 60  # entries of a provenance, or of a group of settings in it


def list_entries(label: str, entries: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return a row for each entry, the first with the label; "not stated" where there is none."""
    return list(zip([label, *[""] * _MOST], _lines(entries) or ["not stated"], strict=False))


def _lines(provenance: Mapping[str, Any]) -> list[str]:
    """Return a line for each entry; what is nested once is listed behind its name, what lies deeper is only counted."""
    lines = []
    for name, value in list(provenance.items())[:_MOST]:
        if isinstance(value, dict):
            inner = [f"{plain_text(key)} {_condensed(deeper)}" for key, deeper in list(value.items())[:_MOST]]
            lines.append(f"{plain_text(name)}: {', '.join(inner)}{_more(value)}")
        else:
            lines.append(f"{plain_text(name)}: {_condensed(value)}")
    if more := _more(provenance):
        lines[-1] += more
    return lines


def _more(entries: Mapping[str, Any]) -> str:
    return f" and {len(entries) - _MOST:,} more" if len(entries) > _MOST else ""


def _condensed(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, dict):
        return f"({len(value)} entries)"
    if isinstance(value, list):
        if len(value) > _LONGEST_LIST or any(isinstance(item, list | dict) for item in value):
            return f"({len(value)} values)"
        return " / ".join(map(_condensed, value))
    return {None: "none", True: "yes", False: "no"}[value] if value is None or isinstance(value, bool) else plain_text(str(value))


def plain_text(text: str) -> str:
    """Return `text` on one line, without anything that a terminal would obey."""
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text[:_LONGEST_TEXT].split()))
    return line + ("..." if len(text) > _LONGEST_TEXT else "")
