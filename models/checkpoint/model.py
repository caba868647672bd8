"""What a checkpoint holds: a network, and what lies around it on the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.heads.affine import Affine
from models.heads.gesture import Gesture
from models.network import F32, U32, Network


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
    """A network with what turns it into an answer: a language model, a gesture classifier, or arrays with linear layers around.

    `embedding` (words, input units) and `decoder_bias` (words,) are float32; without them it is a bare stack of layers.
    The decoder is the embedding again, behind `projection` if there is one. `vocabulary` may be empty although there is
    an embedding: imported weights whose text is not at hand. `tokens` holds the word numbers of "valid" and "test", so
    that a perplexity can be reproduced anywhere; `text_licence` is the licence of the text they come from.

    `state` says what becomes of the cell states where a segment of `segment` positions begins: "zeroed" or "carried".
    Outputs y are carried in either case.

    With `gesture` it is a classifier of gestures instead: the head's features are the network's input.

    For arrays, `front` leads from features to the network's input and `head` from its output to the answer, the first layer
    first; with `twins` the answer is y[:H] - y[H:] of the 2 H output units, before the head (`models/heads/affine.py`).

    With `embedding_scale` every number of the embedding is a multiple of it, at most 127 times, and is stored in a byte.

    `parts` is what tasks of a user's own hold, by their names (`models/checkpoint/tasks`).
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
    front: tuple[Affine, ...] = ()
    head: tuple[Affine, ...] = ()
    twins: bool = False
    parts: Mapping[str, Any] = field(default_factory=dict)
    embedding_scale: float | None = None

    @property
    def reset_every(self) -> int:
        """Positions after which cell states are zeroed; 0: never."""
        return self.segment if self.state == "zeroed" else 0
