"""The smallest run of a language model: three small layers, thirty words, twelve tokens."""

from pathlib import Path
from typing import Any

import numpy as np

from models.checkpoint import Model, save
from models.seeded import seeded_egru, seeded_embedding
from models.text.tokeniser import EOS, UNK

_UNITS, _WORDS, _TOKENS, _SEGMENT = 12, 30, 12, 5


def smallest(folder: Path) -> dict[str, Any]:
    """Write a checkpoint and a text into `folder`; return the options that run them."""
    words = [f"word{number}" for number in range(_WORDS)]
    vocabulary = (UNK, EOS, *words)
    checkpoint, text = folder / "lm.safetensors", folder / "text.txt"
    network = seeded_egru(_UNITS, (16, 16, _UNITS), density=0.5, seed=1, threshold=0.3)
    embedding, bias = seeded_embedding(len(vocabulary), _UNITS), np.zeros(len(vocabulary), np.float32)
    save(checkpoint, Model(network=network, embedding=embedding, decoder_bias=bias, vocabulary=vocabulary, segment=_SEGMENT))
    text.write_text(" ".join(words), encoding="utf-8")
    return {"checkpoint": str(checkpoint), "text": str(text), "tokens": _TOKENS, "pes": 3}
