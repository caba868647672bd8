"""Checkpoints: a network with what makes it a language model or a gesture classifier in one safetensors file.

Tensors, beside those of the network (`graph.py`):

- `embedding` (words, input units) float32 or float16, `decoder_bias` (words,) float32: the decoder is the embedding again
- `projection.weight` (input units, last layer's units), `projection.bias` (input units,) float32: between layer and decoder
- `vocabulary` uint8: the words in UTF-8, one a line
- `tokens.{valid,test}` uint16 (uint32 beyond 65,536 words): texts as word numbers
- `head{n}`, `features` and `readout`: the parts of a gesture classifier (`gesture.py`)

All but the network may be missing; metadata (`metadata.py`) say what is there. Loading compares every name, shape and type
with them before it reads a tensor, then checks the contents, and says in one line what is wrong. Saving checks the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from safetensors.numpy import save as save_tensors

from models.checkpoint import gesture as gesture_parts
from models.checkpoint import graph as graph_parts
from models.checkpoint.metadata import Metadata, parse
from models.checkpoint.tensorfile import IMPORT_FIRST, Tensors, opened
from models.heads.gesture import Gesture
from models.network import F32, U32, Array, ModelError, Network, in_one_line
from models.text.tokeniser import TextError
from models.text.vocabulary import Vocabulary

SPLITS = ("valid", "test")  # texts whose word numbers a file may hold
_KEY = "gennaker"


@dataclass(frozen=True)
class DecoderProjection:
    """What lies between the last layer and the tied decoder: h = weight y + bias, then the activation.

    `weight` (embedding units, last layer's units) and `bias` (embedding units,) are float32; `activation` is "linear"
    (EvNN 0.2.0) or "relu" (EvNN 0.1.0: its files look the same).
    """

    weight: F32
    bias: F32
    activation: str


@dataclass(frozen=True)
class Model:
    """A network with what turns it into a language model or a gesture classifier, as far as that is at hand.

    `embedding` (words, input units) and `decoder_bias` (words,) are float32; without them it is a bare stack of layers.
    The decoder is the embedding again, behind `projection` if there is one. `vocabulary` may be empty although there is
    an embedding: imported weights whose text is not at hand. `tokens` holds the word numbers of "valid" and "test", so
    that a perplexity can be reproduced anywhere; `text_licence` is the licence of the text they come from.

    `state` says what becomes of the cell states where a segment of `segment` positions begins: "zeroed" or "carried".
    Outputs y are carried in either case.

    With `gesture` it is a classifier of gestures instead: the head's features are the network's input.
    """

    network: Network
    embedding: F32 | None = None
    decoder_bias: F32 | None = None
    vocabulary: tuple[str, ...] = ()
    segment: int = 70
    state: str = "zeroed"
    projection: DecoderProjection | None = None
    tokens: Mapping[str, U32] = field(default_factory=dict)
    text_licence: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    gesture: Gesture | None = None

    @property
    def reset_every(self) -> int:
        """Positions after which cell states are zeroed; 0: never."""
        return self.segment if self.state == "zeroed" else 0


def save(path: Path, model: Model) -> None:
    """Write `model` to `path`; ModelError for what `load` would refuse, OSError where the file cannot be written."""
    who = f"checkpoint {path}"
    tensors, about = _parts(who, model)
    text = about.to_text(who)
    _model(parse(who, text), Tensors.of(who, tensors))
    path.write_bytes(save_tensors({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, {_KEY: text}))


def load(path: Path) -> Model:
    """Read a checkpoint; ModelError, in one line, for a missing, damaged or inconsistent file."""
    who = f"checkpoint {path}"
    try:
        with opened(who, path) as (metadata, tensors):
            if _KEY not in metadata:
                raise ModelError(f"{who}: is a file of safetensors, but no checkpoint of Gennaker's; {IMPORT_FIRST}")
            return _model(parse(who, metadata[_KEY]), tensors)
    except ModelError:
        raise
    except Exception as error:
        # A hostile file reaches deep into two libraries, which answer with exceptions of a dozen kinds.
        raise ModelError(f"{who}: damaged or no safetensors file ({in_one_line(error)})") from error


def _parts(who: str, model: Model) -> tuple[dict[str, Array], Metadata]:
    """Return the tensors and the metadata of a model."""
    graph_parts.check(who, model.network)
    tensors = graph_parts.tensors_of(who, model.network)
    words = 0 if model.embedding is None else len(model.embedding)
    if model.embedding is not None:
        tensors["embedding"] = model.embedding
    if model.decoder_bias is not None:
        tensors["decoder_bias"] = model.decoder_bias
    if model.projection is not None:
        tensors |= {"projection.weight": model.projection.weight, "projection.bias": model.projection.bias}
    tensors |= {f"tokens.{split}": graph_parts.narrow(numbers, words) for split, numbers in model.tokens.items()}
    sha256 = None
    if model.vocabulary:
        sha256 = _vocabulary(who, model.vocabulary).sha256
        tensors["vocabulary"] = np.frombuffer("\n".join(model.vocabulary).encode("utf-8", "surrogatepass"), np.uint8)
    activation = model.projection.activation if model.projection else None
    gesture = None
    if model.gesture is not None:
        tensors |= gesture_parts.tensors_of(model.gesture)
        gesture = gesture_parts.facts_of(model.gesture)
    about = Metadata(
        graph=graph_parts.graph_of(model.network), segment=model.segment, state=model.state, words=words,
        vocabulary_sha256=sha256, projection=activation, gesture=gesture, text_licence=model.text_licence,
        provenance=dict(model.provenance),
    )  # fmt: skip
    return tensors, about


def _check_sizes(about: Metadata, tensors: Tensors) -> None:
    """Raise ModelError unless the tensors are those that the metadata name, in shape and type."""
    graph_parts.need(tensors, about.graph)
    if about.words:
        heard, said = about.ends(tensors.who)
        if about.projection is not None:
            tensors.need("projection.weight", (heard, said), "float32")
            tensors.need("projection.bias", (heard,), "float32")
        elif said != heard:
            raise ModelError(f"{tensors.who}: the tied decoder needs a last layer of {heard} units, has {said}")
        tensors.need("embedding", (about.words, heard), "float16", "float32")
        tensors.need("decoder_bias", (about.words,), "float32")
        if about.vocabulary_sha256 is not None:
            tensors.need("vocabulary", (None,), "uint8")
        for split in SPLITS:
            if tensors.has(f"tokens.{split}"):
                tensors.need(f"tokens.{split}", (None,), "uint16", "uint32")
    elif about.vocabulary_sha256 is not None or about.projection is not None:
        raise ModelError(f"{tensors.who}: a vocabulary or a projection needs an embedding, has none")
    if about.gesture is not None:
        if about.words:
            raise ModelError(f"{tensors.who}: has an embedding and a gesture head; needs one of them")
        gesture_parts.need(tensors, about.gesture, *about.ends(tensors.who))
    tensors.need_no_more()


def _model(about: Metadata, tensors: Tensors) -> Model:
    _check_sizes(about, tensors)
    who = tensors.who
    network = graph_parts.network_of(tensors, about.graph)
    embedding = bias = projection = None
    words: tuple[str, ...] = ()
    if about.words:
        embedding, bias = tensors.finite("embedding"), tensors.finite("decoder_bias")
        if about.vocabulary_sha256 is not None:
            words = _words(who, tensors.read("vocabulary").tobytes(), about)
    if about.projection is not None:
        weight, offset = tensors.finite("projection.weight"), tensors.finite("projection.bias")
        projection = DecoderProjection(weight, offset, about.projection)
    tokens = {split: _tokens(tensors, split, about.words) for split in SPLITS if tensors.has(f"tokens.{split}")}
    gesture = None if about.gesture is None else gesture_parts.gesture_of(tensors, about.gesture)
    return Model(
        network=network, embedding=embedding, decoder_bias=bias, vocabulary=words, segment=about.segment,
        state=about.state, projection=projection, tokens=tokens, text_licence=about.text_licence,
        provenance=about.provenance, gesture=gesture,
    )  # fmt: skip


def _words(who: str, lines: bytes, about: Metadata) -> tuple[str, ...]:
    count = lines.count(b"\n") + 1
    if count != about.words:  # compared before anything is cut: a word is dear in memory, a line end is not
        raise ModelError(f"{who}: vocabulary needs {about.words} words as the embedding has, has {count}")
    try:
        vocabulary = _vocabulary(who, lines.decode().split("\n"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{who}: the vocabulary is not UTF-8") from error
    if vocabulary.sha256 != about.vocabulary_sha256:
        raise ModelError(f"{who}: the vocabulary has SHA-256 {vocabulary.sha256}, metadata say {short(about.vocabulary_sha256)}")
    return vocabulary.words


def _vocabulary(who: str, words: Iterable[str]) -> Vocabulary:
    try:
        return Vocabulary(words)
    except TextError as error:
        raise ModelError(f"{who}: {str(error)[:160]}") from error


def _tokens(tensors: Tensors, split: str, words: int) -> U32:
    numbers = tensors.read(f"tokens.{split}").astype(np.uint32)
    if numbers.size == 0 or int(numbers.max()) >= words:
        have = f"a word {int(numbers.max())}" if numbers.size else "no words"
        raise ModelError(f"{tensors.who}: tokens.{split} needs word numbers below {words}, has {have}")
    return numbers
