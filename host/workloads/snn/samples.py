"""What a spiking network hears: samples of spikes or counts, of recordings or of a file, with what is known of each."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from host.errors import HostError
from host.workloads.snn.options import DEFAULT_SAMPLES, Options
from models.dvs.folder import open_folder
from models.dvs.samples import CLASSES, DvsError, GestureSet
from models.dvs.spike_frames import MOST_COUNT, SpikeBins, spike_frames
from models.dvs.synthetic import open_synthetic
from models.input_file import InputError, check_input
from models.network import Array, Population

SYNTHETIC = "synthetic"  # as a folder's name
_INPUTS, _LABELS = ("inputs", "x", "input", "data", "spikes"), ("labels", "y", "label", "targets")


class InputSample(NamedTuple):
    """A sample: its name, who is seen, its class (None: not known), and numbers of each step, (steps, units)."""

    name: str
    subject: str
    label: int | None
    numbers: Array


@dataclass(kw_only=True)
class Samples:
    """Where samples come from. `lines` says what a network's file does not hold and how files were read, as far as they are
    read; `limit` is how many there are at most, `damages` what was wrong with files.
    """

    name: str
    source: str
    split: str
    steps: int
    limit: int
    samples: Iterator[InputSample]
    lines: list[str]
    damages: list[str] = field(default_factory=list)


def open_samples(options: Options, bins: SpikeBins, into: Population, classes: int) -> Samples:
    """Return the samples that the options name, for a network with this input and `classes` outputs; HostError, one line."""
    if options.inputs is not None:
        return _of_file(options, into, classes)
    return _of_events(options, bins, into.units, classes)


def _of_events(options: Options, bins: SpikeBins, units: int, classes: int) -> Samples:
    if bins.units != units:
        have = f"{bins.channels} x {bins.size} x {bins.size} = {bins.units:,}"
        raise HostError(f"--size {bins.size}, --polarity {bins.polarity}: make {have} inputs, the network has {units:,}")
    if classes != len(CLASSES):
        raise HostError(f"--events: gestures have {len(CLASSES)} classes, the network answers with {classes}; use --inputs")
    split, events = options.split or "test", options.events
    try:
        if events in (None, SYNTHETIC):
            chosen = open_synthetic(split, slice_us=bins.duration_us)
        else:
            chosen = open_folder(Path(str(events)), split, slice_us=bins.duration_us)
    except DvsError as error:
        raise HostError(f"--events {events or SYNTHETIC}: {error}") from error
    limit = options.samples or DEFAULT_SAMPLES
    opened = Samples(
        name=chosen.name, source=chosen.source, split=split, steps=bins.steps, samples=iter(()), lines=[bins.described()],
        limit=limit if chosen.count is None else min(limit, chosen.count),
    )  # fmt: skip
    opened.samples = _binned(chosen, bins, opened)
    return opened


def _binned(chosen: GestureSet, bins: SpikeBins, opened: Samples) -> Iterator[InputSample]:
    try:
        for sample in islice(chosen.samples(), opened.limit):
            if (line := f"read as {sample.reading}") not in opened.lines:
                opened.lines.append(line)
            opened.damages[:] = map(str, chosen.damages)
            yield InputSample(sample.name, sample.subject, sample.label, spike_frames(sample.events, bins).reshape(bins.steps, -1))
    except (DvsError, OSError) as error:
        opened.damages.append(" ".join(str(error).split()))
        return
    opened.damages[:] = map(str, chosen.damages)


def _of_file(options: Options, into: Population, classes: int) -> Samples:
    path = Path(str(options.inputs))
    who, units = f"--inputs {path}", into.units
    try:
        check_input(path)
        with path.open("rb") as file:
            loaded = np.load(file)  # unpickles nothing
            arrays = {"inputs": loaded} if isinstance(loaded, np.ndarray) else {name: loaded[name] for name in loaded.files}
    except InputError as error:
        raise HostError(f"{who}: {error}") from None
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise HostError(f"{who}: is no .npz or .npy that can be read ({' '.join(str(error).split())[:100]})") from None
    name = next((name for name in _INPUTS if name in arrays), next(iter(arrays), None) if len(arrays) == 1 else None)
    if name is None:
        raise HostError(f"{who}: needs an array called {' or '.join(_INPUTS[:2])}, has {', '.join(arrays) or 'none'}")
    numbers, labels = arrays[name], next((arrays[name] for name in _LABELS if name in arrays), None)
    if numbers.ndim < 2 or numbers.dtype.kind not in "uifb":
        raise HostError(f"{who}: {name} needs numbers (samples, steps, ...), has {numbers.dtype} {numbers.shape}")
    whole = numbers if numbers.ndim > 2 or labels is not None else numbers[None]
    flat = whole.reshape(*whole.shape[:2], -1)
    if flat.shape[2] != units or not flat.size:
        have = f"{flat.shape[2]:,} numbers a step of {flat.shape[0]} samples"
        raise HostError(f"{who}: {name} {numbers.shape} has {have}, the network has {units:,} inputs")
    if options.steps is not None and options.steps > flat.shape[1]:
        raise HostError(f"{who}: {name} has {flat.shape[1]} steps, --steps asks for {options.steps}")
    if labels is not None and not _are_labels(labels, len(flat), classes):
        raise HostError(f"{who}: labels need {len(flat)} whole numbers from 0 to {classes - 1}, has {labels.dtype} {labels.shape}")
    _need_payload(f"{who}: {name}", flat, into.payload)
    steps, limit = options.steps or flat.shape[1], min(options.samples or len(flat), len(flat))
    given = (
        InputSample(f"{path.name}[{n}]", "", None if labels is None else int(labels[n]), flat[n, :steps]) for n in range(limit)
    )
    line = f"{steps} steps of {path.name} as they are; what a step lasted, order of channels and binning are not in it"
    return Samples(
        name=path.name, source=str(path), split="", steps=steps, limit=limit, samples=given, lines=[line]
    )  # fmt: skip


def _need_payload(who: str, numbers: Array, payload: str) -> None:
    """Raise HostError unless an input with this payload can send the numbers."""
    least, most, whole = {
        "spike": (0, 1, True), "count": (0, MOST_COUNT, True), "int8": (-128, 127, True), "int32": (-(2**31), 2**31 - 1, True),
    }.get(payload, (-np.inf, np.inf, False))  # fmt: skip
    low, high = numbers.min(), numbers.max()
    if not (np.isfinite(low) and np.isfinite(high) and least <= low and high <= most) or (whole and (numbers % 1 != 0).any()):
        need = {"spike": "0 or 1 (spikes)", "float32": "finite numbers"}.get(payload, f"whole numbers {least} to {most}")
        raise HostError(f"{who} needs {need}, has {low:g} to {high:g}")


def _are_labels(labels: Array, samples: int, classes: int) -> bool:
    if labels.shape != (samples,) or labels.dtype.kind not in "iu":
        return False
    return bool(((labels >= 0) & (labels < classes)).all())
