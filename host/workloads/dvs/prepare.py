"""From the options of `dvs` to a job: which checkpoint on which recordings. Everything a user can get wrong is found here,
before a process starts.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from host.errors import HostError
from host.options import DEFAULT_SAMPLES, DvsOptions
from host.workloads.dvs.results import Setting, block
from host.workloads.dvs.workload import FeatureStore, Gestures
from host.workloads.job import SEEDED, Job, placed
from models import shipped
from models.checkpoint import Model, load
from models.dvs.folder import open_folder
from models.dvs.samples import CLASSES, SLICE_US, DvsError, GestureSet
from models.dvs.synthetic import open_synthetic
from models.heads.gesture import Gesture
from models.seeded import seeded_gesture
from noc.dram import Dram

SHIPPED = Path(shipped.__file__).with_name("gesture.safetensors")
PLAIN = "plain"  # as a checkpoint's name: the paper's variant, whose layers hand on y
SHIPPED_PLAIN = SHIPPED.with_name("gesture-plain.safetensors")
SYNTHETIC = "synthetic"  # as a folder's name
_SEEDED_NOTE = "seeded network: it has learnt nothing, its classes only show that the path works"


def gesture_model(name: str | None) -> tuple[Model, str, str]:
    """Return the checkpoint of that name with a title and a note; HostError where it is none of gestures."""
    if name == SEEDED:
        return paper_sized(), "seeded gesture network with the paper's sizes", _SEEDED_NOTE
    if name is None:
        return load(SHIPPED), "the trained gesture model (traces handed on)", ""
    if name == PLAIN:
        return load(SHIPPED_PLAIN), "the trained gesture model (y handed on)", ""
    path = Path(name)
    model = load(path)
    if model.gesture is None:
        raise HostError(f"checkpoint {name}: has no head and read-out for gestures; `dvs` needs one that was trained on them")
    return model, path.name, ""


def paper_sized(slice_us: int = SLICE_US) -> Model:
    """Return a seeded classifier of the paper's sizes (section III-D) over slices of that length."""
    model = seeded_gesture(32, 512, (256, 256), len(CLASSES))
    assert model.gesture is not None
    gesture = replace(model.gesture, classes=CLASSES, slice_us=slice_us)
    return replace(model, gesture=gesture, segment=gesture.frames)


def prepare_dvs(options: DvsOptions) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    model, title, note = gesture_model(options.checkpoint)
    gesture = model.gesture
    assert gesture is not None
    if gesture.classes != CLASSES:
        raise HostError(f"checkpoint {options.checkpoint}: knows {len(gesture.classes)} classes, needs {', '.join(CLASSES)}")
    placement = placed(options, model.network)
    recordings = _open(options, gesture)
    chip = placement.chip
    dram, most = Dram(chip.dram_bytes, chip.dram_alignment_bytes), options.samples or DEFAULT_SAMPLES
    most = min(most, most if recordings.count is None else recordings.count)
    store = FeatureStore(dram, gesture.features, gesture.frames, options.batch, max(most, 1))
    workload = Gestures(gesture, recordings.samples(), store, options.batch, most)

    def damages() -> list[str]:
        return [str(damage) for damage in recordings.damages] + ([workload.ended] if workload.ended else [])

    if not workload.positions:
        why = f": {damages()[0]}" if damages() else ""
        raise HostError(f"--events {options.events or SYNTHETIC}: no sample of the {recordings.split} split can be read{why}")
    setting = Setting(
        gesture.classes, recordings.name, recordings.source, recordings.split, options.samples, gesture.frames,
        gesture.bin_us, gesture.slice_us, gesture.record
    )  # fmt: skip

    def blocks() -> dict[str, Any]:
        return {"dvs": block(setting, workload.answers, damages(), workload.answered_frames, workload.host_s)}

    # Keys that a report has whatever is run; there are no words here.
    facts = dict.fromkeys(("text_licence", "vocabulary", "vocabulary_sha256", "unknown_words", "words_run", "state"))
    facts |= {"source": recordings.name, "segment": 0, "seeded": options.checkpoint == SEEDED}
    return Job(
        options, placement, workload, dram, f"{title} on {recordings.name}", note, facts, workload.sequence_at, blocks,
        {"unit": "frames", "classes": list(gesture.classes)},
    )  # fmt: skip


def _open(options: DvsOptions, gesture: Gesture) -> GestureSet:
    split = options.split or "test"
    try:
        if options.events in (None, SYNTHETIC):
            return open_synthetic(split, slice_us=gesture.slice_us)
        return open_folder(Path(options.events), split, slice_us=gesture.slice_us)
    except DvsError as error:
        raise HostError(f"--events {options.events or SYNTHETIC}: {error}") from error
