"""The end of a run: the best transformer in float32 and int8, scored on words it never saw.

Two checkpoints in int8: one reads a whole context, one reads a word where keys and values of the words before it are there. Each
carries texts of the test split and the words that follow.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from models.dnn.compute import compute_network
from models.dnn.file import save_dnn
from models.dnn.integer import IntegerNetwork
from models.dnn.model import DnnModel
from models.dnn.reference import dequantised, quantised_inputs
from models.dnn.sample_set import SampleSet
from models.foreign.dnn_module import dnn_of_module
from models.foreign.request import ImportRequest
from models.network import U32, Array
from models.quantise.dnn import integer_network
from models.quantise.dnn_lower import DnnSettings
from models.text.perplexity import perplexity_of
from models.training.common.export import provenance_of
from models.training.common.run_folder import read_best
from models.training.transformer.network import DecodeStep, Transformer, cache_of
from models.training.transformer.trainer import TransformerTrainer, score, windows_of

PREFILL, DECODE = "prefill.safetensors", "decode.safetensors"
_CALIBRATED = 16  # segments of training by which scales are chosen
_MEASURED = 64  # segments of the test that int8 is scored on, each beside float32
_DECODED = 4  # segments that `decode.safetensors` carries: keys and values of their words but the last, 0.26 MB each by default


def finish(trainer: TransformerTrainer, licence: str, say: Callable[[str], object]) -> dict[str, Any]:
    """Write both checkpoints of the run's best model and `figures.json`; return the figures: perplexities of valid and test in
    float32, and of the test's first segments in float32 and in int8 with each kind of scale. ModelError where no epoch gave one.
    """
    model, folder, text = trainer.model.cpu().eval(), trainer.folder, trainer.text
    model.load_state_dict(read_best(folder, "perplexity"))
    figures: dict[str, Any] = {split: {"float": score(model, text.splits[split])} for split in ("valid", "test")}
    calibration = _segments(text.splits["train"], model.settings.context)
    prefill = _quantised(model, (calibration[:1],), {"ids": calibration.numpy()})
    test = text.splits["test"][: 1 + (_MEASURED + 1) * (model.settings.context // 2)]
    figures["test"] |= {
        "words": len(test),
        "float, of these": score(model, test),
        "int8, of these": int8_score(model, prefill, test),
    }
    if prefill.prepared is not None:
        floats, _ = integer_network(
            prefill.prepared, {prefill.prepared.graph.inputs[0].name: calibration.numpy()}, DnnSettings(scales="float"),
            most=_CALIBRATED,
        )  # fmt: skip
        figures["test"]["int8 by float scales, of these"] = int8_score(model, replace(prefill, network=floats), test)
    figures |= {"best_epoch": trainer.progress.best_epoch, "seconds": round(trainer.progress.seconds)}
    figures["parameters"] = sum(one.numel() for one in model.parameters())
    provenance = provenance_of({"text": text.source, "licence": licence}, trainer.settings) | {
        "record": figures, "words": list(text.vocabulary.words),
    }  # fmt: skip
    segments, targets = windows_of(test, model.settings.context)
    test_set = SampleSet(
        inputs={}, labels=np.where(targets < 0, -1, targets).astype(np.int64), classes=text.vocabulary.words,
        about=f"segments of {text.source}, of its test split ({licence})",
    )  # fmt: skip
    _save(folder / PREFILL, prefill, [segments.numpy()], test_set, provenance)
    caches = [one.numpy() for one in cache_of(model, calibration)]
    step = DecodeStep(model).eval()
    example = (calibration[:1, -1:], *(torch.from_numpy(one[:1]) for one in caches))
    names = ["ids", *(f"{what} {n}" for n in range(len(caches) // 2) for what in ("keys", "values"))]
    feeds = dict(zip(names, [calibration[:, -1:].numpy(), *caches], strict=True))
    decode = _quantised(step, example, feeds)
    whole = torch.nonzero(targets[:, -1] >= 0)[:_DECODED, 0]  # contexts that are full
    heard = [segments[whole, -1:].numpy(), *(one.numpy() for one in cache_of(model, segments[whole]))]
    _save(folder / DECODE, decode, heard, replace(test_set, labels=test_set.labels[whole, -1:]), provenance)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    for split in ("valid", "test"):
        say(f"{split:<6} perplexity " + ", ".join(f"{name} {value:,.2f}" for name, value in figures[split].items()))
    say(f"written {folder / PREFILL} and {folder / DECODE}; `launch.py price` says what a context and a word take")
    return figures


def _save(path: Path, model: DnnModel, heard: Sequence[Array], test_set: SampleSet, provenance: Mapping[str, Any]) -> None:
    """Write the integer network, and its test set, if there are samples, as int8 hears it; the float32 weights lie beside it
    (`best.safetensors`).
    """
    network = model.network
    assert network is not None
    samples = None
    if len(test_set):
        samples = replace(test_set, inputs=quantised_inputs(network, dict(zip(network.inputs, heard, strict=True))))
    save_dnn(path, DnnModel(network=network, test_set=samples, provenance=provenance))


def int8_score(model: Transformer, prefill: DnnModel, ids: U32) -> float:
    """Return the perplexity of a text by the integer network, read as `score` reads it."""
    assert prefill.network is not None
    network, nats = prefill.network, 0.0
    for segment, targets in zip(*windows_of(ids, model.settings.context), strict=True):
        logits = torch.from_numpy(_logits(network, segment.numpy()))
        nats += float(functional.cross_entropy(logits, targets, reduction="sum").double())
    perplexity = perplexity_of(nats, len(ids))
    return math.inf if math.isnan(perplexity) else perplexity


def _logits(network: IntegerNetwork, segment: Array) -> Array:
    run = compute_network(network, quantised_inputs(network, {network.inputs[0]: segment[None]}))
    logits: Array = dequantised(network, network.outputs[0], run.tensors[network.outputs[0]])[0]
    return logits


def _segments(ids: U32, context: int) -> torch.Tensor:
    """Return segments (n, context) from all over a text."""
    starts = np.linspace(0, len(ids) - context, _CALIBRATED).astype(int)
    return torch.from_numpy(np.stack([ids[start : start + context] for start in starts]).astype(np.int64))


def _quantised(module: torch.nn.Module, example: tuple[torch.Tensor, ...], feeds: dict[str, Array]) -> DnnModel:
    """Return a module as a float graph and an integer network; `feeds` in the order of its inputs, (samples, ...) each."""
    model = dnn_of_module(module, example, ImportRequest()).model
    assert model.prepared is not None
    named = {one.name: array for one, array in zip(model.prepared.graph.inputs, feeds.values(), strict=True)}
    network, _ = integer_network(model.prepared, named, DnnSettings(), most=_CALIBRATED)
    return replace(model, network=network)
