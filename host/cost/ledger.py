"""The ledger of a run: what every shard did at every sequence position, in integers, and where the shards were.

It is small enough for long runs: one uint32 a shard and position (events), two a port (multiply-accumulates, stored weights
visited), and once a run what does not depend on activity. Entries are keyed by sequence position, not by tick, so a run that
went through the populations as a wavefront can be priced as one that did not. Packets, flits and bytes are not here: they
follow from events, placement and the price's message mode. Who hears whom is read from the ports, here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from host.cost.exchanges import Exchanges, Turns
from host.cost.formats import PortCounts
from host.cost.twins import in_use
from models.network import I64, U32, inputs_among, layers_among
from models.numerics import payload_bytes
from noc.chip import ChipSpec, PeId
from noc.machine import Machine
from noc.mesh_routes import LINKS as MESH_LINKS

SHARD_COLUMNS = ("pe", "population", "units")
PORT_COLUMNS = ("shard", "name", "source", "delay", "rows", "weights", "width", "weight_bytes", "trace", "adds")
KERNEL_COLUMNS = ("channels", "places")
NIBBLES = "nibbles"
PEER_COLUMNS = ("shard", "pe", "chip")
PORT_COUNTS, PEER_COUNTS = ("macs", "visited"), ("messages", "message_bytes", "reads", "read_bytes")
MACS, VISITED = range(2)  # of a port's counts
MESSAGES, BYTES, READS, READ_BYTES = range(4)  # of a peer's
PART_BYTES = 96 << 20
"""About what the arrays of a price take at once; a short run is priced in one part."""
LEAST_AT_ONCE = 128  # positions; below, what a part costs by itself is more than what its positions do
_COUNT_BYTES, _LINK_BYTES = 70, 40  # of those arrays, a position: for each count, and each link of a mesh in an exchange


class PopulationFacts(NamedTuple):
    """What a ledger knows of a population; an input has no `kernel`. `start` and `ticks` are its schedule's; `words` is how long
    the row is that each of its shards sends the host at each tick. `beside`: the layer whose PEs it shares, unit by unit, or -1.
    """

    name: str
    units: int
    kernel: str = ""
    payload: str = "float32"
    dense: bool = False
    start: int = 0
    ticks: int = 1
    words: int = 0
    beside: int = -1


@dataclass(frozen=True, kw_only=True)
class RunLedger:
    """What a run's ledger says without its positions, which are read in parts: in memory (`Ledger`) or from a file (`LedgerFile`).

    `populations` by number, `outputs` among them, and `interval`, the fewest ticks between positions. A shard is a
    population's units on one PE; its *turns* are the ticks that a position takes it, one for most (`turns`).

    `per_lane` maps names of what kernels counted and does not depend on activity to (shards,) int64, for each lane and turn.

    `shards` maps each name of `SHARD_COLUMNS` to one int64 a shard: the index of its PE in `pes`, its population, its units.
    `ports` maps each of `PORT_COLUMNS` to one a port: its shard, its name (in `port_names`), the population it hears and how many
    positions late, its rows and stored weights, how many units it listens to, bytes of a weight, whether it keeps a trace, and
    whether its sums are added to those of the port (each 1 or 0). `chip` holds the preset and the numbers
    that were overridden.

    Where any port keeps a convolution's kernel there are `KERNEL_COLUMNS`, 0 for the others: how many output channels an event
    meets at most, and how many outputs the window around its own has; its stored weights are elements of the matrix for which
    one of the kernel stands.

    Where any port's weights are of four bits there is a column `NIBBLES`: 1 for those ports, else 0.

    `peers` maps each of `PEER_COLUMNS` to one int64 a peer of a shard: the shard, the peer's index in `pes` (-1 for a DRAM or the
    host), and its chip (-1 for the host).

    `chips` is how many chips the machine has; `down_chips` and `down_links`, (chip, direction), are what it lacks. Where
    chips do the same to the last integer, one of them stands for all: `representatives` (chips,) int64 names the chip of `pes`
    that stands for each chip, -1 for one without a PE in use; None, as in every recorded run, where each stands for itself.
    """

    populations: tuple[PopulationFacts, ...]
    outputs: tuple[int, ...]
    interval: int = 1
    per_lane: Mapping[str, I64] = field(default_factory=dict)
    shards: Mapping[str, I64]
    ports: Mapping[str, I64]
    port_names: tuple[str, ...]
    peers: Mapping[str, I64] = field(default_factory=lambda: {name: np.zeros(0, np.int64) for name in PEER_COLUMNS})
    pes: tuple[PeId, ...]
    lanes: int
    format: str
    chip: Mapping[str, Any] = field(default_factory=dict)
    chips: int = 1
    down_chips: tuple[int, ...] = ()
    down_links: tuple[tuple[int, int], ...] = ()
    representatives: I64 | None = None

    @property
    def positions(self) -> int:
        """How many sequence positions went through every layer."""
        raise NotImplementedError

    @property
    def executions(self) -> int:
        """How many positions of sequences were run: an idle lane is none."""
        raise NotImplementedError

    @property
    def has_transfers(self) -> bool:
        """Whether any shard of the run sent a transfer."""
        raise NotImplementedError

    def part(self, first: int, last: int) -> Ledger:
        """Return the positions from `first` to `last` (exclusive), with what those before them sent that they hear."""
        raise NotImplementedError

    def parts(self, margin: int = 0) -> Iterator[Part]:
        """Yield all positions in order, `at_once` at a time, each time with up to `margin` more on either side."""
        positions, at_once = self.positions, self.at_once
        for first in range(0, max(positions, 1), at_once):
            yield self.between(first, min(first + at_once, positions), margin)

    def between(self, first: int, last: int, margin: int = 0) -> Part:
        """Return the positions from `first` to `last` (exclusive), with up to `margin` more on either side."""
        begin, end = max(first - margin, 0), min(last + margin, self.positions)
        return Part(self.part(begin, end), first, first - begin, end - last)

    @cached_property
    def at_once(self) -> int:
        """How many positions are read and priced at a time: as many as keep a price's arrays at about `PART_BYTES`.

        It follows from what is in this class alone, so that a ledger in memory and one in a file are priced in the same parts.
        """
        counts = len(self.turns.shard) + len(self.ports["shard"]) * 2 + len(self.peers["shard"]) * 4
        meshes = len(self.exchanges) * len(set(self.chip_of.tolist())) * len(MESH_LINKS) * 4  # loads and ends by two tables
        return max(PART_BYTES // (_COUNT_BYTES * counts + _LINK_BYTES * meshes), LEAST_AT_ONCE)

    @cached_property
    def most_delay(self) -> int:
        """How many positions late any port hears at most."""
        return int(self.ports["delay"].max(initial=0))

    @cached_property
    def inputs(self) -> tuple[int, ...]:
        """The numbers of the populations whose events the host sends."""
        return inputs_among(self.populations)

    @cached_property
    def layers(self) -> tuple[int, ...]:
        """The numbers of the populations that run on PEs."""
        return layers_among(self.populations)

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """The names of the layers."""
        return tuple(self.populations[number].name for number in self.layers)

    @property
    def twins(self) -> list[str]:
        """Whose cost twins price the run: its weight format's and its neuron models' (`twins.in_use`)."""
        return in_use(self.format, (self.populations[number].kernel for number in self.layers))

    @cached_property
    def exchanges(self) -> Exchanges:
        """What is sent at a position: by each input at once, by each layer once a tick of its step."""
        return Exchanges.of([(one.kernel != "", one.start, one.ticks) for one in self.populations], self.interval)

    @cached_property
    def turns(self) -> Turns:
        """The ticks of each shard's step, shard by shard."""
        return Turns.of(self.shards["population"], self.exchanges)

    @cached_property
    def chip_of(self) -> I64:
        """The chip of each PE, (PEs,)."""
        return np.array([pe.chip for pe in self.pes], np.int64)

    @cached_property
    def representative_of(self) -> I64:
        """`representatives`, also where it is None: (chips,), -1 for chips without a PE in use."""
        if self.representatives is not None:
            return self.representatives
        representative_of = np.full(self.chips, -1, np.int64)
        representative_of[self.chip_of] = self.chip_of
        return representative_of

    @cached_property
    def chips_represented(self) -> I64:
        """How many chips each chip stands for, (chips,): at most 1 in every recorded run."""
        return np.bincount(self.representative_of[self.representative_of >= 0], minlength=self.chips)

    @cached_property
    def multiplicity(self) -> I64:
        """How many PEs of the machine each PE stands for, (PEs,): 1 in every recorded run."""
        return np.asarray(self.chips_represented[self.chip_of], np.int64)

    def kernel_of(self, shard: int) -> str:
        """Return the neuron model of a shard."""
        return self.populations[int(self.shards["population"][shard])].kernel

    def facts(self) -> dict[str, Any]:
        """Return the fields of this class, for a ledger of other positions of the same run."""
        return {entry.name: getattr(self, entry.name) for entry in fields(RunLedger)}

    def share(self, other: Ledger) -> Ledger:
        """Give a ledger of the same run what has been worked out here; return it."""
        names = (name for name, value in vars(RunLedger).items() if isinstance(value, cached_property))
        vars(other).update({name: getattr(self, name) for name in names} | {"has_transfers": self.has_transfers})
        return other


class Part(NamedTuple):
    """Positions of a run: those of `ledger`, but for the first `before` and the last `behind`, which belong to its neighbours.
    `first` is the number of the first that is its own.
    """

    ledger: Ledger
    first: int
    before: int
    behind: int

    @property
    def own(self) -> slice:
        """Which of the ledger's positions are the part's own."""
        return slice(self.before, self.ledger.positions - self.behind)

    @property
    def own_ledger(self) -> Ledger:
        """The ledger of those alone."""
        return self.ledger.part(self.own.start, self.own.stop) if self.before or self.behind else self.ledger


@dataclass(frozen=True, kw_only=True)
class Ledger(RunLedger):
    """What a run did, or a part of it: every position in memory.

    `events` (positions, turns) uint32; `input_events` (positions, inputs) uint32; `port_counts` (positions, ports, 2) uint32:
    multiply-accumulates, and stored weights visited; `stepped` (positions, layers) uint32: how many lanes each layer stepped,
    which are all but those that were idle. `by_turn` maps names of what kernels counted and depends on activity to (positions,
    turns) uint32.

    `transfers` (positions, peers, 4) uint32 is what a shard sent each of `peers` after its step at the position before, up to its
    step at this one: messages and their bytes, READs and the bytes that those asked for. What is sent after the last step is in
    no row.

    `before` (positions, populations) int64 is what each population sent at the positions just before the first, none where a run
    begins: some of it is heard late.
    """

    events: U32
    input_events: U32
    port_counts: U32
    stepped: U32
    by_turn: Mapping[str, U32] = field(default_factory=dict)
    transfers: U32 = field(default_factory=lambda: np.zeros((0, 0, 4), np.uint32))
    before: I64 = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def positions(self) -> int:
        """How many sequence positions went through every layer."""
        return len(self.events)

    @cached_property
    def executions(self) -> int:
        """How many positions of sequences were run: an idle lane is none."""
        return int(self.stepped.max(axis=1, initial=0).sum(dtype=np.int64))

    @cached_property
    def has_transfers(self) -> bool:
        """Whether any shard of the run sent a transfer."""
        return bool(self.transfers.any())

    def part(self, first: int, last: int) -> Ledger:
        """Return the positions from `first` to `last` (exclusive), with what those before them sent that they hear."""
        if not first and last >= self.positions:
            return self
        span = slice(first, last)
        return self.share(Ledger(
            **self.facts(), events=self.events[span], input_events=self.input_events[span],
            port_counts=self.port_counts[span], stepped=self.stepped[span],
            by_turn={name: counts[span] for name, counts in self.by_turn.items()},
            transfers=self.transfers[span] if self.transfers.size else self.transfers, before=self.sent_before(first),
        ))  # fmt: skip

    def sent_before(self, position: int) -> I64:
        """Return what was sent at the last positions before one, as many as are heard late, (positions, populations)."""
        begin = max(position - self.most_delay, 0)
        sent = self._sent_at(slice(begin, position))
        if len(sent) < self.most_delay and len(self.before):
            sent = np.concatenate([self.before, sent])[-self.most_delay :]
        return sent

    @cached_property
    def shard_events(self) -> I64:
        """How many events each shard had, (positions, shards), over all its turns."""
        return self.turns.sum_by_shard(self.events)

    @cached_property
    def sent(self) -> I64:
        """How many events each population sent at each position, (positions, populations)."""
        return self._sent_at(slice(None))

    def _sent_at(self, span: slice) -> I64:
        of_machine = self.turns.sum_by_shard(self.events[span]) * self.multiplicity[self.shards["pe"]]
        sent = np.zeros((len(of_machine), len(self.populations)), np.int64)
        sent[:, list(self.inputs)] = self.input_events[span]
        for number in self.layers:
            sent[:, number] = of_machine[:, self.shards["population"] == number].sum(axis=1)
        return sent

    @cached_property
    def port_work(self) -> PortCounts:
        """What the shards did and hold at each of their ports, a port a column."""
        ports, sources = self.ports, self.ports["source"]
        lanes = self.stepped[:, np.searchsorted(self.layers, self.shards["population"])[ports["shard"]]]
        before = self.before[:, sources] if len(self.before) else np.zeros((0, len(sources)), np.int64)
        return PortCounts(
            macs=self.port_counts[:, :, MACS], visited=self.port_counts[:, :, VISITED],
            heard=_late(self.sent[:, sources], ports["delay"], before), lanes=lanes.astype(np.int64),
            phases=np.array([one.ticks for one in self.populations], np.int64)[sources],
            rows=ports["rows"], gates=ports["rows"] // np.maximum(self.shards["units"][ports["shard"]], 1),
            weights=ports["weights"], width=ports["width"], weight_bytes=ports["weight_bytes"],
            value_bytes=np.array([payload_bytes(one.payload) for one in self.populations], np.int64)[sources],
            dense=np.array([one.dense for one in self.populations], bool)[sources], traced=ports["trace"], adds=ports["adds"],
            **{name: ports.get(name, np.zeros_like(ports["rows"])) for name in (*KERNEL_COLUMNS, NIBBLES)},
        )  # fmt: skip

    @property
    def units_stepped(self) -> I64:
        """How many units step, over all lanes, (positions, turns)."""
        lanes = self.stepped[:, np.searchsorted(self.layers, self.shards["population"])]
        return np.asarray((lanes * self.shards["units"])[:, self.turns.shard], np.int64)


def _late(sent: I64, delays: I64, before: I64) -> I64:
    """Return what ports hear, (positions, ports), of what their sources sent: so many positions later; `before` the first, too."""
    heard, most = sent.copy(), int(delays.max(initial=0))
    head = np.zeros((most, sent.shape[1]), np.int64)
    head[most - len(before) :] = before
    for delay in set(delays.tolist()) - {0}:
        late = delays == delay
        heard[:, late] = np.concatenate([head[most - delay :, late], sent[:, late]])[: len(sent)]
    return heard


def machine_fields(chip: ChipSpec, machine: Machine) -> dict[str, Any]:
    """Return the fields of a ledger that say on what a run was."""
    return {
        "chip": {"preset": chip.name, "facts": {name: fact.value for name, fact in chip.facts.items() if fact.grade == "user"}},
        "chips": machine.chips, "down_chips": tuple(sorted(machine.down_chips)),
        "down_links": tuple(sorted(link for link in chip.down_links if link[0] < machine.chips)),
    }  # fmt: skip
