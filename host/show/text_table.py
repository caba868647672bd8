"""Tables as text whose columns line up in a terminal."""

import textwrap
from collections.abc import Collection, Sequence

Row = Sequence[str]


def format_table(
    rows: Sequence[Row], *, left: Collection[int] = (0,), least: Sequence[int] = (), separator: str = "  "
) -> list[str]:
    """Return a line for each row, the head's first; the columns `left` are flush left, the others flush right.

    Rows with fewer cells than the head, such as a name and a reason, widen no column; the first columns have at least
    `least` characters.
    """
    widths = _widths(rows, least)
    return [
        separator.join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        for row in rows
    ]


def wrap_words(text: str, columns: int, indent: int = 0) -> list[str]:
    """Return text in lines of at most so many columns, broken between words; all but the first begin with `indent` blanks."""
    return textwrap.wrap(text, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def format_markdown(head: Row, rows: Sequence[Row]) -> str:
    """Return a Markdown table that lines up as plain text too; all columns but the first are flush right."""
    marks = ("-" * (width + 1) + (":" if column else "-") for column, width in enumerate(_widths([head, *rows])))
    first, *others = (f"| {line} |" for line in format_table([head, *rows], separator=" | "))
    return "\n".join([first, f"|{'|'.join(marks)}|", *others])


def _widths(rows: Sequence[Row], least: Sequence[int] = ()) -> list[int]:
    full_rows = [row for row in rows if len(row) == len(rows[0])]
    widths = [max(map(len, column)) for column in zip(*full_rows, strict=True)]
    return [max((width, *least[column : column + 1])) for column, width in enumerate(widths)]
