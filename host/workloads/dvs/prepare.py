"""From the options of `dvs` to a job: which checkpoint on which recordings. User errors are refused here."""

from dataclasses import replace
from pathlib import Path

from host.errors import HostError
from host.workloads.contract import Job
from host.workloads.dvs import SHIPPED
from host.workloads.dvs.options import DEFAULT_SAMPLES, Options
from host.workloads.dvs.readout import ClassReadout
from host.workloads.dvs.results import Setting
from host.workloads.dvs.source import SampleSource, SampleStore
from host.workloads.site import load_model, model_path, new_dram, only_ends, paths_of, place_for_run, shipped_path
from models.checkpoint import Model
from models.dvs.folder import open_folder
from models.dvs.samples import CLASSES, SLICE_US, DvsError, GestureSet
from models.dvs.synthetic import open_synthetic
from models.heads.gesture import Gesture
from models.seeded import seeded_gesture

PLAIN = "plain"  # as a checkpoint's name: the paper's variant, whose layers hand on y
SHIPPED_PLAIN = "gesture-plain.safetensors"
SYNTHETIC = "synthetic"  # as a folder's name
_SEEDED_NOTE = "seeded network: it has learnt nothing, its classes only show that the path works"


def prepare(options: Options) -> Job:
    """Build the job; HostError, ModelError or ChipError, one line each, for what cannot be run."""
    path = _checkpoint_path(options.checkpoint)
    model, title = _open_model(path, options.checkpoint)
    gesture = model.gesture
    assert gesture is not None
    if gesture.classes != CLASSES:
        raise HostError(f"checkpoint {options.checkpoint}: knows {len(gesture.classes)} classes, needs {', '.join(CLASSES)}")
    into, out = only_ends(model.network, str(options.checkpoint), scaled=True)
    placement = place_for_run(options, model.network)
    recordings = _open_recordings(options, gesture)
    dram, limit = new_dram(placement.chip), options.samples or DEFAULT_SAMPLES
    limit = limit if recordings.count is None else min(limit, recordings.count)
    heard, said = (model.network.populations[number] for number in (into, out))
    store = SampleStore(dram, heard, frames=gesture.frames, lanes=options.batch, samples=max(limit, 1))
    source = SampleSource(gesture, recordings.samples(), store, lanes=options.batch, limit=limit, into=into)

    def damages() -> list[str]:
        return [str(damage) for damage in recordings.damages] + ([source.ended] if source.ended else [])

    if not source.positions:
        why = f": {damages()[0]}" if damages() else ""
        raise HostError(f"--events {options.events or SYNTHETIC}: no sample of the {recordings.split} split can be read{why}")
    setting = Setting(
        classes=gesture.classes, source=recordings.name, terms=recordings.source, split=recordings.split,
        asked=options.samples, frames=gesture.frames, bin_us=gesture.bin_us, slice_us=gesture.slice_us,
        record=gesture.record,
    )  # fmt: skip
    return Job(
        options=options, placement=placement, source=source, readout=ClassReadout(gesture, source, setting, damages, said),
        dram=dram, title=f"{title} on {recordings.name}", note=_SEEDED_NOTE if path is None else "",
        inputs=paths_of(checkpoint=path, recordings=None if options.events in (None, SYNTHETIC) else options.events),
        facts={"seeded": path is None}, shown={"classes": list(gesture.classes)},
    )  # fmt: skip


def paper_sized(slice_us: int = SLICE_US) -> Model:
    """Return a seeded classifier of the paper's sizes (section III-D) over slices of that length."""
    model = seeded_gesture(32, 512, (256, 256), len(CLASSES))
    assert model.gesture is not None
    gesture = replace(model.gesture, classes=CLASSES, slice_us=slice_us)
    return replace(model, gesture=gesture, segment=gesture.frames)


def _checkpoint_path(name: str | None) -> Path | None:
    """Return the file of a checkpoint's name; None for the seeded network."""
    return shipped_path(SHIPPED_PLAIN) if name == PLAIN else model_path(name, SHIPPED)


def _open_model(path: Path | None, name: str | None) -> tuple[Model, str]:
    """Return the model with a title; HostError where it is none of gestures."""
    if path is None:
        return paper_sized(), "seeded gesture network with the paper's sizes"
    model = load_model(path)
    if name in (None, PLAIN):
        return model, f"the trained gesture model ({'y' if name else 'traces'} handed on)"
    if model.gesture is None:
        raise HostError(f"checkpoint {name}: has no head and read-out for gestures; `dvs` needs one that was trained on them")
    return model, path.name


def _open_recordings(options: Options, gesture: Gesture) -> GestureSet:
    split = options.split or "test"
    try:
        if options.events in (None, SYNTHETIC):
            return open_synthetic(split, slice_us=gesture.slice_us)
        return open_folder(Path(str(options.events)), split, slice_us=gesture.slice_us)
    except DvsError as error:
        raise HostError(f"--events {options.events or SYNTHETIC}: {error}") from error
