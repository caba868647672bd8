"""Offline runs: a network's events are computed once, without processes, and give the ledger of any placement.

The events are those of every run, to the bit (`host/run/whole_layers.py`). What a placement changes follows by adding up: an
offline run keeps, for each position, every unit's events and effective multiply-accumulates, and how many source units each
projection heard. So a board of 48 chips, or any number of placements, is priced from real events without starting a process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from host.cost.ledger import Ledger
from host.cost.twins import twin
from host.errors import HostError
from host.mapping.placement import Placement
from host.mapping.request import UnitSet
from host.mapping.sharding import share_sizes, stored_weights
from host.run.assembly import LayerSteps, assemble_ledger, shards_of
from host.run.event_hash import EventStream
from host.run.heard import Heard, Hearing
from host.run.recorder import count_lanes
from host.run.step_counts import words_of
from host.run.whole_layers import WholeLayers
from host.workloads.contract import Readout, Source
from host.workloads.section_events import all_sending
from models import formats, kernels
from models.convolution import Convolution
from models.network import I64, U32, Array, Network, Weights
from models.schedule import schedule
from noc.packet import PHASE, Section
from pe.layout import place_ports

_KEY = "gennaker-recording"
_VERSION = 2  # of the file's form


@dataclass(frozen=True)
class LayerCounts:
    """What a layer did, over all lanes: `events` (positions, ticks, units) uint32, and what each projection heard, in the
    population's order.
    """

    events: U32
    heard: tuple[Heard, ...]


@dataclass(frozen=True)
class OfflineRun:
    """A network's events on one input. `input_events` (positions, inputs) uint32; `stepped` (positions,) uint32, lanes that were
    not idle; `layers` by number; `sha256` as a run prints it.
    """

    network: Network
    lanes: int
    input_events: U32
    stepped: U32
    layers: Mapping[int, LayerCounts]
    sha256: str

    def ledger(self, placement: Placement) -> Ledger:
        """Return what a run of this placement would have recorded, to the last integer.

        Raises HostError for a placement of another network or number of sequences.
        """
        same = placement.network is self.network or network_sha256(placement.network) == network_sha256(self.network)
        if not same or placement.request.lanes != self.lanes:
            raise HostError(f"recording of {self.lanes} sequences: the placement is of another network, or of other sequences")
        shards = shards_of(placement)
        steps = {n: self._steps(n, [units for _, on, units in shards if on == n], placement) for n in self.layers}
        return assemble_ledger(placement, steps, self.input_events)

    def _steps(self, number: int, shares: list[U32], placement: Placement) -> LayerSteps:
        """Return what the shards of a layer counted."""
        population, layer, stepped = self.network.populations[number], self.layers[number], self.stepped.astype(np.int64)
        words, form, times = words_of(population), twin("formats", placement.request.format), schedule(self.network)
        rows = np.zeros((len(stepped), len(shares), times.ticks[number], words.size), np.uint32)
        for phase in range(times.ticks[number]):
            rows[:, :, phase, 0] = _sum_by_share(layer.events[:, phase], shares)
        sizes = np.array([len(units) for units in shares])
        held = stored_weights(self.network, placement.request, number, shares)
        keeps_sums = [_keeps_sums(self.network, placement, number, units) for units in shares]
        for place, name in enumerate(words.counts, start=1):
            rows[:, :, :, place] = (kernels.named(population.kernel).PER_UNIT[name] * stepped[:, None] * sizes)[:, :, None]
        for place, projection in enumerate(population.projections):
            heard, macs = layer.heard[place], _sum_by_share(layer.heard[place].macs, shares)
            kernel = formats.keeps_kernel(placement.request.format, projection.weights)
            met = macs if heard.met is None or not kernel else _sum_by_share(heard.met, shares)
            stored = held[place] * times.ticks[projection.source]
            lanes = np.stack([heard.lanes if kept[place] else self.stepped for kept in keeps_sums], axis=1).astype(np.int64)
            gates = projection.weights.shape[0] // population.units
            elements = heard.elements.astype(np.int64)[:, None]
            at = words.first_port + 2 * place
            rows[:, :, 0, at], rows[:, :, 0, at + 1] = macs, form.visited(met, elements, stored * lanes, gates * sizes)
        return LayerSteps(rows=rows, stepped=self.stepped)

    def save(self, path: Path) -> None:
        """Write what the run did, without its network."""
        tensors: dict[str, Array] = {"input_events": self.input_events, "stepped": self.stepped}
        for number, layer in self.layers.items():
            tensors[f"{number}.events"] = layer.events
            for place, heard in enumerate(layer.heard):
                arrays = {what: array for what, array in heard._asdict().items() if array is not None}
                tensors |= {f"{number}.{place}.{what}": array for what, array in arrays.items()}
        about = {"lanes": self.lanes, "sha256": self.sha256}
        path.write_bytes(save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, {_KEY: json.dumps(about)}))


def load_offline_run(path: Path, network: Network) -> OfflineRun:
    """Read an offline run of `network`; HostError, one line, where the file is damaged or of another network."""
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            layers = {}
            held = set(file.keys())
            for n in network.layers:
                places = range(len(network.populations[n].projections))
                names = [[what for what in Heard._fields if f"{n}.{place}.{what}" in held] for place in places]
                heard = tuple(Heard(**{what: file.get_tensor(f"{n}.{place}.{what}") for what in names[place]}) for place in places)
                layers[n] = LayerCounts(events=file.get_tensor(f"{n}.events"), heard=heard)
            inputs, stepped = file.get_tensor("input_events"), file.get_tensor("stepped")
            lanes, sha256 = int(about["lanes"]), str(about["sha256"])
        run = OfflineRun(network=network, lanes=lanes, input_events=inputs, stepped=stepped, layers=layers, sha256=sha256)
    except Exception as error:  # the library's own, and a stranger's bytes: exceptions of several kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"recording {path}: cannot be read ({why})") from error
    ticks = schedule(network).ticks
    for n, layer in run.layers.items():
        units, positions = network.populations[n].units, len(run.input_events)
        if layer.events.shape != (positions, ticks[n], units) or any(
            heard.macs.shape != (positions, units) for heard in layer.heard
        ):
            need = positions, ticks[n], units
            raise HostError(f"recording {path}: layer {n} needs {need} counts, has {layer.events.shape}")
    return run


def load_or_record(folder: Path, placement: Placement, inputs: str, feeding: Callable[[], tuple[Source, Readout]]) -> OfflineRun:
    """Return the offline run of a placement's network on the inputs that `feeding` makes: from `folder`, or computed and written
    there.

    `inputs` is a name that no other inputs of this network have; another weight makes another network.
    """
    network, lanes = placement.network, placement.request.lanes
    key = hashlib.sha256(json.dumps([_VERSION, network_sha256(network), lanes, inputs]).encode()).hexdigest()[:24]
    path = folder / f"recording-{key}.safetensors"
    if path.is_file():
        return load_offline_run(path, network)
    run = record(placement, *feeding())
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    run.save(part)
    part.replace(path)  # a reader sees all of it or nothing
    return run


def network_sha256(network: Network) -> str:
    """Return a hash over everything that a network's events depend on."""
    digest = hashlib.sha256(json.dumps(network.outputs).encode())
    for population in network.populations:
        kind = [population.name, population.units, population.kernel, population.payload, population.dense]
        fields = [*kind, sorted(population.params.items())]
        digest.update(json.dumps(fields).encode())
        for projection in population.projections:
            others = sorted((k, v) for k, v in vars(projection).items() if k != "weights")
            digest.update(json.dumps(others).encode())
            for array in _numbers(projection.weights):
                digest.update(array.tobytes())
        for name in sorted(population.vectors):
            digest.update(name.encode() + population.vectors[name].tobytes())
    return digest.hexdigest()


def _numbers(weights: Weights) -> list[Array]:
    if isinstance(weights, Convolution):
        shape = *weights.kernel.shape, *weights.input_shape, *weights.stride, *weights.padding, *weights.dilation, weights.groups
        return [np.array([*shape, *weights.pool], np.int64), weights.kernel]
    rows = weights.to_rows()
    return [rows.extents, rows.columns, rows.values]


def record(placement: Placement, source: Source, readout: Readout) -> OfflineRun:
    """Run a placement's network on every position of `source`, in this process, and return what it did; how it is placed does
    not matter.

    HostError where a neuron model counts something by activity: what one unit adds to that is not known, so it cannot be dealt out
    to PEs. Nor where one exchanges transfers.
    """
    network, lanes = placement.network, placement.request.lanes
    for n in network.layers:
        kernel = kernels.named(network.populations[n].kernel)
        if by_activity := [name for name in kernel.COUNTS if name not in kernel.PER_UNIT]:
            name = network.populations[n].name
            raise HostError(
                f"recording: {name} counts {', '.join(by_activity)} by activity, which cannot be dealt out to PEs; run it"
            )
        if kernels.transfers_of(network.populations[n].kernel) is not None:
            raise HostError(f"recording: {network.populations[n].name} exchanges transfers, which follow from its PEs; run it")
    layers, stream, hearing = WholeLayers(placement), EventStream(network, lanes, source.sequence_at), Hearing(network, lanes)
    sending, inputs, stepped = all_sending(network, lanes), list[list[int]](), list[int]()
    events: dict[int, list[U32]] = {n: [] for n in network.layers}
    outputs: dict[int, dict[int, list[Section]]] = {}
    answer_sections = sum(schedule(network).ticks[n] for n in network.outputs)
    while not (source.exhausted() and layers.idle):
        feed = source.next() if layers.ready and not source.exhausted() else None
        sections = layers.feed(feed)
        if feed is not None:
            inputs.append([sending[section.population].count_events(section.keys, section.values) for section in sections])
            stepped.append(count_lanes(sections[0].lanes, lanes))
            for section in sections:
                hearing.add(section)
        for section in layers.tick(sections):
            stream.add(section)
            hearing.add(section)
            units = sending[section.population].keys_of(section) % network.populations[section.population].units
            counts = np.bincount(units, minlength=network.populations[section.population].units)
            events[section.population].append(counts.astype(np.uint32))
            if section.flags < PHASE:
                hearing.close(section)
            if section.population in network.outputs:
                answer = outputs.setdefault(section.position, {n: [] for n in network.outputs})
                answer[section.population].append(section)
                if sum(map(len, answer.values())) == answer_sections:
                    readout.answer(section.position, outputs.pop(section.position))
    of_layers = {}
    for n in network.layers:
        shape = len(inputs), schedule(network).ticks[n], network.populations[n].units
        of_layers[n] = LayerCounts(events=np.array(events[n], np.uint32).reshape(shape), heard=tuple(hearing.counts(n)))
    return OfflineRun(
        network=network, lanes=lanes, input_events=np.array(inputs, np.uint32).reshape(len(inputs), len(network.inputs)),
        stepped=np.array(stepped, np.uint32), layers=of_layers, sha256=stream.sha256(),
    )  # fmt: skip


def _keeps_sums(network: Network, placement: Placement, layer: int, units: U32) -> list[bool]:
    """Return whether each port of a share makes its products when sections come, and not at the step: of lanes that heard nothing
    then none are made.
    """
    size = share_sizes(network, placement.request, (UnitSet(layer, units),))[0]
    return [
        place.rings > 1 or port.shape.phases > 1 or port.shape.early
        for port, place in zip(size.ports, place_ports(size), strict=True)
    ]


def _sum_by_share(counts: U32, shares: list[U32]) -> I64:
    """Add up (positions, units) over the units of each share: (positions, shares)."""
    starts = np.cumsum([0, *(len(units) for units in shares[:-1])])
    return np.asarray(np.add.reduceat(counts[:, np.concatenate(shares)], starts, axis=1, dtype=np.int64), np.int64)
