"""The live view's panel of a language model that generates: the last lines of its text so far.

From the status: `text`. Importing it is light: the launcher does.
"""

import textwrap
from unicodedata import east_asian_width

from host.show.status import Fields
from host.show.terminal_style import Line, Panel, Span, clean


def lines(layout_shown: Fields, shown: Fields, columns: int, rows: int) -> list[Line]:  # noqa: ARG001 - a panel's signature
    """Return a head and as many of the text's last lines as fit; nothing without a text."""
    text = str(shown.get("text") or "")
    if not text or rows < 2 or columns < 1:
        return []
    return [[Span("text so far", "bold")], *([Span(line)] for line in _last_lines(text, columns, rows - 1))]


def _last_lines(text: str, width: int, rows: int) -> list[str]:
    """Return the last `rows` lines of `text`, wrapped at words."""
    room = width * rows
    text = text[max(0, (len(text) // room - 1) * room) :]  # in whole steps, so that words stay put while the text grows
    if any(east_asian_width(character) in "WF" for character in text):  # two columns each
        width = max(width // 2, 1)
    return [line for part in text.splitlines() for line in textwrap.wrap(clean(part), width)][-rows:]


PANEL = Panel(lines, above=False)
