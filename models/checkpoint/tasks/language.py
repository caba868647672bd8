"""A language model in a checkpoint: words, their embedding, which is the decoder too, and texts as word numbers.

- `embedding` (words, input units) float32 or float16, or int8 with `embedding_scale` (1,) float32; `decoder_bias` (words,) float32
- `projection.weight` (input units, last layer's units), `projection.bias` (input units,) float32: between layer and decoder
- `vocabulary` uint8: the words in UTF-8, one a line
- `tokens.{valid,test}` uint16 (uint32 beyond 65,536 words): texts as word numbers
"""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import repr as short
from typing import Any

import numpy as np

from models.checkpoint.graph import MAX_UNITS, Graph, ends_of, narrow
from models.checkpoint.model import DecoderProjection, Model
from models.checkpoint.tasks import Facts
from models.checkpoint.tensorfile import Tensors
from models.network import U32, Array, ModelError
from models.text.tokeniser import TextError
from models.text.vocabulary import Vocabulary

WORD = "an embedding"
SPLITS = ("valid", "test")  # texts whose word numbers a file may hold
ACTIVATIONS = ("linear", "relu")  # of a projection
ABSENT = {"words": 0, "vocabulary_sha256": None, "decoder": None, "projection": None}
"""What the metadata of files up to version 4 say where there is no language model."""


def facts_of(who: str, model: Model) -> dict[str, Any] | None:
    """Return how many words there are and what else is there; None where nothing of a language model is."""
    parts = (model.embedding, model.decoder_bias, model.projection)
    if all(part is None for part in parts) and not model.vocabulary and not model.tokens:
        return None
    words = 0 if model.embedding is None else len(model.embedding)
    return {
        "words": words,
        "vocabulary_sha256": _vocabulary(who, model.vocabulary).sha256 if model.vocabulary else None,
        "decoder": "tied" if words else None,
        "projection": model.projection.activation if model.projection else None,
    }


def tensors_of(who: str, model: Model) -> dict[str, Array]:
    """Return the tensors of a language model."""
    tensors: dict[str, Array] = {}
    words = 0 if model.embedding is None else len(model.embedding)
    if model.embedding is not None:
        tensors |= _stored_embedding(who, model)
    if model.decoder_bias is not None:
        tensors["decoder_bias"] = model.decoder_bias
    if model.projection is not None:
        tensors |= {"projection.weight": model.projection.weight, "projection.bias": model.projection.bias}
    tensors |= {f"tokens.{split}": narrow(numbers, words) for split, numbers in model.tokens.items()}
    if model.vocabulary:
        tensors["vocabulary"] = np.frombuffer("\n".join(model.vocabulary).encode("utf-8", "surrogatepass"), np.uint8)
    return tensors


def _stored_embedding(who: str, model: Model) -> dict[str, Array]:
    assert model.embedding is not None
    if model.embedding_scale is None:
        return {"embedding": model.embedding}
    scale = np.array([model.embedding_scale], np.float32)
    numbers = np.rint(model.embedding / scale)
    if not np.array_equal(numbers * scale, model.embedding) or np.abs(numbers).max(initial=0) > 127:
        raise ModelError(f"{who}: the embedding is no multiple of {scale[0]:g}, at most 127 times; leave embedding_scale out")
    return {"embedding": numbers.astype(np.int8), "embedding_scale": scale}


def parse(who: str, facts: Any) -> Facts:
    """Check the types of what the metadata say."""
    if not isinstance(facts, dict) or facts.keys() != ABSENT.keys():
        raise ModelError(f"{who}: language needs the keys {', '.join(ABSENT)}, has {short(facts)}")
    words = facts["words"]
    for key, choice in (("projection", (None, *ACTIVATIONS)), ("decoder", ("tied" if words else None,))):
        if facts[key] not in choice:
            raise ModelError(f"{who}: {key} {short(facts[key])} is not known here, needs {' or '.join(map(repr, choice))}")
    if type(words) is not int or not 0 <= words < MAX_UNITS:
        raise ModelError(f"{who}: words {short(words)} cannot be, needs a number from 0 to {MAX_UNITS - 1}")
    if not isinstance(facts["vocabulary_sha256"], str | None):
        raise ModelError(f"{who}: vocabulary_sha256 needs str, has {short(facts['vocabulary_sha256'])}")
    return facts


def need(tensors: Tensors, facts: Facts, graph: Graph) -> None:
    """Raise ModelError unless the tensors are those that `facts` name, in shape and type."""
    if not facts["words"]:
        if facts["vocabulary_sha256"] is not None or facts["projection"] is not None:
            raise ModelError(f"{tensors.who}: a vocabulary or a projection needs an embedding, has none")
        return
    heard, said = ends_of(tensors.who, graph, WORD)
    if facts["projection"] is not None:
        tensors.need("projection.weight", (heard, said), "float32")
        tensors.need("projection.bias", (heard,), "float32")
    elif said != heard:
        raise ModelError(f"{tensors.who}: the tied decoder needs a last layer of {heard} units, has {said}")
    if tensors.has("embedding_scale"):
        tensors.need("embedding_scale", (1,), "float32")
        tensors.need("embedding", (facts["words"], heard), "int8")
    else:
        tensors.need("embedding", (facts["words"], heard), "float16", "float32")
    tensors.need("decoder_bias", (facts["words"],), "float32")
    if facts["vocabulary_sha256"] is not None:
        tensors.need("vocabulary", (None,), "uint8")
    for split in SPLITS:
        if tensors.has(f"tokens.{split}"):
            tensors.need(f"tokens.{split}", (None,), "uint16", "uint32")


def fields_of(tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """Return the fields of `Model` that a language model fills."""
    fields: dict[str, Any] = {}
    if not facts["words"]:
        return fields
    fields |= {name: tensors.finite(name) for name in ("embedding", "decoder_bias")}
    if tensors.has("embedding_scale"):
        (scale,) = tensors.finite("embedding_scale")
        if not scale > 0:
            raise ModelError(f"{tensors.who}: embedding_scale is {scale:g}; needs a number above 0")
        fields |= {"embedding": fields["embedding"] * scale, "embedding_scale": float(scale)}
    if facts["vocabulary_sha256"] is not None:
        fields["vocabulary"] = _words(tensors.who, tensors.read("vocabulary").tobytes(), facts)
    if facts["projection"] is not None:
        weight, offset = tensors.finite("projection.weight"), tensors.finite("projection.bias")
        fields["projection"] = DecoderProjection(weight, offset, facts["projection"])
    tokens = {split: _tokens(tensors, split, facts["words"]) for split in SPLITS if tensors.has(f"tokens.{split}")}
    return fields | {"tokens": tokens}


def _words(who: str, lines: bytes, facts: Facts) -> tuple[str, ...]:
    count = lines.count(b"\n") + 1
    if count != facts["words"]:  # compared before anything is cut: a word is dear in memory, a line end is not
        raise ModelError(f"{who}: vocabulary needs {facts['words']} words as the embedding has, has {count}")
    try:
        vocabulary = _vocabulary(who, lines.decode().split("\n"))
    except UnicodeDecodeError as error:
        raise ModelError(f"{who}: the vocabulary is not UTF-8") from error
    if vocabulary.sha256 != facts["vocabulary_sha256"]:
        have = f"has SHA-256 {vocabulary.sha256}, metadata say {short(facts['vocabulary_sha256'])}"
        raise ModelError(f"{who}: the vocabulary {have}")
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
