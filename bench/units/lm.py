"""A token of the paper's language model on 150 PEs, beside the same layers in torch, dense as it computes them."""

from __future__ import annotations

from pathlib import Path

import torch

from bench.units import Unit, seconds_of
from host.workloads.lm.options import Options
from host.workloads.site import load_model
from models import shipped
from models.training.language.network import LanguageModel
from models.training.language.settings import LanguageSettings

_TOKENS, _PEER_TOKENS = 200, 50


def unit(_: Path) -> Unit:
    """Return what is measured."""
    path = shipped.path_of("lm")
    assert path is not None
    model = load_model(path)
    settings = LanguageSettings.of(model.provenance["settings"])
    network = LanguageModel(len(model.vocabulary), settings).eval()
    words = torch.randint(len(model.vocabulary), (_PEER_TOKENS, 1))

    @torch.no_grad()
    def read() -> object:
        return network(words, network.begin(1))

    return Unit(
        name="a token of the paper's language model", options=Options(tokens=_TOKENS, pes=150),
        count=lambda report: int(report["result"]["tokens"]), peer="torch", peer_s=lambda: seconds_of(read, _PEER_TOKENS),
    )  # fmt: skip
