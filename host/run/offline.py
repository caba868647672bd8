"""Offline runs: a network's events are computed once, without processes, and give the ledger of any placement.

The events are those of every run, to the bit: each layer runs whole on one `Pe` core (`pe/core.py`) whose SRAM is as large as
it needs to be, and no sum sees where its units are. What a placement changes follows by adding up: an offline run keeps, for each
position, every unit's events and effective multiply-accumulates, and how many source units each port heard. So a board of 48
chips, or any number of placements, is priced from real events without starting a process.
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

from host.cost.ledger import COUNTS, Ledger
from host.cost.twins import twin
from host.errors import HostError
from host.mapping.placement import Placement
from host.mapping.request import Request, whole_layer
from host.mapping.sharding import cut, share_sizes
from host.run.event_hash import EventStream
from host.run.recorder import assemble_ledger, shards_of
from host.workloads.contract import Readout, Source
from models.network import I64, U32, Array, Network
from noc.packet import INPUT_POPULATION, Batch, Bundle, Fault, Load, Message, Section, Start
from pe.core import Pe
from pe.layout import pe_fields, prefix
from pe.sram import ALIGNMENT_BYTES, SramSize

PORTS = ("input", "recurrent")
_KEY = "gennaker-recording"
_ROUTER = ""  # the name that a core answers; no router is there


@dataclass(frozen=True)
class LayerCounts:
    """What a layer did: `events` and, by port, `macs`, (positions, units) uint32 each, over all lanes; by port, `heard`
    (positions,) uint32: elements that were not zero, over all lanes; exponentials of a unit and lane at a position.
    """

    events: U32
    macs: Mapping[str, U32]
    heard: Mapping[str, U32]
    exponentials: int


@dataclass(frozen=True)
class OfflineRun:
    """A network's events on one input. `input_events` (positions,) uint32; `layers` by number from 1; `sha256` as a run
    prints it.
    """

    network: Network
    lanes: int
    input_events: U32
    layers: Mapping[int, LayerCounts]
    sha256: str

    def ledger(self, placement: Placement) -> Ledger:
        """Return what a run of this placement would have recorded, to the last integer.

        Raises HostError for a placement of another network or number of sequences.
        """
        if placement.network is not self.network or placement.request.lanes != self.lanes:
            raise HostError(f"recording of {self.lanes} sequences: the placement is of another network, or of other sequences")
        shards, form = shards_of(placement), twin("formats", placement.request.format)
        counts = np.zeros((len(self.input_events), len(shards), len(COUNTS)), np.uint32)
        exponentials = np.zeros(len(shards), np.int64)
        for number, layer in self.layers.items():
            of_layer = [index for index, (_, on, _) in enumerate(shards) if on == number]
            shares = [shards[index][2] for index in of_layer]
            counts[:, of_layer, 0] = _sum_by_share(layer.events, shares)
            exponentials[of_layer] = [layer.exponentials * self.lanes * len(units) for units in shares]
            for port, projection in zip(PORTS, self.network.populations[number].projections, strict=True):
                macs = _sum_by_share(layer.macs[projection.port], shares)
                lengths = projection.weights.row_nonzeros.reshape(-1, self.network.populations[number].units)
                stored = np.array([self.lanes * lengths[:, units].sum() for units in shares])
                rows = np.array([len(lengths) * len(units) for units in shares])
                visited = form.visited(macs, layer.heard[projection.port][:, None], stored, rows)
                counts[:, of_layer, COUNTS.index(f"macs_{port}")] = macs
                counts[:, of_layer, COUNTS.index(f"visited_{port}")] = visited
        return assemble_ledger(placement, counts, self.input_events, exponentials)

    def save(self, path: Path) -> None:
        """Write what the run did, without its network."""
        tensors: dict[str, Array] = {"input_events": self.input_events}
        for number, layer in self.layers.items():
            tensors[f"{number}.events"] = layer.events
            for port in layer.macs:
                tensors |= {f"{number}.{port}.macs": layer.macs[port], f"{number}.{port}.heard": layer.heard[port]}
        exponentials = {number: layer.exponentials for number, layer in self.layers.items()}
        about = {"lanes": self.lanes, "sha256": self.sha256, "exponentials": exponentials}
        path.write_bytes(save_tensors({k: np.ascontiguousarray(v) for k, v in tensors.items()}, {_KEY: json.dumps(about)}))


def load_offline_run(path: Path, network: Network) -> OfflineRun:
    """Read an offline run of `network`; HostError, one line, where the file is damaged or of another network."""
    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            layers = {}
            for n in network.layers:
                ports = [projection.port for projection in network.populations[n].projections]
                macs, heard = ({port: file.get_tensor(f"{n}.{port}.{what}") for port in ports} for what in ("macs", "heard"))
                events, exponentials = file.get_tensor(f"{n}.events"), int(about["exponentials"][str(n)])
                layers[n] = LayerCounts(events=events, macs=macs, heard=heard, exponentials=exponentials)
            inputs, lanes, sha256 = file.get_tensor("input_events"), int(about["lanes"]), str(about["sha256"])
            run = OfflineRun(network=network, lanes=lanes, input_events=inputs, layers=layers, sha256=sha256)
    except Exception as error:  # the library's own, and a stranger's bytes: exceptions of several kinds
        why = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        raise HostError(f"recording {path}: cannot be read ({why})") from error
    for n, layer in run.layers.items():
        need = (len(run.input_events), network.populations[n].units)
        if any(array.shape != need for array in (layer.events, *layer.macs.values())):
            raise HostError(f"recording {path}: layer {n} needs {need} counts, has {layer.events.shape}")
    return run


def load_or_record(
    folder: Path, network: Network, lanes: int, inputs: str, feeding: Callable[[], tuple[Source, Readout]]
) -> OfflineRun:
    """Return the offline run of `network` on the inputs that `feeding` makes: from `folder`, or computed and written there.

    `inputs` is a name that no other inputs of this network have; another weight makes another network.
    """
    key = hashlib.sha256(json.dumps([network_sha256(network), lanes, inputs]).encode()).hexdigest()[:24]
    path = folder / f"recording-{key}.safetensors"
    if path.is_file():
        return load_offline_run(path, network)
    run = record(network, *feeding(), lanes)
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    run.save(part)
    part.replace(path)  # a reader sees all of it or nothing
    return run


def network_sha256(network: Network) -> str:
    """Return a hash over everything that a network's events depend on."""
    digest = hashlib.sha256()
    for population in network.populations:
        fields = [population.name, population.units, population.kernel, sorted(population.params.items())]
        digest.update(json.dumps(fields).encode())
        for projection in population.projections:
            others = sorted((k, v) for k, v in vars(projection).items() if k != "weights")
            digest.update(json.dumps(others).encode())
            for array in (projection.weights.extents, projection.weights.columns, projection.weights.values):
                digest.update(array.tobytes())
        for name in sorted(population.vectors):
            digest.update(name.encode() + population.vectors[name].tobytes())
    return digest.hexdigest()


def record(network: Network, source: Source, readout: Readout, lanes: int) -> OfflineRun:
    """Run `network` on every position of `source`, in this process, and return what it did."""
    layers = {n: _Layer(network, n, lanes) for n in network.layers}
    stream, inputs = EventStream(network, lanes, source.sequence_at), []
    while not source.exhausted():
        feed = source.next()
        assert feed is not None, "every answer is in"
        inputs.append(len(feed.keys) // 4)
        section = Section(INPUT_POPULATION, feed.flags, feed.position, feed.keys, feed.values, b"")
        for layer in layers.values():
            section = layer.step(section)
            stream.add(section)
        readout.answer(section)
    counts = {n: layer.counts() for n, layer in layers.items()}
    input_events, sha256 = np.array(inputs, np.uint32), stream.sha256()
    return OfflineRun(network=network, lanes=lanes, input_events=input_events, layers=counts, sha256=sha256)


class _Layer:
    """A whole layer on one core, with memory to match, fed position by position."""

    def __init__(self, network: Network, number: int, lanes: int) -> None:
        self._population, self._number = network.populations[number], number
        share = (whole_layer(network, number),)
        # `csr` keeps what a port hears, a trace or events, as a dense vector; all formats have the same events.
        request = Request("csr", lanes, SramSize(0, 0, 0, 0), 1)
        fields = pe_fields(share_sizes(network, request, share))
        need = sum(field.size_bytes + ALIGNMENT_BYTES for field in fields)
        self._pe = Pe(f"layer {number}", _ROUTER)
        self._pe.boot()
        spec = {"sram_bytes": need, "bank_bytes": 0, "program_bytes": 0, "debug_bytes": 0}
        self._say(Load([shard.to_parts() for shard in cut(network, request, share)], {number: 0}, spec, {}))
        started = self._say(Start())
        assert isinstance(started, Batch)
        self._own = started.sections[0]
        assert self._pe.arena is not None
        views = self._pe.arena.views
        self._heard = {
            port: next(view for what in ("trace", "vector") if (view := views.get(f"{prefix(number)}{port}.{what}")) is not None)
            for port in (projection.port for projection in self._population.projections)
        }
        self._events: list[U32] = []
        self._macs: dict[str, list[U32]] = {port: [] for port in self._heard}
        self._elements: dict[str, list[int]] = {port: [] for port in self._heard}
        self._exponentials = 0

    def _say(self, message: Message) -> Message:
        answer = self._pe.handle(_ROUTER, message)[0][1]
        assert not isinstance(answer, bytes), "a core's messages are not packed yet"
        if isinstance(answer, Fault):
            raise HostError(answer.text)
        return answer

    def step(self, heard: Section) -> Section:
        """Step on the events of the layer before; return this layer's."""
        assert self._pe.tick is not None  # it was loaded above
        batch = self._say(Bundle(self._pe.tick.number, (heard, self._own)))
        assert isinstance(batch, Batch)
        self._own = batch.sections[0]
        units = self._population.units
        self._events.append(np.bincount(np.frombuffer(self._own.keys, "<u4") % units, minlength=units).astype(np.uint32))
        ledger = np.frombuffer(self._own.ledger, "<u4")
        self._exponentials = int(ledger[2] // ledger[1])
        for projection in self._population.projections:
            active = np.count_nonzero(self._heard[projection.port], axis=0)
            weights = projection.weights
            before = np.concatenate([np.zeros(1, np.int64), np.cumsum(active[weights.columns])])
            rows = before[weights.extents[1:]] - before[weights.extents[:-1]]
            self._macs[projection.port].append(rows.reshape(-1, units).sum(axis=0).astype(np.uint32))
            self._elements[projection.port].append(int(active.sum()))
        return self._own

    def counts(self) -> LayerCounts:
        """Return the counts of all positions."""
        macs = {port: np.stack(rows) for port, rows in self._macs.items()}
        heard = {port: np.array(counts, np.uint32) for port, counts in self._elements.items()}
        return LayerCounts(events=np.stack(self._events), macs=macs, heard=heard, exponentials=self._exponentials)


def _sum_by_share(counts: U32, shares: list[U32]) -> I64:
    """Add up (positions, units) over the units of each share: (positions, shares)."""
    starts = np.cumsum([0, *(len(units) for units in shares[:-1])])
    return np.asarray(np.add.reduceat(counts[:, np.concatenate(shares)], starts, axis=1, dtype=np.int64), np.int64)
