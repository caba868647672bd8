"""Which text to run on, in which words: the checkpoint's own, Python's documentation, or what the user brings.

A text is word numbers from here on; how much of it is run is decided in `prepare.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from host.errors import HostError
from host.workloads.lm.options import Options
from host.workloads.lm.word_numbers import read_word_numbers
from models.checkpoint import Model
from models.network import U32, Array
from models.text.corpus import standard_library, text_file, wikitext
from models.text.tokeniser import UNK, tokenise
from models.text.vocabulary import Vocabulary

PYTHON_LICENCE = "PSF-2.0"  # of Python's documentation and docstrings


@dataclass(frozen=True)
class TokenisedText:
    """A text: what to call it, its licence (None: not known), the vocabulary (None: of a model without its words), and its word
    numbers (words,) uint32.

    `unknown` (words,) bool marks the words that became `<unk>`; of a text stored as numbers, every `<unk>`. `foreign`: whether
    these are words that somebody brought, and the vocabulary lacks.
    """

    name: str
    licence: str | None
    vocabulary: Vocabulary | None
    numbers: U32
    unknown: Array
    foreign: bool = False


def read_text(options: Options, model: Model | None) -> TokenisedText:
    """Return the text that the options name; a model brings its vocabulary, a seeded network takes one from the text's
    own training split.

    Raises HostError or TextError for a text that is not there or has no words.
    """
    trained = Vocabulary(model.vocabulary) if model and model.vocabulary else None
    if options.ids is not None:
        return _numbered(options.ids, model, trained)
    if options.wikitext is not None:
        corpus = wikitext(options.wikitext)
        splits = (options.split,) if options.split else ("test", "valid", "train")
        name = next((split for split in splits if getattr(corpus, split)), None)
        if name is None:
            raise HostError(f"--split {options.split}: --wikitext {options.wikitext} has no such split")
        built = trained or Vocabulary.in_order_of_appearance(corpus.train, corpus.valid, corpus.test)
        return _read(f"{corpus.name}, {name} split", None, built, getattr(corpus, name), foreign=True)
    if options.text is not None:
        words = text_file(options.text)
        built = trained or Vocabulary.build(standard_library().train)
        return _read(Path(options.text).name, None, built, words, foreign=True)
    if options.prompt is not None:
        words = tokenise(options.prompt)[:-1]  # a prompt is continued, so its end of paragraph goes
        if not words:
            raise HostError("--prompt: has no words")
        return _read("prompt", None, trained or Vocabulary.build(standard_library().train), words, foreign=True)
    if model and trained and model.tokens:
        return _stored(options, model, trained)
    library, name = standard_library(), options.split or "test"
    words = getattr(library, name)
    return _read(f"{library.name}, {name} split", PYTHON_LICENCE, trained or Vocabulary.build(library.train), words)


def _read(name: str, licence: str | None, vocabulary: Vocabulary, words: Sequence[str], *, foreign: bool = False) -> TokenisedText:
    unknown = np.fromiter((word not in vocabulary for word in words), bool, len(words))
    return TokenisedText(
        name=name, licence=licence, vocabulary=vocabulary, numbers=vocabulary.encode(words)[0], unknown=unknown, foreign=foreign
    )


def _numbered(file: str, model: Model | None, vocabulary: Vocabulary | None) -> TokenisedText:
    """Return a text from a file of word numbers."""
    who, path = f"--ids {file}", Path(file)
    if model is None or model.embedding is None:
        raise HostError(f"{who}: needs a language model, whose words they are the numbers of")
    numbers = read_word_numbers(path, who, len(model.embedding))
    unk = None if vocabulary is None or UNK not in vocabulary else vocabulary.encode([UNK])[0][0]
    unknown = np.zeros(len(numbers), bool) if unk is None else numbers == unk
    return TokenisedText(name=path.name, licence=None, vocabulary=vocabulary, numbers=numbers, unknown=unknown)


def _stored(options: Options, model: Model, vocabulary: Vocabulary) -> TokenisedText:
    split = options.split or ("test" if "test" in model.tokens else next(iter(model.tokens)))
    if split not in model.tokens:
        raise HostError(f"--split {split}: checkpoint {options.checkpoint} holds only {', '.join(model.tokens)}")
    numbers = model.tokens[split]
    unknown = numbers == vocabulary.encode([UNK])[0][0]
    return TokenisedText(
        name=f"{split} split stored in the checkpoint", licence=model.text_licence or None, vocabulary=vocabulary,
        numbers=numbers, unknown=unknown,
    )  # fmt: skip
