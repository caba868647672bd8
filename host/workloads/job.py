"""From options to a job: which network, on which text, mapped how. Everything a user can get wrong is found here,
before a process starts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from host.errors import HostError
from host.mapping.expected_traffic import rates_of
from host.mapping.placement import Placement, place
from host.options import DEFAULT_TOKENS, DvsOptions, LmOptions, RunOptions
from host.run.event_hash import SequenceAt, side_by_side
from host.workloads.features.workload import Features, load_features
from host.workloads.lm.text import Source, source_of
from host.workloads.lm.workload import EmbeddingStore, Evaluation, Generation, Readout, Workload
from models import shipped
from models.checkpoint import Model, load
from models.network import Array, Network
from models.seeded import PAPER_INPUT_UNITS, seeded_egru, seeded_embedding
from models.text.tokeniser import UNK, detokenise
from noc.chip import ChipSpec, load_chip
from noc.dram import Dram
from noc.packet import router_name

SEEDED = "seeded"  # as a checkpoint's name: random weights in the paper's sizes
SHIPPED = Path(shipped.__file__).with_name("lm.safetensors")
SEEDED_NOTE = "seeded network: it has learnt nothing, its perplexity only shows that the path works"
PAPER_SEGMENT = 70  # positions; section IV-C1 and the authors' evaluation


@dataclass
class Job:
    """All that a run needs.

    `facts` join the report's `lm` block, `blocks` makes what a workload adds beside it, `shown` joins the monitor's layout.
    """

    options: RunOptions
    placement: Placement
    workload: Workload
    dram: Dram
    title: str
    note: str
    facts: dict[str, Any] = field(default_factory=dict)
    sequence_at: SequenceAt = side_by_side
    blocks: Callable[[], dict[str, Any]] = dict
    shown: dict[str, Any] = field(default_factory=dict)


def chip_of(options: RunOptions) -> ChipSpec:
    """Return the chip that the options name; ChipError for a preset or file that cannot be used."""
    return load_chip(options.chip, Path(options.chip_file) if options.chip_file else None)


def model_of(options: RunOptions) -> tuple[Model | None, str]:
    """Return the checkpoint's model and a title, or None where the seeded network is to be used."""
    if options.checkpoint == SEEDED:
        return None, "seeded network with the paper's sizes"
    if options.checkpoint is None:
        return load(SHIPPED), "the trained model of the paper's sizes"
    path = Path(options.checkpoint)
    return load(path), path.name


def _runnable(options: LmOptions, model: Model) -> Model:
    """Return the model; HostError where a part is missing that a run on text needs."""
    if model.embedding is None:
        why = "a bare stack of layers can be mapped (`fit`), not run on text"
        raise HostError(f"checkpoint {options.checkpoint}: has no embedding; {why}")
    if not model.vocabulary:
        why = "it must be imported together with the text it was trained on"
        raise HostError(f"checkpoint {options.checkpoint}: has no vocabulary; {why}")
    return model


def _seeded(network: Network, source: Source) -> Model:
    embedding = seeded_embedding(len(source.vocabulary), PAPER_INPUT_UNITS)
    return Model(network, embedding, np.zeros(len(embedding), np.float32), source.vocabulary.words, PAPER_SEGMENT)


def _streams(words: Array, options: LmOptions, source: str) -> Array:
    """Cut a text, given as one value a word, into equal contiguous streams, one a lane, as the authors batch it; the
    tail is dropped.
    """
    lanes = options.batch
    want = options.tokens or DEFAULT_TOKENS
    have = len(words) // lanes - 1
    if have < 1:
        raise HostError(f"text {source!r}: {len(words)} words are too few for {lanes} sequences of at least 2")
    if options.tokens is not None and have < want:
        raise HostError(f"--tokens {want}: text {source!r} has {have} tokens a sequence; use --tokens {have} or fewer")
    length = min(want, have) + 1
    return np.ascontiguousarray(words[: lanes * (len(words) // lanes)].reshape(lanes, -1)[:, :length])


def prepare(options: RunOptions) -> Job:
    """Build the job; HostError, ModelError, TextError or ChipError, one line each, for what cannot be run."""
    options.check()
    if isinstance(options, DvsOptions):
        from host.workloads.dvs.prepare import prepare_dvs  # which takes parts of this file

        return prepare_dvs(options)
    assert isinstance(options, LmOptions)
    return _prepare_lm(options)


def placed(options: RunOptions, network: Network, provenance: Mapping[str, Any] | None = None) -> Placement:
    """Place a network, of a checkpoint with `provenance`, as the options say; HostError, one line, for what does not fit or
    cannot be run.
    """
    rates, _ = rates_of(network, provenance or {})
    placement = place(
        network, chip_of(options), mapping=options.mapping, form=options.format, pes=options.pes,
        lanes=options.batch, chips=options.chips, rates=rates,
    )  # fmt: skip
    _check_slow(options, placement)
    return placement


def _prepare_lm(options: LmOptions) -> Job:
    found, title = model_of(options)
    if found is not None and options.features is None:
        found = _runnable(options, found)
    network = found.network if found else seeded_egru()
    placement = placed(options, network, found.provenance if found else None)
    if options.features is not None:
        return _with_features(options, placement, title)
    source = source_of(options, found)
    model = found or _seeded(network, source)
    model = replace(model, state=options.state or model.state)
    assert model.embedding is not None
    assert model.decoder_bias is not None
    chip = placement.chip
    dram = Dram(chip.dram_bytes, chip.dram_alignment_bytes)
    store = EmbeddingStore(dram, model.embedding)
    readout = Readout(np.ascontiguousarray(model.embedding.T), model.decoder_bias, model.projection)
    workload: Workload
    if options.prompt is not None:
        unk = int(source.vocabulary.encode([UNK])[0][0])
        choice = {"temperature": options.temperature, "top_k": options.top_k, "seed": options.seed, "forbidden": unk}

        def as_text(ids: list[int]) -> str:
            return detokenise(source.vocabulary.decode(np.array(ids, np.uint32)))

        workload = Generation(store, readout, source.numbers, max(options.generate, 1), choice, model.reset_every, as_text)
        unknown = source.unknown
    else:
        workload = Evaluation(store, readout, _streams(source.numbers, options, source.name), model.reset_every)
        # Unknown words are counted over what is run, not over the whole text.
        unknown = _streams(source.unknown, options, source.name)
    facts = {
        "source": source.name,
        "text_licence": source.licence,
        "vocabulary": len(source.vocabulary),
        "vocabulary_sha256": source.vocabulary.sha256,
        "unknown_words": int(unknown.sum()),
        "words_run": int(unknown.size),
        "segment": model.reset_every,
        "state": model.state,
        "seeded": found is None,
    }
    note = SEEDED_NOTE if found is None else ""
    return Job(options, placement, workload, dram, f"{title} on {source.name}", note, facts)


def _check_slow(options: RunOptions, placement: Placement) -> None:
    """Raise HostError for a slow PE, router or link that is not in use."""
    machine = placement.machine
    known = {pe.name for pe in placement.pes} | {router_name(chip) for chip in machine.live} | set(map(str, machine.links))
    for name in options.faults.slow:
        if name not in known:
            links = f", {machine.links[0]} to {machine.links[-1]}" if machine.links else ""
            have = (
                f"{placement.pes[0].name} to {placement.pes[-1].name}, router@{machine.live[0]} to router@{machine.live[-1]}{links}"
            )
            raise HostError(f"--fault slow: {name} is not in use; have {have}")


def _with_features(options: LmOptions, placement: Placement, title: str) -> Job:
    """Build a job that feeds feature vectors: all that it needs of a checkpoint are its layers."""
    assert options.features is not None
    path, chip = Path(options.features), placement.chip
    features = load_features(path, placement.network.populations[0].units, options.batch, options.tokens)
    sequences, frames, units = features.shape
    dram = Dram(chip.dram_bytes, chip.dram_alignment_bytes)
    workload = Features(EmbeddingStore(dram, features.reshape(-1, units)), sequences, frames)
    facts = {"source": path.name, "unknown_words": 0, "words_run": 0, "segment": 0, "seeded": False}
    return Job(options, placement, workload, dram, f"{title} on {path.name}", "", facts)
