"""Where a run begins that does not begin with drawn numbers: a trained checkpoint of the same words and sizes."""

from __future__ import annotations

from pathlib import Path

import torch

from models.checkpoint import Model, load
from models.network import ModelError
from models.quantise.egru import FLOAT, INT8, dequantise_egru
from models.training.common.egru_layer import Egru
from models.training.language.conformance import layers_of
from models.training.language.network import LanguageModel
from models.training.language.text_streams import Text


@torch.no_grad()
def begin_with(model: LanguageModel, text: Text, path: Path) -> None:
    """Give a model the numbers of a checkpoint, or those that its int8 numbers stand for.

    ModelError, one line, where its words, its sizes or its neurons are others.
    """
    trained = load(path)
    _check(trained, model, text, f"--start {path}")
    network = trained.network
    if any(network.populations[n].kernel == INT8 for n in network.layers):
        try:
            network = dequantise_egru(network)
        except ModelError as error:
            raise ModelError(f"--start {path}: {error}") from error
    for layer, have in zip(model.layers, layers_of(network), strict=True):
        layer.load_state_dict(have.state_dict())
    for parameter, array in ((model.embedding, trained.embedding), (model.decoder_bias, trained.decoder_bias)):
        assert array is not None, "a model with words has both"
        parameter.copy_(torch.from_numpy(array.astype("float32")))


def _check(trained: Model, model: LanguageModel, text: Text, who: str) -> None:
    network = trained.network
    kinds = {network.populations[n].kernel for n in network.layers}
    if kinds not in ({FLOAT}, {INT8}) or trained.embedding is None or trained.decoder_bias is None:
        raise ModelError(f"{who}: has neurons of {', '.join(sorted(kinds))}; needs a language model of {FLOAT} or {INT8}")
    if tuple(trained.vocabulary) != tuple(text.vocabulary.words):
        have, own = f"{len(trained.vocabulary):,} words", f"{len(text.vocabulary):,}"
        raise ModelError(f"{who}: knows {have}, the text has {own} that are not the same; needs a checkpoint of this text")
    sizes = [network.populations[network.inputs[0]].units, *(network.populations[n].units for n in network.layers)]
    needs = [model.settings.embedding, *(layer.units for layer in model.layers if isinstance(layer, Egru))]
    if sizes != needs:
        raise ModelError(f"{who}: has sizes {sizes}, the run {needs}; set --embedding and --hidden to the checkpoint's")
