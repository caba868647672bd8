"""NIR data: spikes and values of a network's nodes over time, as `nir.data_ir` lays them out in HDF5.

A graph's data are nodes, a node's data observables. Of these, `TimeGriddedData` is an array (samples, steps, units) with the
step's length `dt`; `EventData` has indices (-1: none) and times (infinite) of each sample's events, `ValuedEventData` a value of
each too. Ours say their `dt` as well, which NIR does not ask for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.foreign.hdf5 import Group, opened
from models.foreign.hdf5 import write as write_hdf5
from models.foreign.nir_file import shown
from models.network import I64, Array, ModelError

SPIKES, VALUES = "spikes", "values"
_EVENTS = ("EventData", "ValuedEventData")
_GRID = "TimeGriddedData"
_TYPE = "__type__"
_MOST_NUMBERS = 1 << 30  # of an array of steps


@dataclass(frozen=True)
class Recorded:
    """Events of a run: a structured array with sequence, position, population, unit and value; and what they are of."""

    events: Array
    populations: Sequence[str]
    units: Sequence[int]
    layers: Sequence[int]  # the numbers of the populations whose events are there
    lengths: I64  # positions of each sequence


def write_events(path: Path, recorded: Recorded, dt: float) -> None:
    """Write the events of every recorded population; a node whose events all are 1 has `spikes`, another one `values`.

    An event of position p is at time p * dt. ModelError where h5py is missing; OSError where the file cannot be written.
    """
    nodes = {
        recorded.populations[number].replace("/", "_"): _node(
            recorded.events[recorded.events["population"] == number], recorded.units[number], recorded.lengths, dt
        )
        for number in recorded.layers
    }
    write_hdf5(path, {f"@{_TYPE}": "NIRGraphData", "nodes": nodes}, f"NIR data {path}")


def _node(events: Array, units: int, lengths: I64, dt: float) -> dict[str, Any]:
    sequences = max(len(lengths), 1)
    order = np.lexsort((events["unit"], events["position"], events["sequence"]))
    events = events[order]
    counts = np.bincount(events["sequence"], minlength=sequences)
    places = np.arange(len(events)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = sequences, int(counts.max(initial=0))
    idx, time, value = np.full(shape, -1, np.int64), np.full(shape, np.inf), np.zeros(shape)
    at = events["sequence"], places
    idx[at], time[at], value[at] = events["unit"], events["position"] * dt, events["value"]
    is_spikes = bool(np.all(events["value"] == 1))
    about = {
        f"@{_TYPE}": _EVENTS[0] if is_spikes else _EVENTS[1], "@n_neurons": int(units),
        "@t_max": float(lengths.max(initial=0) * dt), "@dt": float(dt), "idx": idx, "time": time,
    }  # fmt: skip
    observable = {SPIKES: about} if is_spikes else {VALUES: {**about, "value": value}}
    return {f"@{_TYPE}": "NIRNodeData", "observables": observable}


def read_data(path: Path) -> dict[str, Array]:
    """Return what a file has of each node, (samples, steps, units), of the first of its observables.

    ModelError, in one line, for another file, and for events without a step (`dt`).
    """
    who = f"NIR data {path}"
    with opened(who, path) as root:
        if root.attribute(_TYPE) != "NIRGraphData":
            kind = "a NIR graph" if root.has("node") else "HDF5"
            raise ModelError(f"{who}: is {kind}, but no NIR data")
        nodes: dict[str, Array] = {}
        _collect(root, "", nodes)
        return nodes


def _collect(group: Group, prefix: str, nodes: dict[str, Array]) -> None:
    inner = group.group("nodes")
    for name in inner.names():
        node = inner.group(name)
        if node.attribute(_TYPE) == "NIRGraphData":
            _collect(node, f"{prefix}{name}.", nodes)
            continue
        observables = node.group("observables")
        names = observables.names()
        if names:
            first = SPIKES if SPIKES in names else names[0]
            nodes[prefix + name] = _observed(observables.group(first), f"{group.who}: {shown(prefix + name)}")


def _observed(group: Group, who: str) -> Array:
    kind = group.attribute(_TYPE)
    if kind == _GRID:
        data = group.array("data")
        if data.ndim != 3 or data.dtype.kind not in "fiub":
            raise ModelError(f"{who}: data need numbers (samples, steps, units), have {data.dtype} of shape {data.shape}")
        return data
    if kind not in _EVENTS:
        raise ModelError(f"{who}: observable of type {shown(str(kind))}; known are {_GRID}, {', '.join(_EVENTS)}")
    dt = _number(group, who, "dt", "as events have times, how long a step is must be said: in its attribute dt, or use " + _GRID)
    units, t_max = int(_number(group, who, "n_neurons")), _number(group, who, "t_max")
    idx, time = group.array("idx"), group.array("time")
    if idx.ndim != 2 or idx.shape != time.shape or idx.dtype.kind not in "iu":
        raise ModelError(f"{who}: idx and time need shape (samples, events), have {idx.shape} and {time.shape}")
    steps = round(t_max / dt)
    if not 0 <= steps * units * len(idx) <= _MOST_NUMBERS or units < 1:
        raise ModelError(f"{who}: {len(idx)} samples of {steps:,} steps of {units:,} units cannot be")
    sample, place = np.nonzero(idx >= 0)
    unit, at = idx[sample, place], np.floor(time[sample, place] / dt + 1e-6)
    if len(unit) and (unit.max() >= units or not np.all((at >= 0) & (at < steps))):
        raise ModelError(f"{who}: an event lies outside of {units:,} units and {steps:,} steps")
    value = group.array("value")[sample, place] if kind == _EVENTS[1] else np.ones(len(unit))
    grid = np.zeros((len(idx), steps, units), np.float32)
    np.add.at(grid, (sample, at.astype(np.int64), unit), value)
    return grid


def _number(group: Group, who: str, name: str, why: str = "") -> float:
    value = group.attribute(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not np.isfinite(value) or value < 0 or (name == "dt" and not value):
        raise ModelError(f"{who}: attribute {name} needs a number above 0{f': {why}' if why else ''}")
    return float(value)


def recorded_of(arrays: Mapping[str, Array], who: str) -> Recorded:
    """Return the events of a run's `events.npz`; ModelError, beginning with `who`, where something is missing."""
    missing = {"events", "populations", "units", "layers", "lengths"} - arrays.keys()
    if missing:
        raise ModelError(f"{who}: has no {min(missing)}; needs the events.npz of a run with --save events")
    names = [str(name) for name in arrays["populations"].tolist()]
    units, layers = arrays["units"].tolist(), arrays["layers"].tolist()
    return Recorded(events=arrays["events"], populations=names, units=units, layers=layers, lengths=arrays["lengths"])
