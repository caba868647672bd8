"""Trained models that come with the project.

`lm.safetensors`: the paper's sizes (750; 1350, 1350, 750), 95 % of every weight matrix pruned, trained on the standard
library's documentation: a demonstration corpus, not WikiText-2 (docs/model.md). `tiny.safetensors`: the same text at a
size that a few PEs hold, for tests. `gesture.safetensors` and `gesture-plain.safetensors`: gestures before an event camera
(docs/gesture.md), with traces and without.

A command that takes a checkpoint takes their names, too: `lm`, `tiny`, `gesture`, `gesture-plain`.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER, _SUFFIX = Path(__file__).parent, ".safetensors"


def names() -> list[str]:
    """Return the names of the shipped models, ascending."""
    return sorted(path.stem for path in _FOLDER.glob(f"*{_SUFFIX}"))


def path_of(name: str) -> Path | None:
    """Return the file of a shipped model; None for any other name."""
    return _FOLDER / f"{name}{_SUFFIX}" if name in names() else None
