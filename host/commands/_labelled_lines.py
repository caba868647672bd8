"""Lines of a label and what it says, as a command prints them at its end: folded by words where a terminal shows them."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable

NARROWEST = 60  # columns; what is narrower folds lines as it likes


def fold(lines: Iterable[str], label: int, width: int) -> list[str]:
    """Fold lines to `width` columns between words; what goes on stands behind the `label` columns that the label takes."""
    folded: list[str] = []
    for line in lines:
        short = len(line) <= width
        folded += [line] if short else textwrap.wrap(
            line, width, subsequent_indent=" " * label, break_long_words=False, break_on_hyphens=False, drop_whitespace=True
        )  # fmt: skip
    return folded


def print_labelled(lines: Iterable[str], label: int = 13) -> None:
    """Print lines, folded as wide as the terminal is; whole where stdout is no terminal, for whoever searches them."""
    if sys.stdout.isatty():
        lines = fold(lines, label, max(NARROWEST, shutil.get_terminal_size().columns))
    print("\n".join(lines))
