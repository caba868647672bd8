"""From the options of `lm` to a job: which model on which text. User errors are refused here."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from host.errors import HostError
from host.workloads.contract import Job, Readout, Source
from host.workloads.lm import GATES, shipped_for
from host.workloads.lm.decoder import Decoder
from host.workloads.lm.generation import Choice, Generation
from host.workloads.lm.options import DEFAULT_TOKENS, Options
from host.workloads.lm.scoring import TextScore, TextSource
from host.workloads.lm.text import TokenisedText, read_text
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.site import new_dram, only_ends, open_model, paths_of, place_for_run, shipped_path
from models import kernels
from models.checkpoint import Model
from models.network import Array, Network
from models.seeded import PAPER_INPUT_UNITS, seeded_egru, seeded_embedding
from models.text.tokeniser import UNK, detokenise

PAPER_SEGMENT = 70  # positions; section IV-C1 and the authors' evaluation
_SEEDED_NOTE = "seeded network: it has learnt nothing, its perplexity only shows that the path works"


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError, TextError or ChipError, one line each, for what cannot be run."""
    trained, title = open_language_model(options)
    if trained is not None:
        _require_words(options, trained)
    network = trained.network if trained else seeded_egru(inside=options.gate == "inside")
    into, _ = only_ends(network, str(options.checkpoint))
    placement = place_for_run(options, network, trained.provenance if trained else None)
    text = read_text(options, trained)
    model = trained or _seeded(network, text)
    model = replace(model, state=options.state or model.state)
    assert model.embedding is not None
    assert model.decoder_bias is not None
    dram = new_dram(placement.chip)
    embedding = RowsInDram.of(dram, "embedding", model.embedding)
    decoder = Decoder(np.ascontiguousarray(model.embedding.T), model.decoder_bias, model.projection)
    source: Source
    readout: Readout
    if options.prompt is not None:
        source = readout = _generation(options, model, text, embedding, decoder, into)
        unknown = text.unknown
    else:
        streams = _streams(text.numbers, options, text.name)
        source, readout = TextSource(embedding, streams, model.reset_every, into), TextScore(decoder, streams)
        unknown = _streams(text.unknown, options, text.name)  # counted over what is run, not over the whole text
    checkpoint = None if trained is None else options.checkpoint or shipped_path(shipped_for(options))
    return Job(
        options=options,
        placement=placement,
        source=source,
        readout=readout,
        dram=dram,
        title=f"{title} on {text.name}",
        note=_SEEDED_NOTE if trained is None else "",
        inputs=paths_of(checkpoint=checkpoint, text=options.text, wikitext=options.wikitext),
        host_table=(len(text.vocabulary), network.populations[into].units),
        facts={
            "source": text.name,
            "text_licence": text.licence,
            "vocabulary": len(text.vocabulary),
            "vocabulary_sha256": text.vocabulary.sha256,
            "unknown_words": int(unknown.sum()),
            "words_run": int(unknown.size),
            "segment": model.reset_every,
            "state": model.state,
            "seeded": trained is None,
        },
    )


def open_language_model(options: Options) -> tuple[Model | None, str]:
    """Return the model that the options name, and a title; none where it is seeded. HostError for a file with its reset gate
    elsewhere than `--gate` says.
    """
    gate = options.gate or "after"
    trained, title = open_model(options.checkpoint, GATES[gate])
    if options.checkpoint is None and gate != "after":
        title = f"the trained model with its reset gate {gate} the product"
    if trained is not None and options.gate is not None:
        have = {gate_of(trained.network.populations[n].kernel) for n in trained.network.layers} - {""}
        if have != {gate}:
            what = f"its reset gate is {' and '.join(sorted(have))} the product" if have else "its layers are no EGRUs"
            raise HostError(f"--gate {gate}: {title}: {what}; one form's numbers mean nothing in the other")
    return trained, title


def gate_of(kernel: str) -> str:
    """Return where neuron model `kernel` has its reset gate, "after" or "inside" the product; "" for one that does not say."""
    said: Mapping[str, str] = getattr(kernels.named(kernel), "CONVENTIONS", {})
    return said.get("reset_gate", "").partition(" ")[0]


def _generation(
    options: Options, model: Model, text: TokenisedText, embedding: RowsInDram, decoder: Decoder, into: int
) -> Generation:
    unk = int(text.vocabulary.encode([UNK])[0][0])

    def as_text(numbers: list[int]) -> str:
        return detokenise(text.vocabulary.decode(np.array(numbers, np.uint32)))

    return Generation(
        embedding, decoder, prompt=text.numbers, words=options.words, segment=model.reset_every, into=into, detokenise=as_text,
        choice=Choice(temperature=options.temperature, top_k=options.top_k, seed=options.seed, forbidden=unk),
    )  # fmt: skip


def _require_words(options: Options, model: Model) -> None:
    """Raise HostError where the checkpoint lacks a part that a run on text needs."""
    if model.embedding is None:
        why = "a bare stack of layers can be mapped (`fit`), not run on text"
        raise HostError(f"checkpoint {options.checkpoint}: has no embedding; {why}")
    if not model.vocabulary:
        why = "it must be imported together with the text it was trained on"
        raise HostError(f"checkpoint {options.checkpoint}: has no vocabulary; {why}")


def _seeded(network: Network, text: TokenisedText) -> Model:
    embedding = seeded_embedding(len(text.vocabulary), PAPER_INPUT_UNITS)
    bias = np.zeros(len(embedding), np.float32)
    return Model(network, embedding, bias, text.vocabulary.words, segment=PAPER_SEGMENT)


def _streams(words: Array, options: Options, text: str) -> Array:
    """Cut a text, given as one value a word, into equal contiguous streams, one a lane, as the authors batch it.

    The tail is dropped.
    """
    lanes = options.batch
    want = options.tokens or DEFAULT_TOKENS
    have = len(words) // lanes - 1
    if have < 1:
        raise HostError(f"text {text!r}: {len(words)} words are too few for {lanes} sequences of at least 2")
    if options.tokens is not None and have < want:
        raise HostError(f"--tokens {want}: text {text!r} has {have} tokens a sequence; use --tokens {have} or fewer")
    length = min(want, have) + 1
    return np.ascontiguousarray(words[: lanes * (len(words) // lanes)].reshape(lanes, -1)[:, :length])
