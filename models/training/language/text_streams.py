"""Text as the trainer reads it: ids of the splits, cut into contiguous streams side by side.

As the authors batch it (their lm/data.py, egru.md section 3): a text is cut into as many equal contiguous streams as
sequences are wanted, the tail dropped, and read segment by segment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.network import U32
from models.text.corpus import SPLITS, Corpus, standard_library, text_file, wikitext
from models.text.tokeniser import TextError
from models.text.vocabulary import Vocabulary

STANDARD_LIBRARY = "stdlib"
_PARTS = 20  # a plain text file gives its last parts to valid and test


@dataclass(frozen=True)
class Text:
    """The ids of each split and the vocabulary that numbers them."""

    name: str
    source: str
    vocabulary: Vocabulary
    splits: dict[str, U32]
    unknown: dict[str, int]  # how many words of each split the vocabulary lacks


def read_text(data: str, min_count: int) -> Text:
    """Read `stdlib`, a folder in WikiText's layout or a UTF-8 text file; TextError, one line, where that fails.

    A WikiText vocabulary holds every word of all three splits in order of appearance, as the authors number them; of
    the others only words seen `min_count` times in train.
    """
    if data == STANDARD_LIBRARY:
        corpus = standard_library()
        vocabulary = Vocabulary.build(corpus.train, min_count)
    elif Path(data).is_dir():
        corpus = wikitext(data)
        # A checkpoint says which files it comes from, not where they lay.
        corpus = replace(corpus, source=f"{corpus.source.removesuffix(data)}{Path(data).resolve().name}")
        vocabulary = Vocabulary.in_order_of_appearance(corpus.train, corpus.valid, corpus.test)
    else:
        words = text_file(data)
        first, second = (len(words) * part // _PARTS for part in (_PARTS - 2, _PARTS - 1))
        corpus = Corpus(
            name=Path(data).name, train=words[:first], valid=words[first:second], test=words[second:], documents={},
            source=f"the text file {Path(data).name}",
        )  # fmt: skip
        vocabulary = Vocabulary.build(corpus.train, min_count)
    splits, unknown = {}, {}
    for split in SPLITS:
        splits[split], unknown[split] = vocabulary.encode(getattr(corpus, split))
        if len(splits[split]) < 2:
            raise TextError(f"text {data!r}: the {split} split needs at least 2 words, has {len(splits[split])}")
    return Text(name=corpus.name, source=corpus.source, vocabulary=vocabulary, splits=splits, unknown=unknown)


def streams(ids: U32, count: int) -> Tensor:
    """Return (length, count) int64 ids: `count` contiguous streams, the tail dropped; TextError where too few."""
    length = len(ids) // count
    if length < 2:
        raise TextError(f"text: {len(ids)} words are too few for {count} sequences of at least 2")
    return torch.from_numpy(ids[: length * count].astype(np.int64).reshape(count, length).T.copy())


def segments(text: Tensor, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (words, next words), each (up to `length`, streams), over the whole text in order."""
    for start in range(0, len(text) - 1, length):
        stop = min(start + length, len(text) - 1)
        yield text[start:stop], text[start + 1 : stop + 1]
