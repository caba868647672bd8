"""Trained models that come with the project, by names that every command takes in the place of a file (docs/model.md,
docs/gesture.md, docs/snn.md, docs/dnn.md).
"""

from __future__ import annotations

from pathlib import Path

_FOLDER, _SUFFIX = Path(__file__).parent, ".safetensors"
ABOUT = {
    "lm": "language model of the paper's sizes, 95 % pruned, trained on the documentation of Python's standard library",
    "tiny": "language model that a few PEs hold, trained on the same text, for tests",
    "tiny-inside": "the same with its reset gates inside the recurrent product, as the paper's equation 4 prints it",
    "gesture": "gestures before an event camera; layers hear traces",
    "lm-vectors": "the language model with int8 weights, 95 % of its vectors of 16 x 1 pruned, for the MAC array",
    "lm-wide": "the language model with twice the units, in int8 and vectors as `lm-vectors`; a chip holds it in int8 alone",
    "lm-int8": "the language model `lm` with int8 weights and events (`quantise lm`)",
    "gesture-int8": "gestures, `gesture-plain` with int8 weights and events, for the MAC array",
    "cartpole": "spiking Q-network that keeps a pole up (8-64-64-2, int8)",
    "cartpole-float": "the same before its weights were rounded",
    "acrobot": "spiking Q-network that swings two links up (12-64-64-3, int8)",
    "acrobot-float": "the same before its weights were rounded",
    "digits-cnn": "handwritten digits, a CNN in int8 with its test images (a DNN)",
    "digits-vit": "the same digits, a vision transformer in int8 with its test images (a DNN)",
    "lm-transformer": "a transformer language model in int8 that reads 128 words at once, on the words of `lm` (a DNN)",
    "lm-transformer-decode": "the same a word at a time, where keys and values of the 127 words before it are inputs (a DNN)",
    "snn": "gestures before an event camera by a spiking network of 25,504 int8 weights; beside it the same as NIR",
    "gesture-plain": "gestures in the paper's variant; layers hear events",
}
"""Name -> what the model is."""


def names() -> list[str]:
    """Return the names of the shipped models, ascending."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def path_of(name: str) -> Path | None:
    """Return the file of a shipped model; None for any other name."""
    return _FOLDER / f"{name}{_SUFFIX}" if name in names() else None
