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
from host.workloads.site import model_path, new_dram, only_ends, open_model, paths_of, place_for_run
from models import kernels
from models.checkpoint import Model
from models.event_numbers import numbers_of
from models.network import Array, Network
from models.seeded import PAPER_INPUT_UNITS, seeded_egru, seeded_embedding
from models.text.tokeniser import UNK, detokenise

MOST_UNKNOWN = 0.5  # share of words that the model lacks, above which a text is refused
WARNED_SHARE = 0.1  # above which it is warned of
PAPER_SEGMENT = 70  # positions; section IV-C1 and the authors' evaluation
_SEEDED_NOTE = "seeded network: it has learnt nothing, its perplexity only shows that the path works"


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError, TextError or ChipError, one line each, for what cannot be run."""
    trained, title = open_language_model(options)
    if trained is not None:
        _require_words(options, trained, title)
    network = trained.network if trained else seeded_egru(inside=options.gate == "inside")
    into, out = only_ends(network, str(options.checkpoint), scaled=True)
    placement = place_for_run(options, network, trained.provenance if trained else None)
    text = read_text(options, trained)
    model = trained or _seeded(network, text)
    model = replace(model, state=options.state or model.state)
    assert model.embedding is not None
    assert model.decoder_bias is not None
    dram = new_dram(placement.chip)
    heard = network.populations[into]
    embedding = RowsInDram.of(dram, "embedding", numbers_of(heard, model.embedding), heard.payload)
    columns = np.ascontiguousarray(model.embedding.T)
    decoder = Decoder(columns, model.decoder_bias, model.projection, network.populations[out])
    source: Source
    readout: Readout
    if options.prompt is not None:
        source = readout = _generation(options, model, text, embedding, decoder, into)
        unknown = text.unknown
    else:
        streams, unknown = (_streams(words, options, text.name) for words in (text.numbers, text.unknown))  # of what is run
        source = TextSource(embedding, streams, model.reset_every, into)
        readout = TextScore(decoder, streams, unknown_share=float(unknown.mean()))
    return Job(
        options=options,
        placement=placement,
        source=source,
        readout=readout,
        dram=dram,
        title=f"{title} on {'a prompt' if options.prompt is not None else text.name}",
        note="; ".join(filter(None, (_SEEDED_NOTE if trained is None else "", _foreign_words(options, text, unknown)))),
        inputs=paths_of(
            checkpoint=model_path(options.checkpoint, shipped_for(options)),
            text=options.text,
            wikitext=options.wikitext,
            ids=options.ids,
        ),
        host_table=(len(model.embedding), network.populations[into].units),
        facts={
            "source": text.name,
            "text_licence": text.licence,
            "vocabulary": len(model.embedding),
            "vocabulary_sha256": text.vocabulary.sha256 if text.vocabulary else None,
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
    vocabulary = text.vocabulary
    assert vocabulary is not None  # a prompt has words
    unk = int(vocabulary.encode([UNK])[0][0])

    def as_text(numbers: list[int]) -> str:
        return detokenise(vocabulary.decode(np.array(numbers, np.uint32)))

    return Generation(
        embedding, decoder, prompt=text.numbers, words=options.words, segment=model.reset_every, into=into, detokenise=as_text,
        choice=Choice(temperature=options.temperature, top_k=options.top_k, seed=options.seed, forbidden=unk),
    )  # fmt: skip


def _require_words(options: Options, model: Model, title: str) -> None:
    """Raise HostError where the checkpoint lacks a part that a run on text needs."""
    who = f"checkpoint {options.checkpoint or title}"
    if model.embedding is None:
        what, command = ("a gesture network", "dvs") if model.gesture is not None else ("a bare stack of layers", "run")
        raise HostError(f"{who}: has no embedding; {what} is run on arrays, not on text: `launch.py {command} MODEL`")
    if not model.vocabulary and options.ids is None:
        why = "it must be imported together with the text it was trained on, or take word numbers: --ids FILE"
        raise HostError(f"{who}: has no vocabulary; {why}")


def _foreign_words(options: Options, text: TokenisedText, unknown: Array) -> str:
    """Return a warning where many words of somebody's text are not the model's, else "".

    HostError where most are not, unless it is forced.
    """
    count, share = int(unknown.sum()), float(unknown.mean())
    if not text.foreign or share <= WARNED_SHARE:
        return ""
    what = f"{count:,} of {unknown.size:,} words ({100 * share:.0f} %) are not the model's and became {UNK}"
    if share > MOST_UNKNOWN and options.prompt is None and not options.force:
        why = f"a perplexity would say nothing; at most {100 * MOST_UNKNOWN:.0f} % may be"
        raise HostError(f"text {text.name!r}: {what}: {why}; take a text in its words, or --force")
    return f"{what}: what comes of it says little of the model"


def _seeded(network: Network, text: TokenisedText) -> Model:
    assert text.vocabulary is not None  # word numbers need a checkpoint
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
