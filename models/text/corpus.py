"""Where text comes from: Python's own documentation, WikiText, or any text file; as words, split for training.

It knows files and splits, not ids (`vocabulary.py`) and not models. Python's documentation depends on the Python
version, so a figure measured on it is reproducible only with the words that it was measured on.
"""

import hashlib
import io
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.input_file import MOST_TEXT_BYTES, InputError, read_text_input
from models.text import cache
from models.text.tokeniser import EOS, TextError, tokenise, tokenised_paragraphs

SPLITS = ("train", "valid", "test")
SPLIT_BINS = 20  # documents are spread over this many bins by the hash of their name: bin 0 is valid, 1 test, the rest train
LONGEST_REPEAT = 6
"""Paragraphs of more words than this, `<eos>` not counted, are kept only where they occur first, in any split."""


@dataclass(frozen=True)
class Corpus:
    """A text as words, in three parts; a part that does not exist is an empty list."""

    name: str
    train: list[str]
    valid: list[str]
    test: list[str]
    documents: Mapping[str, int]
    """How many documents (topics and modules; or files) each of train, valid and test was read from."""
    source: str  # where the text came from, in one line for a report


def standard_library() -> Corpus:
    """Return the documentation of the running Python: language topics and the docstrings of the standard library.

    About half a million words. A few seconds the first time, then from the user's cache. Raises `TextError` where this
    Python has neither topics nor sources.
    """
    from models.text import pydocs  # ast and sysconfig: of no use to those who bring their own text

    path = cache.cache_file(sorted(Path(__file__).parent.glob("*.py")), place=str(pydocs.stdlib_folder()))
    record = cache.load_record(path) if path else None
    if record is None:
        record = _split(pydocs.documents())
        if path:
            cache.store(path, record)
    return Corpus(
        name="standard-library",
        **{split: record[split].split(" ") if record[split] else [] for split in SPLITS},
        documents=record["documents"],
        source=f"{pydocs.TOPICS} and standard library docstrings of Python {sys.version.split()[0]}",
    )


def _split(documents: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the words of each split joined by blanks (no word holds one), and the count of documents in each."""
    words: dict[str, list[str]] = {split: [] for split in SPLITS}
    counts = dict.fromkeys(SPLITS, 0)
    seen: set[tuple[str, ...]] = set()
    for name, text in documents:
        fresh: list[str] = []
        for paragraph in tokenised_paragraphs(text):
            if len(paragraph) - 1 > LONGEST_REPEAT:
                if (key := tuple(paragraph)) in seen:
                    continue
                seen.add(key)
            fresh += paragraph
        if fresh:
            split = split_of(name)
            words[split] += fresh
            counts[split] += 1
    return {"documents": counts, **{split: " ".join(words[split]) for split in SPLITS}}


def split_of(document: str) -> str:
    """Return `train`, `valid` or `test`: the split a document belongs to, by its name alone."""
    bin_ = int(hashlib.sha256(document.encode("utf-8", "surrogateescape")).hexdigest(), 16) % SPLIT_BINS
    return {0: "valid", 1: "test"}.get(bin_, "train")


def text_file(path: str | Path) -> list[str]:
    """Return the words of a UTF-8 text file, as `tokenise` cuts them.

    Raises `TextError` for what is no readable file (a folder, a pipe, a web page ...), not UTF-8 (with the byte's offset), or
    without a single letter or digit.
    """
    text = _read(path, "text_file")
    if not any(character.isalnum() for character in text):
        raise TextError(f"text_file: {str(path)!r}: need words, have {len(text)} characters and no letter or digit")
    return tokenise(text)


def wikitext(folder: str | Path) -> Corpus:
    """Return a corpus that others have cut into words already: WikiText, or Mikolov's Penn Treebank.

    For each split reads `wiki.SPLIT.tokens`, or else `SPLIT.txt`; one that has neither is empty. As in the EGRU
    authors' `lm/data.py`: words are what white space separates, `<eos>` follows every line, blank ones too, and case
    stays. Raises `TextError` where no such file exists, where one is not UTF-8, and where there are no words.
    """
    place = Path(folder)
    looked_for = {split: (f"wiki.{split}.tokens", f"{split}.txt") for split in SPLITS}
    words: dict[str, list[str]] = {split: [] for split in SPLITS}
    used: list[str] = []
    for split, names in looked_for.items():
        for name in names:
            if _exists(place / name):
                words[split] = _lines(_read(place / name, "wikitext"))
                used.append(name)
                break
    if not used:
        need = ", ".join(name for part in looked_for.values() for name in part)
        have = "none of them" if place.is_dir() else "no such folder"
        raise TextError(f"wikitext: {str(folder)!r}: need one or more of {need}, have {have}")
    if not any(word != EOS for part in words.values() for word in part):
        raise TextError(f"wikitext: {str(folder)!r}: need words, have only blank lines in {', '.join(used)}")
    counts = {split: int(any(name in used for name in names)) for split, names in looked_for.items()}
    return Corpus("wikitext", **words, documents=counts, source=f"{', '.join(used)} in {folder}")


def _exists(path: Path) -> bool:
    """Tell whether there is something that reading says more of, a pipe for one."""
    try:
        return path.exists() and not path.is_dir()
    except OSError:  # before Python 3.14, for a folder that may not be entered
        return False


def _lines(text: str) -> list[str]:
    # StringIO's universal newlines end lines where the authors' `open()` does; str.splitlines would also cut at U+2028.
    return [word for line in io.StringIO(text, newline=None) for word in (*line.split(), EOS)]


def _read(path: str | Path, who: str) -> str:
    try:
        return read_text_input(path, MOST_TEXT_BYTES)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise TextError(f"{who}: {str(path)!r}: need UTF-8, have byte 0x{byte:02x} at offset {error.start}") from None
    except InputError as error:
        raise TextError(f"{who}: {str(path)!r}: {error}") from None
