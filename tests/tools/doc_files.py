"""The files that commands of the documentation name and that would be a user's own: a small one for each name.

`docs/index.md` has a table of the same names, with what each stands for.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from host.cli import main
from host.launch.recorded_run import run_into
from host.workloads.registry import restore_options
from tests.tools.decoders import decoder_tensors
from tests.tools.nir_files import chain, lif, linear, port, write
from tests.tools.nir_goldens import FOLDER
from tests.tools.recordings import gestures_of, write_dvs128_gesture
from tests.tools.torch_bytes import torch_file

ROOT = Path(__file__).resolve().parents[2]
_WORDS = ("the", "list", "<unk>", ",", "returns", "<eos>", "function", "items")
_TEXT = {
    "train": "the list <unk> , returns\n\n the function items\n",
    "valid": "the list\n",
    "test": " the list returns the items\n" * 8,
}
_FEATURES = 8
_RUN = {"workload": "lm", "checkpoint": "tiny", "tokens": 30, "pes": 8, "chips": 4, "transport": "mem", "answers": "placed"}
COPIES = {
    "run/checkpoints/EGRU_best_model.cpt": "EGRU_best_model.cpt", "SRC": "EGRU_best_model.cpt", "MODEL": "reg.safetensors",
    "mine.safetensors": "reg.safetensors", "forecast.pth": "reg.pth", "forecast.safetensors": "reg.safetensors",
    "first": "RUN", "runs/forecast": "RUN",
}  # fmt: skip
"""Names that stand for the same as another one."""


def make_files(folder: Path) -> None:
    """Write a file or folder for each name into a folder."""
    for split, text in _TEXT.items():
        (folder / "wikitext-2").mkdir(exist_ok=True)
        (folder / "wikitext-2" / f"wiki.{split}.tokens").write_text(text, encoding="utf-8")
    (folder / "book.txt").write_text("The list is a sequence of items. The function returns the list.\n\n" * 400, encoding="utf-8")
    rng = np.random.default_rng(1)
    (folder / "EGRU_best_model.cpt").write_bytes(torch_file(_evnn_model(rng)))
    (folder / "reg.pth").write_bytes(torch_file(_linear_gru_linear(rng)))
    np.save(folder / "x.npy", rng.standard_normal((2, 12, _FEATURES)).astype(np.float32))
    weights = rng.normal(size=(6, 4)).astype(np.float32)
    layers = ("in", port("Input", 4)), ("fc", linear(weights)), ("n", lif(6, beta=0.995)), ("out", port("Output", 6))
    write(folder / "network.nir", chain(*layers))
    np.savez(folder / "x.npz", x=(rng.random((20, 4)) < 0.5).astype(np.float32))
    shutil.copy(FOLDER / "snntorch_conv.nir", folder / "net.nir")
    with np.load(FOLDER / "snntorch_conv.npz") as arrays:
        np.save(folder / "events.npy", arrays["x"][:20].astype(np.float32))
    for split, subjects in (("train", ("user01", "user02")), ("test", ("user03",))):
        write_dvs128_gesture(folder / "DIR", split, gestures_of(len(split), subjects))
    shutil.copy(ROOT / "tests" / "golden_dnn" / "cnn-float.onnx", folder / "net.onnx")
    with np.load(ROOT / "tests" / "golden_dnn" / "cnn-float.npz") as arrays:
        np.save(folder / "samples.npy", np.repeat(arrays["x"], 8, axis=0))
    shutil.copy(folder / "DIR" / "user01_led.aedat", folder / "FILE.aedat")
    shutil.copy(ROOT / "models" / "shipped" / "tiny.safetensors", folder / "model.safetensors")
    for name in ("snn.nir", "snn.safetensors"):
        shutil.copy(ROOT / "models" / "shipped" / name, folder / name.replace("snn", "gestures"))
    spikes = (rng.random((2, 6, 2, 32, 32)) < 0.02).astype(np.float32)
    np.savez(folder / "spikes.npz", inputs=spikes, labels=np.array([3, 7]))
    shutil.copy(ROOT / "models" / "shipped" / "retrieval" / "1d.safetensors", folder / "slista.safetensors")
    np.save(folder / "snapshots.npy", (rng.normal(size=(4, 32)) + 1j * rng.normal(size=(4, 32))).astype(np.complex64))
    (folder / "decoder.pth").write_bytes(torch_file(decoder_tensors()))
    for command in (("import", "reg.pth", "reg.safetensors"), ("import", "decoder.pth", "decoder.safetensors"),
                    ("import", "network.nir", "network.safetensors"), ("quantise", "net.nir", "net8.safetensors")):  # fmt: skip
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([command[0], *(str(folder / name) for name in command[1:])]) == 0
    record_run(folder / "RUN", _RUN)
    for name, source in COPIES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(folder / source)


def record_run(folder: Path, record: Mapping[str, Any]) -> None:
    """Make a run folder from a record of options."""
    folder.mkdir()
    outcome = run_into(folder, restore_options(dict(record)))
    assert outcome.problem is None, outcome.problem


def _evnn_model(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state_dict of a language model as EvNN 0.2.0 writes it."""
    embedding = rng.normal(size=(len(_WORDS), 6)).astype(np.float32)
    entries: dict[str, Any] = {"embeddings.weight": embedding}
    for number, (inputs, units) in enumerate(((6, 9), (9, 6))):
        shapes = {"kernel": (inputs, 3 * units), "recurrent_kernel": (units, 3 * units), "bias": (3 * units,)}
        shapes |= {"recurrent_bias": (3 * units,)}
        entries |= {f"rnns.{number}.{name}": rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        entries[f"rnns.{number}.thr"] = rng.uniform(0, 0.4, units).astype(np.float32)
    return entries | {"decoder.decoder.weight": embedding, "decoder.decoder.bias": np.zeros(len(_WORDS), np.float32)}


def _linear_gru_linear(rng: np.random.Generator) -> dict[str, Any]:
    """Return the state_dict of a Linear, a torch.nn.GRU and a Linear."""
    units, width = 6, 5
    shapes = {
        "front.weight": (width, _FEATURES), "front.bias": (width,), "gru.weight_ih_l0": (3 * units, width),
        "gru.weight_hh_l0": (3 * units, units), "gru.bias_ih_l0": (3 * units,), "gru.bias_hh_l0": (3 * units,),
        "head.weight": (2, units), "head.bias": (2,),
    }  # fmt: skip
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
