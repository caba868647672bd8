"""The end of a run: score the best model as it will be shipped; write its checkpoint, its log as a picture, its figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from models.checkpoint import Model, save
from models.network import SEGMENT_STATES, Network
from models.training.common.egru_layer import Egru
from models.training.common.export import array, populations_of, provenance_of
from models.training.common.log_plot import plot
from models.training.common.run_folder import read_best
from models.training.language.evaluate import SEGMENT, Score, score
from models.training.language.network import LanguageModel
from models.training.language.text_streams import Text
from models.training.language.trainer import LanguageTrainer

TEST_SEQUENCES = 1  # the authors' test batch
FIRST_TOKENS = 70  # one segment: what `launch.py paper` runs, as the paper most plausibly did


def finish(trainer: LanguageTrainer, licence: str, say: Callable[[str], object]) -> dict[str, Any]:
    """Score the run's best model on valid and test in both state modes, and write `figures.json`, `log.png` and, for an
    EGRU, `model.safetensors` into its folder.

    Returns the figures: perplexities and activities by split and state mode, and the sparsity of each matrix. ModelError
    where no epoch gave a model: its perplexity was never a number.
    """
    model, folder = trainer.model, trainer.folder
    model.load_state_dict(read_best(folder, "perplexity"))
    round_embedding(model)
    egru = trainer.settings.model == "egru"
    modes = SEGMENT_STATES if egru else ("carried",)
    figures: dict[str, Any] = {"sparsity": trainer.pruner.sparsity(), "seconds": round(trainer.progress.seconds)}
    for split in ("valid", "test"):
        for mode in modes:
            result = score(model, trainer.text.splits[split], TEST_SEQUENCES, mode)
            figures[f"{split}_{mode}"] = {"perplexity": _finite(result.perplexity), "activity": result.activity}
            say(_line(split, mode if egru else "", result))
    if egru:
        test = trainer.text.splits["test"]
        tokens = min(FIRST_TOKENS, len(test) - 1)
        figures["first_tokens"] = [
            {
                "split": "test",
                "tokens": tokens,
                "state": mode,
                "perplexity": _finite(score(model, test, 1, mode, tokens).perplexity),
            }
            for mode in modes
        ]  # fmt: skip
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    if egru:
        save(folder / "model.safetensors", model_of(model, trainer.text, licence, figures))
        say(f"checkpoint   {folder / 'model.safetensors'}")
    plot({trainer.settings.model.upper(): folder / "log.csv"}, folder / "log.png")
    return figures


def _finite(perplexity: float) -> float | None:
    """Return a perplexity as a record holds it: None beyond a double, for which JSON has no number."""
    return perplexity if math.isfinite(perplexity) else None


def _line(split: str, mode: str, result: Score) -> str:
    activity = " ".join(f"{share:.3f}" for share in result.activity)
    line = f"{split:6} {'c ' + mode if mode else '':9}  perplexity {result.perplexity:8.2f}"
    return f"{line}   activity {activity}" if activity else line


@torch.no_grad()
def round_embedding(model: LanguageModel) -> None:
    """Round the embedding to float16, as the file stores it, so that what is scored is what is shipped."""
    model.embedding.copy_(model.embedding.half().float())


def model_of(trained: LanguageModel, text: Text, licence: str, figures: Mapping[str, Any]) -> Model:
    """Return the checkpoint's model; `figures` (perplexities and the like) go into its provenance."""
    settings = trained.settings
    layers = [layer for layer in trained.layers if isinstance(layer, Egru)]
    populations = populations_of(layers, settings.embedding)
    tokens = {split: text.splits[split] for split in ("valid", "test")}
    return Model(
        network=Network(tuple(populations)), embedding=array(trained.embedding).astype(np.float16),
        decoder_bias=array(trained.decoder_bias), vocabulary=text.vocabulary.words, segment=SEGMENT, state=settings.state,
        tokens=tokens, text_licence=licence, provenance={**provenance_of({"text": text.source}, settings), **figures},
    )  # fmt: skip
