"""From what was trained to a checkpoint of ours (`models/checkpoint/file.py`), with where it came from."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from models.checkpoint import Model
from models.network import F32, Network, Population, Projection, SparseRows
from models.training.common.egru import Egru
from models.training.language.evaluate import SEGMENT
from models.training.language.network import LanguageModel
from models.training.language.text_streams import Text


def array(tensor: torch.Tensor) -> F32:
    """Return a tensor as a float32 array of its own."""
    return np.ascontiguousarray(tensor.detach().cpu().numpy(), np.float32)


@torch.no_grad()
def round_embedding(model: LanguageModel) -> None:
    """Round the embedding to float16, as the file stores it, so that what is scored is what is shipped."""
    model.embedding.copy_(model.embedding.half().float())


def layer_of(number: int, layer: Egru, trace: float = 0.0) -> Population:
    """Return a trained layer as population `number`, which hears the one before it, its events or (decay above 0) their trace."""
    projections = (
        Projection(number - 1, "input", SparseRows.from_dense(array(layer.kernel)), trace),
        Projection(number, "recurrent", SparseRows.from_dense(array(layer.recurrent))),
    )
    vectors = {
        "threshold": np.clip(array(layer.threshold), np.float32(0), np.float32(1)),
        "bias": array(layer.bias),
        "recurrent_bias": array(layer.recurrent_bias),
    }
    return Population(f"egru{number}", layer.units, "egru", projections, vectors, {"zoneout": layer.zoneout})


def model_of(trained: LanguageModel, text: Text, licence: str, figures: Mapping[str, Any]) -> Model:
    """Return the checkpoint's model; `figures` (perplexities and the like) go into its provenance."""
    settings = trained.settings
    populations = [Population("input", settings.embedding)]
    for number, layer in enumerate(trained.layers, start=1):
        assert isinstance(layer, Egru)
        populations.append(layer_of(number, layer))
    provenance = {
        "text": text.source,
        "trained": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "torch": str(torch.__version__),
        "settings": asdict(settings),
        **figures,
    }
    return Model(
        Network(tuple(populations)),
        array(trained.embedding).astype(np.float16),
        array(trained.decoder_bias),
        text.vocabulary.words,
        segment=SEGMENT,
        state=settings.state,
        tokens={split: text.splits[split] for split in ("valid", "test")},
        text_licence=licence,
        provenance=provenance,
    )
