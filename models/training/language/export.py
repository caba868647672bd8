"""The trained language model as a checkpoint of ours (`models/checkpoint/file.py`), with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from models.checkpoint import Model
from models.network import Network, Population
from models.training.common.egru_layer import Egru
from models.training.common.export import array, layer_of, provenance_of
from models.training.language.evaluate import SEGMENT
from models.training.language.network import LanguageModel
from models.training.language.text_streams import Text


@torch.no_grad()
def round_embedding(model: LanguageModel) -> None:
    """Round the embedding to float16, as the file stores it, so that what is scored is what is shipped."""
    model.embedding.copy_(model.embedding.half().float())


def model_of(trained: LanguageModel, text: Text, licence: str, figures: Mapping[str, Any]) -> Model:
    """Return the checkpoint's model; `figures` (perplexities and the like) go into its provenance."""
    settings = trained.settings
    populations = [Population("input", settings.embedding)]
    for number, layer in enumerate(trained.layers, start=1):
        assert isinstance(layer, Egru)
        populations.append(layer_of(number, layer))
    tokens = {split: text.splits[split] for split in ("valid", "test")}
    return Model(
        network=Network(tuple(populations)), embedding=array(trained.embedding).astype(np.float16),
        decoder_bias=array(trained.decoder_bias), vocabulary=text.vocabulary.words, segment=SEGMENT, state=settings.state,
        tokens=tokens, text_licence=licence, provenance={**provenance_of({"text": text.source}, settings), **figures},
    )  # fmt: skip
