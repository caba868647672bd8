"""The words a model knows, each with its id.

It knows neither how text is cut into words (`tokeniser.py`) nor where the words come from (`corpus.py`), and it stores
nothing: a checkpoint keeps `words` and compares `sha256`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from operator import index

import numpy as np
import numpy.typing as npt

from models.text.tokeniser import EOS, UNK, TextError


@dataclass(frozen=True, init=False)
class Vocabulary:
    """Words and their ids, 0 to `len(vocabulary) - 1` in the order of `words`; it never changes.

    Raises `TextError` where a word occurs twice, is empty or holds white space, or `<unk>` or `<eos>` is missing.
    """

    words: tuple[str, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __init__(self, words: Iterable[str]) -> None:
        """Number `words` in the order given."""
        known = tuple(words)
        ids: dict[str, int] = {}
        for number, word in enumerate(known):
            # White space is refused so that one word a line is an unambiguous form (see `sha256`).
            if not isinstance(word, str) or word.split() != [word]:
                raise TextError(f"vocabulary: word {number}: need text without white space, have {word!r}")
            if word in ids:
                raise TextError(f"vocabulary: word {word!r}: need it once, have it as ids {ids[word]} and {number}")
            ids[word] = number
        for word in (UNK, EOS):
            if word not in ids:
                raise TextError(f"vocabulary: need the word {word}, have {len(known)} words without it")
        object.__setattr__(self, "words", known)
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(cls, tokens: Iterable[str], min_count: int = 3) -> "Vocabulary":
        """Return `<unk>`, `<eos>` and every word that occurs `min_count` times or more in `tokens`.

        `<unk>` is 0 and `<eos>` 1; then the most frequent word first, words of equal count in code point order. Raises
        `TextError` for a `min_count` below 1.
        """
        if min_count < 1:
            raise TextError(f"vocabulary: min_count: need 1 or more, have {min_count}")
        counts = Counter(tokens)
        frequent = [word for word, count in counts.items() if count >= min_count and word not in (UNK, EOS)]
        return cls([UNK, EOS, *sorted(frequent, key=lambda word: (-counts[word], word))])

    @classmethod
    def in_order_of_appearance(cls, *token_streams: Iterable[str]) -> "Vocabulary":
        """Return every word of the streams, ids by first appearance; a missing `<unk>` or `<eos>` comes last.

        With train, valid and test this is how the EGRU authors number WikiText and PTB (their `lm/data.py`), so ids
        match their checkpoints only if all three splits are given.
        """
        return cls(dict.fromkeys(chain(*token_streams, (UNK, EOS))))

    def encode(self, words: Iterable[str]) -> tuple[npt.NDArray[np.uint32], int]:
        """Return the ids of `words` and how many of them were unknown; an unknown word gets the id of `<unk>`.

        A literal `<unk>` is a known word and not counted.
        """
        text = list(words)
        unknown = sum(word not in self._ids for word in text)
        unk = self._ids[UNK]
        ids = np.fromiter((self._ids.get(word, unk) for word in text), dtype=np.uint32, count=len(text))
        return ids, unknown

    def decode(self, ids: Iterable[int] | npt.NDArray[np.integer]) -> list[str]:
        """Return the words with these ids; raises `TextError` for an id outside the vocabulary."""
        words = []
        for number in ids:
            position = index(number)
            if not 0 <= position < len(self.words):
                raise TextError(f"vocabulary: id: need 0 to {len(self.words) - 1}, have {position}")
            words.append(self.words[position])
        return words

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids

    @cached_property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the words in id order as a UTF-8 text file would hold them, one a line."""
        lines = "".join(f"{word}\n" for word in self.words)
        return hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest()
