"""Ledgers of uniform networks that are too large to be run: expected counts, for chips by the thousand.

All PEs hold as many units, all units as many weights and fire as often; chips are shared out to the layers in order, as
placements fill them. Counts are rounded so that a chip's sum is right to one event. They lack what chance adds: the busiest PE
is no busier than the mean, and prices of event-driven formats are low by that. One chip stands for all of its layer
(`Ledger.representatives`), so a machine of 34,560 chips has the ledger of a few.

Whether such shards fit a PE's SRAM is not checked. The vector or the extents of a port take 2 to 4 bytes for each unit
that it listens to, so that above some 20,000 to 40,000 units no format of ours holds a layer that hears all of another: what
larger ones cost is what they would if it did.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from host.cost.ledger import COUNTS, Ledger, machine_fields
from host.cost.twins import twin
from host.errors import HostError
from models.kernels.egru import EXPONENTIALS_PER_UNIT, GATES
from models.network import F64, I64, U32
from noc.chip import ChipSpec
from noc.machine import Machine

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
    shards, rows = len(classes) * network.pes, GATES * network.units
    layer = np.repeat([n for _, n in classes], network.pes)
    sizes = np.diff(edges) * network.pes * network.units
    widths = {"input": np.array([network.input_units, *sizes[:-1]])[layer - 1], "recurrent": sizes[layer - 1]}
    row_weights = {"input": network.weights, "recurrent": network.recurrent_weights}
    for port, width in widths.items():
        if not 0 <= row_weights[port] <= int(width.min()):
            raise HostError(f"expected ledger: {row_weights[port]} weights in a row of {int(width.min())} {port} units")
    weights = {port: np.full(shards, rows * row_weights[port], np.int64) for port in row_weights}
    table = {
        "pe": np.arange(shards), "layer": layer, "units": np.full(shards, network.units),
        **{f"rows_{port}": np.full(shards, rows) for port in weights}, **{f"weights_{port}": weights[port] for port in weights},
        **{f"width_{port}": widths[port] for port in weights},
        "trace_input": np.zeros(shards), "exponentials": np.full(shards, EXPONENTIALS_PER_UNIT * network.units * network.lanes),
    }  # fmt: skip
    inputs = round(network.input_activity * network.input_units) * network.lanes
    ledger = Ledger(
        counts=_counts(network, layer, weights, positions),
        input_events=np.full(positions, inputs, np.uint32),
        table={name: np.asarray(column, np.int64) for name, column in table.items()},
        pes=tuple(pe._replace(chip=on) for on, _ in classes for pe in usable[: network.pes]),
        layers=tuple(f"layer{n}" for n in range(1, network.layers + 1)),
        input_units=network.input_units, lanes=network.lanes, format=network.format, representatives=representatives,
        **machine_fields(chip, machine),
    )  # fmt: skip
    for counts in ledger.ports.values():
        stored = counts.weights * network.lanes
        counts.visited[...] = twin("formats", network.format).visited(counts.macs, counts.heard, stored, counts.rows)
    return ledger


def _counts(network: UniformNetwork, layer: I64, weights: Mapping[str, I64], positions: int) -> U32:
    """Return (positions, shards, 5) counts of shards of `layer`, but for the weights that they visit."""
    counts = np.zeros((positions, len(layer), len(COUNTS)), np.int64)
    recurrent = np.full(len(layer), network.activity)
    activity = {"input": np.where(layer == 1, network.input_activity, network.activity), "recurrent": recurrent}
    for position in range(positions):
        counts[position, :, 0] = _rounded(recurrent * network.units * network.lanes, position, network.pes)
        for port, share in activity.items():
            if position or port == "input":  # nobody of its own layer has sent anything before
                macs = _rounded(weights[port] * network.lanes * share, position, network.pes)
                counts[position, :, COUNTS.index(f"macs_{port}")] = macs
    return counts.astype(np.uint32)


def _rounded(each: F64, position: int, pes: int) -> I64:
    """Round numbers of (shards,) PEs, chip by chip, so that any run of PEs sums to the sum of its numbers within one."""
    numbers = each.reshape(-1, pes)
    sums = np.cumsum(numbers, axis=1) + (position * _TURN) % 1
    return np.diff(np.floor(sums), axis=1, prepend=np.floor((position * _TURN) % 1)).astype(np.int64).ravel()
