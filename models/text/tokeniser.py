"""Text to words and back: the tokeniser for ordinary prose.

It knows characters and words, not ids (`vocabulary.py`) and not where text comes from (`corpus.py`). WikiText arrives
already cut into words and does not pass through `tokenise`; `detokenise` prints both kinds.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence

UNK = "<unk>"  # the word that stands for every word outside the vocabulary
EOS = "<eos>"  # the word that ends a paragraph (our text) or a line (WikiText)
NUMBER = "N"  # the word that stands for every number of more than two characters; upper case, as no word of prose is

# Dots stay inside a word ("os.path", "e.g"): splitting them saves 0.4 points of unknown words on Python's documentation
# (train: 2.5 % to 2.1 %) but leaves no way to tell an attribute from the end of a sentence. Hyphens stand alone.
# Control characters, lone surrogates and byte order marks match nothing and so only separate: a vocabulary is printed
# on terminals and written as UTF-8.
_TOKEN = re.compile(
    rf"""{UNK} | {EOS}
    | (?P<number> 0[xob][0-9a-f_]+(?!\w) | \d+(?:[.,]\d+)*(?!\w) )
    | (?P<word> \w+(?:['.]\w+)* )
    | (?P<mark> [^\w\s\x00-\x1f\x7f-\x9f\ud800-\udfff\ufeff] )""",
    re.VERBOSE,
)
_PLAIN_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
_LONGEST_ROW = 3

_CLOSING = frozenset(",.;:!?)]}%…")
_OPENING = frozenset("([{")
_QUOTES = frozenset("\"'`")
_JOINING = frozenset("-/")
_PAIRS = frozenset(("->", "=>", ":=", "!=", "<=", ">=", "+=", "-="))
_WIKITEXT_JOINS = {"@-@": "-", "@,@": ",", "@.@": "."}

# What opens a paragraph of its own even without a blank line: a list bullet or number, a doctest prompt, a table row,
# a reStructuredText directive (".. note::") or field (":param x:").
_BULLET = re.compile(r"(?:[-*+•]|\d{1,3}[.)]|\(?[a-z]\)|>>>|\.\.\.?|\||\+[-=]+\S*|:\w[^:]*:)(?:\s|$)", re.IGNORECASE)
# A title's underline or a horizontal rule: three or more of one symbol and nothing else.
_RULE = re.compile(r"([^\w\s])\1{2,}$")


class TextError(ValueError):
    """Text, a vocabulary or a corpus is not usable; the message is one line: who, what, need, have."""


def tokenise(text: str) -> list[str]:
    """Return the words of `text`, lower-cased, with `<eos>` after every paragraph; text without words gives `[]`.

    A word is a run of letters, digits and underscores, with single apostrophes and dots inside it; every other visible
    character is a word of its own. Numbers of more than two characters become `N`; more than three of one mark in a row
    are cut to three. `<unk>` and `<eos>` in the text stand for themselves. Accepts any string and never raises. A
    prompt that the model shall continue is `tokenise(prompt)[:-1]`.
    """
    return [word for paragraph in tokenised_paragraphs(text) for word in paragraph]


def tokenised_paragraphs(text: str) -> Iterator[list[str]]:
    """Yield the words of each paragraph that has any, each list ending with `<eos>`: `tokenise` unjoined."""
    for paragraph in paragraphs(unicodedata.normalize("NFC", text).translate(_PLAIN_QUOTES)):
        words = _words(paragraph.lower())
        if words and words[-1] != EOS:
            words.append(EOS)
        if words:
            yield words


def paragraphs(text: str) -> Iterator[str]:
    """Yield the paragraphs of `text`, each as one line without outer white space, never empty.

    Technical prose is wrapped at some column that means nothing, and a model that must predict the wrap learns noise, so
    wrapped lines are joined. A blank line, a bullet, a change of indentation and the line after a rule (`-----`) begin a new
    paragraph. The lines that hang under a bullet belong to it, however deep they are indented.
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


def _words(line: str) -> list[str]:
    words: list[str] = []
    for match in _TOKEN.finditer(line):
        word = match.group()
        if match.lastgroup == "number" and len(word) > 2:
            word = NUMBER
        elif match.lastgroup == "mark" and words[-_LONGEST_ROW:] == [word] * _LONGEST_ROW:
            continue
        elif match.lastgroup == "word" and not word.strip("_"):
            word = word[:_LONGEST_ROW]  # a row of underscores, which the pattern takes for a word
        words.append(word)
    return words


def detokenise(words: Sequence[str]) -> str:
    """Return `words` as a person would write them; each `<eos>` is a line break.

    For reading only: the spacing is a guess and `tokenise` need not give the same words again. Also undoes WikiText's
    `@-@`, `@,@` and `@.@` (a mark between two halves of a word) and its separate `'s`.
    """
    pieces: list[str] = []
    opened: set[str] = set()  # quotation marks that wait for their partner
    glued = True  # no space before the next word
    before = EOS
    for word, after in zip(words, [*words, EOS][1:], strict=True):
        if word == EOS:
            pieces.append("\n")
            opened.clear()
            glued, before = True, EOS
            continue
        row = before + word in _PAIRS or (word == before and not _is_word(word))
        inner = word in _WIKITEXT_JOINS or (word in _JOINING and _is_word(before) and _is_word(after))
        closes = word in _QUOTES and word in opened
        call = word == "(" and after == ")" and _is_word(before)
        suffix = word.startswith("'") and len(word) > 1
        trails = word in _CLOSING and word + after not in _PAIRS
        if not (glued or row or inner or closes or call or suffix or trails):
            pieces.append(" ")
        pieces.append(_WIKITEXT_JOINS.get(word, word))
        if word in _QUOTES and not (row and word == "`"):  # `` is one mark made of two characters
            opened ^= {word}
        glued = inner or word in _OPENING or word in opened
        before = word
    return "".join(pieces)


def _is_word(word: str) -> bool:
    return word == UNK or any(letter.isalnum() or letter == "_" for letter in word[:1] + word[-1:])
