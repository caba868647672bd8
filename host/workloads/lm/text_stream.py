"""Generated text on a terminal, word by word as it comes: what a person who gave a prompt wants to see.

The spacing around the last word can still change with the next one, so a word is held back until another follows.
"""

import re
import shutil
from typing import TextIO

from host.show.status import Fields
from host.show.terminal_style import clean, encoding

_NARROWEST = 20


class TextStream:
    """A `Monitor` (`host/show/monitor.py`) that writes the text of a run to `stream` as it grows."""

    def __init__(self, layout: Fields, stream: TextIO) -> None:
        self._stream = stream
        # Into a file or a pipe the words go unwrapped: whoever reads them there wants paragraphs.
        self._width = max(_NARROWEST, shutil.get_terminal_size().columns - 1) if stream.isatty() else 0
        self._column = 0
        self._seen = ""
        self._written = 0
        self.note("; ".join(str(layout[key]) for key in ("title", "note") if layout.get(key)))

    def update(self, status: Fields) -> None:
        """Write what of the text will not change any more."""
        text = str((status.get("shown") or {}).get("text") or "")
        alike = min(len(self._seen), len(text))
        settled = text[: next((i for i in range(alike) if self._seen[i] != text[i]), alike)]
        self._seen = text
        self._write(settled)

    def note(self, line: str) -> None:
        """Write a line of its own."""
        self._put(("\n" if self._column else "") + clean(line) + "\n")
        self._column = 0

    def close(self) -> None:
        """Write the rest of the text and end its line; a second call does nothing."""
        self._write(self._seen)
        if self._column:
            self._put("\n")
            self._column = 0

    def _write(self, text: str) -> None:
        """Write `text` from where the last call stopped up to its last blank, or to its end where that is all."""
        end = len(text) if text == self._seen else max(text.rfind(" "), text.rfind("\n")) + 1
        fresh, self._written = text[self._written : end], max(self._written, end)
        out = []
        for piece in _pieces(fresh):
            if piece == "\n":
                self._column = 0
            elif self._width and self._column and self._column + len(piece.rstrip()) > self._width:
                out.append("\n")
                self._column = 0
            out.append(piece)
            self._column += len(piece) if piece != "\n" else 0
        self._put("".join(out))

    def _put(self, text: str) -> None:
        if not text:
            return
        try:
            self._stream.write(text.encode(encoding(self._stream), "replace").decode(encoding(self._stream)))
            self._stream.flush()
        except (OSError, ValueError):  # nobody reads any more, and the run goes on
            self._width = 0


def _pieces(text: str) -> list[str]:
    """Cut into words, each with the blanks behind it, and line breaks; what could move a cursor becomes a blank."""
    glyphs = "".join(character if character.isprintable() or character == "\n" else " " for character in text)
    return re.findall(r"\n|[^\n ]+ *| +", glyphs)
