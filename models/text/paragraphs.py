"""Where one paragraph of plain text ends and the next begins.

Technical prose is wrapped at some column that means nothing; a model that must predict the wrap learns noise. So
wrapped lines are joined here. This file knows layout only: what a word is, `words.py` decides.
"""

import re
from collections.abc import Iterator

# What opens a paragraph of its own even without a blank line: a list bullet or number, a doctest prompt, a table row,
# a reStructuredText directive (".. note::") or field (":param x:").
_BULLET = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-z]\)|>>>|\.\.\.?|\||\+[-=]+\S*|:\w[^:]*:)(?:\s|$)", re.IGNORECASE)
# A title's underline or a horizontal rule: three or more of one symbol and nothing else.
_RULE = re.compile(r"([^\w\s])\1{2,}$")


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of `text`, each as one line without outer white space, never empty.

    A blank line, a bullet, a change of indentation and the line after a rule (`-----`) begin a new paragraph. The lines
    that hang under a bullet belong to it, however deep they are indented.
    """
    gathered: list[str] = []
    indent = 0
    hanging = False  # the bullet's own line came last: the next line may be deeper and still belongs to it
    for line in text.expandtabs().splitlines():
        body = line.strip()
        if not body:
            yield from _joined(gathered)
            continue
        here = len(line) - len(line.lstrip())
        bullet = _BULLET.match(body) is not None
        belongs = here == indent or (hanging and here > indent)
        if bullet or not belongs:
            yield from _joined(gathered)
        hanging = bullet
        indent = here
        gathered.append(body)
        if _RULE.fullmatch(body):
            yield from _joined(gathered)
    yield from _joined(gathered)


def _joined(gathered: list[str]) -> Iterator[str]:
    """Yield the gathered lines as one, if there are any, and empty the list."""
    if gathered:
        yield " ".join(gathered)
        gathered.clear()
