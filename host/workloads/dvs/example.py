"""The smallest run on gestures: a seeded classifier of two small layers, two synthetic samples of eight frames."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from models.checkpoint import save
from models.dvs.samples import CLASSES
from models.seeded import seeded_gesture

_SLICE_US = 200_000  # eight frames


def smallest(folder: Path) -> dict[str, Any]:
    """Write a checkpoint into `folder`; return the options that run it."""
    model = seeded_gesture(classes=len(CLASSES))
    assert model.gesture is not None
    gesture = replace(model.gesture, classes=CLASSES, slice_us=_SLICE_US)
    checkpoint = folder / "gesture.safetensors"
    save(checkpoint, replace(model, gesture=gesture, segment=gesture.frames))
    return {"checkpoint": str(checkpoint), "samples": 2, "pes": 3}
