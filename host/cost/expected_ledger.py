"""Ledgers of uniform chains of EGRU layers that are too large to be run: expected counts, for chips by the thousand.

All PEs hold as many units, all units as many weights and fire as often; chips are shared out to the layers in order, as
placements fill them. Counts are rounded so that a chip's sum is right to one event. They lack what chance adds: the busiest PE
is no busier than the mean, and prices of event-driven formats are low by that. One chip stands for all of its layer
(`Ledger.representatives`), so a machine of 34,560 chips has the ledger of a few.

Whether such shards fit a PE's SRAM is not checked. The vector or the extents of a port take 2 to 4 bytes for each unit
that it listens to, so that above some 20,000 to 40,000 units no format of ours holds a layer that hears all of another: what
larger ones cost is what they would if it did.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.cost.ledger import MACS, VISITED, Ledger, PopulationFacts, machine_fields
from host.cost.twins import twin
from host.errors import HostError
from models.kernels.egru import COUNTS, EXPONENTIALS_PER_UNIT, GATES, INPUT, RECURRENT
from models.network import F64, I64
from noc.chip import ChipSpec
from noc.machine import Machine

_PORT_NAMES = (INPUT, RECURRENT)
_TURN = 0.6180339887498949  # of the rounding from position to position: an irrational one favours no PE


@dataclass(frozen=True)
class UniformNetwork:
    """A uniform network of EGRU layers. `layers`: how many; `pes` in use on each chip; `units` of each PE; `weights` stored in a
    row of an input matrix and `recurrent_weights` in one of a recurrent matrix; `activity`: share of units with an event, and
    `input_activity` of the `input_units`.
    """

    layers: int
    pes: int
    units: int
    weights: int
    recurrent_weights: int
    activity: float
    input_units: int
    input_activity: float = 1.0
    format: str = "csr"
    lanes: int = 1


def expected_ledger(network: UniformNetwork, chip: ChipSpec, machine: Machine, positions: int) -> Ledger:
    """Return the expected ledger of `network` on all chips of `machine`.

    Raises HostError for fewer chips than layers, more PEs than a chip has, or chips that differ in cores that are down.
    """
    live = np.array(machine.live)
    if network.layers > len(live):
        raise HostError(f"expected ledger: {network.layers} layers need as many chips, there are {len(live)}")
    usable = chip.usable_pes(int(live[0]))
    if chip.down_cores:
        raise HostError("expected ledger: chips with cores down are not alike")
    if not 1 <= network.pes <= len(usable):
        raise HostError(f"expected ledger: {network.pes} PEs a chip; needs 1 to {len(usable)}")
    edges = [len(live) * n // network.layers for n in range(network.layers + 1)]
    representatives = np.full(machine.chips, -1, np.int64)
    classes: list[tuple[int, int]] = []  # (chip, layer) of those that stand for others
    for n in range(network.layers):
        # The host's chip is like no other.
        for chips in [live[:1], live[1 : edges[1]]] if n == 0 else [live[edges[n] : edges[n + 1]]]:
            if len(chips):
                representatives[chips] = chips[0]
                classes.append((int(chips[0]), n + 1))
    shards = len(classes) * network.pes
    layer = np.repeat([n for _, n in classes], network.pes)
    sizes = np.diff(edges) * network.pes * network.units
    ports = _ports(network, layer, sizes)
    ledger = Ledger(
        populations=_populations(network, sizes), outputs=(network.layers,),
        events=np.zeros((positions, shards), np.uint32), port_counts=np.zeros((positions, len(ports["shard"]), 2), np.uint32),
        input_events=np.full((positions, 1), round(network.input_activity * network.input_units) * network.lanes, np.uint32),
        stepped=np.full((positions, network.layers), network.lanes, np.uint32),
        per_lane={"units": np.full(shards, network.units), "exponentials": np.full(shards, EXPONENTIALS_PER_UNIT * network.units)},
        shards={"pe": np.arange(shards), "population": layer, "units": np.full(shards, network.units)},
        ports=ports, port_names=_PORT_NAMES,
        pes=tuple(pe._replace(chip=on) for on, _ in classes for pe in usable[: network.pes]),
        lanes=network.lanes, format=network.format, representatives=representatives,
        **machine_fields(chip, machine),
    )  # fmt: skip
    _count(ledger, network)
    return ledger


def _populations(network: UniformNetwork, sizes: I64) -> tuple[PopulationFacts, ...]:
    layers = [
        PopulationFacts(f"layer{n}", int(size), kernel="egru", start=n, words=1 + len(COUNTS) + 2 * len(_PORT_NAMES))
        for n, size in enumerate(sizes, start=1)
    ]
    return (PopulationFacts("input", network.input_units), *layers)


def _ports(network: UniformNetwork, layer: I64, sizes: I64) -> dict[str, I64]:
    """Return the table of the ports of shards of `layer`: each an input port and a recurrent one. HostError where a row has more
    weights than its source has units.
    """
    shard, late = np.repeat(np.arange(len(layer)), 2), np.tile([0, 1], len(layer))
    source = layer[shard] - 1 + late
    width = np.array([network.input_units, *sizes])[source]
    row_weights = np.where(late, network.recurrent_weights, network.weights)
    for n, port in enumerate(_PORT_NAMES):
        if not 0 <= int(row_weights[n]) <= int(width[late == n].min()):
            raise HostError(
                f"expected ledger: {int(row_weights[n])} weights in a row of {int(width[late == n].min())} {port} units"
            )
    rows, none = np.full(len(shard), GATES * network.units), np.zeros(len(shard), np.int64)
    table = {
        "shard": shard, "name": late, "source": source, "delay": late, "rows": rows, "weights": rows * row_weights,
        "width": width, "weight_bytes": np.full(len(shard), 4), "trace": none, "adds": none,
    }  # fmt: skip
    return {name: np.asarray(column, np.int64) for name, column in table.items()}


def _count(ledger: Ledger, network: UniformNetwork) -> None:
    """Write expected counts into a ledger."""
    ports, lanes = ledger.ports, network.lanes
    for position in range(ledger.positions):
        expected = np.full(len(ledger.shards["pe"]), network.activity) * network.units * lanes
        ledger.events[position] = _rounded(expected, position, network.pes)
        for late in (0, 1):
            if late and not position:
                continue  # nobody of its own layer has sent anything before
            of_port = ports["name"] == late
            activity = np.where(ports["source"][of_port] == 0, network.input_activity, network.activity)
            macs = _rounded(ports["weights"][of_port] * lanes * activity, position, network.pes)
            ledger.port_counts[position, of_port, MACS] = macs
    work = ledger.port_work
    visited = twin("formats", network.format).visited(work.macs, work.heard, work.weights * lanes, work.rows)
    ledger.port_counts[:, :, VISITED] = visited


def _rounded(each: F64, position: int, pes: int) -> I64:
    """Round numbers of (shards,) PEs, chip by chip, so that any run of PEs sums to the sum of its numbers within one."""
    numbers = each.reshape(-1, pes)
    sums = np.cumsum(numbers, axis=1) + (position * _TURN) % 1
    return np.diff(np.floor(sums), axis=1, prepend=np.floor((position * _TURN) % 1)).astype(np.int64).ravel()
