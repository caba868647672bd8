"""What a workload is: a source that feeds the network, a readout that takes its answers, and the metrics that come of them.

A workload is a folder beside this file (`host/workloads/registry.py` finds it by its name). A *position* is the network's
clock: one vector of events of every input and lane; a *lane* is one of the sequences that run side by side.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:  # whoever only asks for a workload's name or options needs no network
    from host.mapping.placement import Placement
    from host.options import RunOptions
    from models.network import Array, Network
    from noc.dram import Dram
    from noc.packet import Section


class Feed(NamedTuple):
    """One position's input for all lanes.

    `flags` and `lanes` are those of its sections, as `pack_lanes` makes them (`host/workloads/lane_sets.py`); `events`: for each
    input that has any, its keys and values as they go into packets, none of them in an idle lane.
    """

    position: int
    flags: int
    events: Mapping[int, tuple[bytes, bytes]]
    lanes: bytes = b""


Outputs: TypeAlias = "Mapping[int, Sequence[Section]]"
"""What a network answers at one position: for each output its sections, one a tick that the position takes there."""


def output_labels(network: Network) -> dict[int, str]:
    """Return what saved arrays of each output are called: `outputs` where there is one, else as the population is."""
    several = len(network.outputs) > 1
    return {n: network.populations[n].name if several else "outputs" for n in network.outputs}


def only_section(outputs: Outputs) -> Section:
    """Return the answer of a network with one output, which takes one tick a position."""
    ((section,),) = outputs.values()
    return section


SaveRow: TypeAlias = "Callable[[str, str, int, int, Array], None]"
"""Keeps a row of what a readout computed: (a name of `--save`, of what, sequence, position in it, row)."""


class Command(NamedTuple):
    """A command of `launch.py` that runs a workload: its line in the help, the options that it sets, and whether a model must be
    named.
    """

    text: str
    presets: Mapping[str, Any] = {}
    needs_model: bool = False


class Metric(NamedTuple):
    """One figure of merit: what the summary, the page, the monitor, sweeps and NeuroBench's block show of a run.

    `better` is "low", "high" or "" (neither). A share has the unit "%" and a value in percent. `value` is None while it is unknown,
    and in a report also where no number holds it; in a `Progress` it is infinite then. `note` is a short text to stand beside it.
    """

    name: str
    label: str
    unit: str
    digits: int
    better: str
    value: float | None = None
    note: str = ""


TIME, ENERGY, PER_ENERGY, STEPS = "time", "energy", "per energy", "steps"
"""How a metric follows from a price: in proportion to a run's time, to its energy, or to one over that; or from the time of each
step, so that it is known at the run's own price alone.
"""


class Progress(NamedTuple):
    """How far a run is, in positions of sequences (`done` of `total`), its metrics so far, and what the workload's panel draws."""

    done: int
    total: int
    metrics: Sequence[Metric] = ()
    shown: Mapping[str, Any] = {}


class Source:
    """Makes the input of each position. One whose lanes run a sequence each says how many positions there are, and what
    each is fed; a source that knows more overrides the rest.
    """

    positions: int  # to run in all, as far as that is known
    _next = 0

    def feed_at(self, position: int) -> Feed:
        """Return a position's input; each is asked for once, in order."""
        raise NotImplementedError

    def next(self) -> Feed | None:
        """Return the next position's input; None while it depends on answers that are not in yet."""
        if self.exhausted():
            return None
        self._next += 1
        return self.feed_at(self._next - 1)

    def exhausted(self) -> bool:
        """Tell whether every position has been handed out."""
        return bool(self._next >= self.positions)

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (sequence, position in it) that a lane runs at a position; None where it runs none: its events count nothing.

        A sequence's number says which it is: it begins with the same input in a batch of any size.
        """
        return side_by_side(lane, position)

    def snapshot(self) -> bytes:
        """Return all that is needed to go on from here in another process."""
        return json.dumps(self._next).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of a source that was made from the same options."""
        self._next = json.loads(snapshot)


class DramRead(NamedTuple):
    """Bytes of a DRAM that a readout wants to see, by the DRAM's name."""

    dram: str
    address: int
    size_bytes: int


class ReadsDrams(Protocol):
    """A readout that looks into DRAMs, beside the ticks and uncounted."""

    def wanted(self) -> Iterable[DramRead]:
        """Return what it wants to see now and has not asked for before."""

    def take_bytes(self, read: DramRead, content: bytes) -> None:
        """Take what it wanted."""

    def forget_reads(self) -> None:
        """Want again what has been asked for and has not come: other processes go on, from an earlier tick."""


class Readout(Protocol):
    """Takes the outputs' events and makes an answer of them.

    Where the job has `probes`, it also has `observe(position, layer, fields)`, which takes what is probed of a layer at one
    tick of a position: field -> array whose last dimension is the layer's units.

    One that looks at layers has `watched`, their numbers, and `see_events(section)`, which takes each of their sections before
    `answer` takes the output's. One with `begin_step_times()` is asked, before `result` and `metrics`, for what takes how long
    each position of a priced run lasts on the chip, in order from the first, some at a time. A run that goes on in other processes
    has a report made more than once.

    One that computes more than a network sends has `saves`, names of `--save` for it, and `save_rows_to(save)`: from then on it
    hands each row to that `SaveRow`. Outputs that a readout saves are its answers instead of the numbers that outputs send.

    One whose PEs tell the host more than events has `hear(transfers)`, which takes what came for the host at a tick, before the
    sections of that tick, and returns the words that end the run, or None. With `keeps(section)` it says which sections count:
    those of other positions are in no ledger. `stream` is its own fingerprint of the run, with the methods of `EventStream`
    (`host/run/event_hash.py`). It may look into DRAMs (`ReadsDrams`).

    One whose PEs do something else than send events has `pe_shares()`, from 0 to 1 for each PE in the order of the mapping, which
    the floor plan shows in place of their activity.

    One whose result says what parts of a run cost has `see_ledger(ledger, chip, table, alive)`, which is called before its metrics
    and result are asked for at the end; it calls `alive` now and then.
    """

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take what all outputs say at a position; positions come in order."""

    def progress(self) -> Progress:
        """Return how far the run is."""

    def result(self) -> dict[str, Any]:
        """Return the workload's own block of the report, which its folder documents; only its `host_s` is measured by a clock.

        A `note` in it says what to know when reading it, and is joined to the job's.
        """

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:
        """Return the figures of merit; `cost` is the report's `modelled` block, None where the run was not priced."""

    def snapshot(self) -> bytes:
        """Return all that is needed to go on from here in another process."""

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot of a readout that was made from the same options."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """All that a run needs.

    `inputs` are the files and folders that were read, by their part (checkpoint, text ...); `facts` join the report's `result`;
    `host_table` is the (rows, columns) of a table that the host multiplies, for NeuroBench; `shown` goes once to the
    monitor, for the workload's panel. `probes`: layer -> fields of its neuron model that the host reads at every step; they are
    no part of the model, take no memory of it and change no event. `fills`: chip -> (address, bytes) that its DRAM holds before
    the first tick, for PEs that exchange transfers with it. `witness`: what compares a run with a reference of the workload's own,
    with the methods of `Witness` (`host/run/verify.py`); None: each event, with that of the neuron models.
    """

    options: RunOptions
    placement: Placement
    source: Source
    readout: Readout
    dram: Dram
    title: str
    note: str = ""
    inputs: Mapping[str, Path] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    host_table: tuple[int, int] | None = None
    shown: Mapping[str, Any] = field(default_factory=dict)
    probes: Mapping[int, Sequence[str]] = field(default_factory=dict)
    fills: Mapping[int, Sequence[tuple[int, bytes]]] = field(default_factory=dict)
    witness: Any = None


def side_by_side(lane: int, position: int) -> tuple[int, int]:
    """Tell that each lane runs one sequence, from the first position of the run to the last."""
    return lane, position
