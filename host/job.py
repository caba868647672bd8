"""From options to a job: which network, on which text, mapped how. Everything a user can get wrong is found here,
before a process starts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from host.dram import Dram
from host.errors import HostError
from host.lm import EmbeddingStore, Evaluation, Generation, Readout, Workload
from host.options import DEFAULT_TOKENS, LmOptions
from host.place import Placement, place
from models.checkpoint import Model, load
from models.network import U32
from models.seeded import PAPER_INPUT_UNITS, seeded_egru, seeded_embedding
from models.text.corpus import standard_library, text_file, wikitext
from models.text.vocabulary import Vocabulary
from models.text.words import UNK, detokenise, tokenise
from noc.chip import ChipSpec, load_chip

SEEDED_NOTE = "seeded network: it has learnt nothing, its perplexity only shows that the path works"
PAPER_SEGMENT = 70  # positions; section IV-C1 and the authors' evaluation


@dataclass
class Job:
    """All that a run needs."""

    options: LmOptions
    placement: Placement
    workload: Workload
    dram: Dram
    title: str
    note: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """The words to run on, the vocabulary that numbers them, and what to call the text."""

    name: str
    words: list[str]
    vocabulary: Vocabulary


def chip_of(options: LmOptions) -> ChipSpec:
    """Return the chip that the options name; ChipError for a preset or file that cannot be used."""
    return load_chip(options.chip, Path(options.chip_file) if options.chip_file else None)


def model_of(options: LmOptions) -> tuple[Model | None, str]:
    """Return the checkpoint's model and a title, or None where the seeded network is to be used."""
    if options.checkpoint is None:
        return None, "seeded network with the paper's sizes"
    path = Path(options.checkpoint)
    return load(path), path.name


def _source(options: LmOptions, model: Model | None) -> Source:
    """Return the text; a model brings its vocabulary, a seeded network takes one from the text's own training split."""
    trained = Vocabulary(model.vocabulary) if model else None
    if options.wikitext is not None:
        corpus = wikitext(options.wikitext)
        name, words = next((name, split) for name in ("test", "valid", "train") if (split := getattr(corpus, name)))
        built = trained or Vocabulary.in_order_of_appearance(corpus.train, corpus.valid, corpus.test)
        return Source(f"{corpus.name}, {name} split", words, built)
    if options.text is not None:
        words = text_file(options.text)
        return Source(Path(options.text).name, words, trained or Vocabulary.build(standard_library().train))
    library = standard_library()
    vocabulary = trained or Vocabulary.build(library.train)
    if options.prompt is not None:
        words = tokenise(options.prompt)[:-1]  # a prompt is continued, so its end of paragraph goes
        if not words:
            raise HostError("--prompt: has no words")
        return Source("prompt", words, vocabulary)
    return Source(f"{library.name}, test split", library.test, vocabulary)


def _streams(words: U32, options: LmOptions, source: str) -> U32:
    """Cut the text into equal contiguous streams, one a lane, as the authors batch it; the tail is dropped."""
    lanes = options.batch
    want = options.tokens or DEFAULT_TOKENS
    have = len(words) // lanes - 1
    if have < 1:
        raise HostError(f"text {source!r}: {len(words)} words are too few for {lanes} sequences of at least 2")
    if options.tokens is not None and have < want:
        raise HostError(f"--tokens {want}: text {source!r} has {have} tokens a sequence; use --tokens {have} or fewer")
    length = min(want, have) + 1
    return np.ascontiguousarray(words[: lanes * (len(words) // lanes)].reshape(lanes, -1)[:, :length])


def prepare(options: LmOptions) -> Job:
    """Build the job; HostError, ModelError, TextError or ChipError, one line each, for what cannot be run."""
    options.check()
    chip = chip_of(options)
    model, title = model_of(options)
    if model is None:
        network = seeded_egru()
        placement = place(network, chip, options.mapping, options.format, options.pes, options.batch)
        source = _source(options, None)
        embedding = seeded_embedding(len(source.vocabulary), PAPER_INPUT_UNITS)
        bias, segment, note = np.zeros(len(embedding), np.float32), PAPER_SEGMENT, SEEDED_NOTE
    else:
        placement = place(model.network, chip, options.mapping, options.format, options.pes, options.batch)
        source = _source(options, model)
        assert model.embedding is not None
        assert model.decoder_bias is not None
        embedding, bias, segment, note = model.embedding, model.decoder_bias, model.reset_every, ""
    for name in options.faults.slow:
        if name not in {placed.name for placed in placement.pes}:
            raise HostError(f"--fault slow: {name} is not in use; have {placement.pes[0].name} to {placement.pes[-1].name}")
    words, unknown = source.vocabulary.encode(source.words)
    dram = Dram(chip.dram_bytes, chip.dram_alignment_bytes)
    store = EmbeddingStore(dram, embedding)
    readout = Readout(np.ascontiguousarray(embedding.T), bias)
    workload: Workload
    if options.prompt is not None:
        unk = int(source.vocabulary.encode([UNK])[0][0])
        choice = {"temperature": options.temperature, "top_k": options.top_k, "seed": options.seed, "forbidden": unk}

        def as_text(ids: list[int]) -> str:
            return detokenise(source.vocabulary.decode(np.array(ids, np.uint32)))

        workload = Generation(store, readout, words, max(options.generate, 1), choice, segment, as_text)
        scored = words
    else:
        streams = _streams(words, options, source.name)
        workload = Evaluation(store, readout, streams, segment)
        # Unknown words are counted over what is run, not over the whole text.
        scored = streams
        unknown = _unknown_in(source, options, streams.shape[1])
    facts = {
        "source": source.name,
        "vocabulary": len(source.vocabulary),
        "vocabulary_sha256": source.vocabulary.sha256,
        "unknown_words": unknown,
        "words_run": int(scored.size),
        "segment": segment,
        "seeded": model is None,
    }
    return Job(options, placement, workload, dram, f"{title} on {source.name}", note, facts)


def _unknown_in(source: Source, options: LmOptions, length: int) -> int:
    """Return how many of the words that are run the vocabulary lacks."""
    stride = len(source.words) // options.batch
    run = [word for lane in range(options.batch) for word in source.words[lane * stride : lane * stride + length]]
    return source.vocabulary.encode(run)[1]
