"""Where a run begins that does not begin with drawn numbers: a trained checkpoint of the same words, as wide or narrower."""

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
from models.training.language.widen import widen


@torch.no_grad()
def begin_with(model: LanguageModel, text: Text, path: Path) -> dict[str, int]:
    """Give a model the numbers of a checkpoint, or those that its int8 numbers stand for; layers that are wider begin with copies.

    Returns the inputs that each matrix had whose inputs are more now, by name.
    ModelError, one line, where its words, its embedding or its neurons are others, or a layer of it is wider.
    """
    trained = load(path)
    _check(trained, model, text, f"--start {path}")
    network = trained.network
    if any(network.populations[n].kernel == INT8 for n in network.layers):
        try:
            network = dequantise_egru(network)
        except ModelError as error:
            raise ModelError(f"--start {path}: {error}") from error
    heard, generator = torch.arange(model.settings.embedding), torch.Generator().manual_seed(model.settings.seed)
    before: dict[str, int] = {}
    for number, (layer, have) in enumerate(zip(model.layers, layers_of(network), strict=True)):
        assert isinstance(layer, Egru), "the settings have seen to that"
        before |= {f"layers.{number}.kernel": have.inputs, f"layers.{number}.recurrent": have.units}
        heard = widen(layer, have, heard, generator)
    for parameter, array in ((model.embedding, trained.embedding), (model.decoder_bias, trained.decoder_bias)):
        assert array is not None, "a model with words has both"
        parameter.copy_(torch.from_numpy(array.astype("float32")))
    return {name: inputs for name, inputs in before.items() if inputs < model.get_parameter(name).shape[1]}


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
    if len(sizes) != len(needs) or sizes[0] != needs[0] or any(have > need for have, need in zip(sizes, needs, strict=True)):
        raise ModelError(
            f"{who}: has sizes {sizes}, the run {needs}; needs --embedding and as many layers as the checkpoint's, none narrower"
        )
