"""Small gesture checkpoints and sets of recordings, for the tests of `launch.py dvs`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from host.launch.launcher import Launcher
from host.launch.outcome import Outcome
from host.workloads.dvs.options import Options as DvsOptions
from host.workloads.dvs.prepare import paper_sized
from models.checkpoint import Model, save
from models.dvs.samples import CLASSES
from models.seeded import seeded_gesture

SLICE_US = 200_000
"""Eight frames: enough for a class, and quick."""


def small(record: dict[str, Any] | None = None, slice_us: int = SLICE_US) -> Model:
    """Return a classifier of two dense layers of 16 units, with the classes of DVS128 Gesture."""
    model = seeded_gesture(classes=len(CLASSES))
    gesture = replace(model.gesture, classes=CLASSES, slice_us=slice_us, record=record or {})
    return replace(model, gesture=gesture, segment=gesture.frames)


def save_small(path: Path, **how: Any) -> Path:
    """Write `small` to a file."""
    save(path, small(**how))
    return path


def save_paper_sized(path: Path, slice_us: int = 75_000) -> Path:
    """Write a classifier of the paper's sizes, over slices of three frames."""
    save(path, paper_sized(slice_us))
    return path


def run(checkpoint: Path, observe: Any = lambda _: None, **options: Any) -> Outcome:
    """Run `dvs` with these options, in one process unless they say otherwise."""
    chosen = DvsOptions(**{"checkpoint": str(checkpoint), "transport": "mem", "samples": 5} | options)
    chosen.check()
    return Launcher(chosen, lambda _: None, observe).run()


def answer(outcome: Outcome) -> tuple[Any, ...]:
    """Return what must not depend on how a run was mapped, batched or carried."""
    assert outcome.problem is None
    report, dvs = outcome.report, outcome.report["result"]
    predictions = [(one["name"], one["prediction"], one["scores"]) for one in dvs["predictions"]]
    return report["events"]["sha256"], report["events"]["sequences"], report["events"]["count"], predictions
