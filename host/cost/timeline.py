"""Timeline of a priced run: when each shard went through its stages at each position, and each PE's profiling timer.

A shard waits for its inputs, if it hears any, computes, and hands its messages over; all but the last then wait until the
layer's messages have arrived. A PE that runs several layers side by side (`pipelined`) takes them in ascending order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host.cost.ledger import Ledger, RunLedger
from host.cost.priced import PricedPositions
from models.network import F64, I64, U32

_TIMER_MASK = (1 << 32) - 1


@dataclass(frozen=True)
class Timeline:
    """Seconds of modelled time since the run began, for the positions from `first`.

    `stages` in the order in which a PE goes through them. Stage `stages[i]` of a turn runs from `edges_s[position, turn, i]` to
    `[..., i + 1]`, so `edges_s` is (positions, turns, stages + 1). `began_s` and `arrived_s` (positions, layers' exchanges): when
    a layer began, and when the last of its messages arrived, on whichever chip; from its last edge until then a PE waits for the
    others. `links_s` (positions, layers' exchanges) how much of that, at its end, is for links between chips.
    """

    stages: tuple[str, ...]
    edges_s: F64
    began_s: F64
    arrived_s: F64
    links_s: F64
    first: int = 0


def layer_exchange_of(run: RunLedger) -> I64:
    """Return which of the layers' exchanges each turn takes part in, (turns,): a column of what a price says of layers."""
    return np.asarray(np.searchsorted(run.exchanges.layers, run.turns.exchange), np.int64)


def timeline(ledger: Ledger, priced: PricedPositions, first: int = 0, last: int | None = None) -> Timeline:
    """Return when each stage of each shard began and ended, for the positions `first` to `last` (exclusive, None: all) of a ledger.

    48 bytes a shard and position.
    """
    span = slice(first, last)
    column = layer_exchange_of(ledger)
    seconds = priced.shard_cycles[span] / priced.settings["clock_hz"]
    began, wait, transit, links = (array[span] for array in (priced.began_s, priced.wait_s, priced.transit_s, priced.links_s))
    stages = (priced.stages[-1], *priced.stages[:-1])
    edges = np.empty((*seconds.shape[:2], len(stages) + 1))
    edges[:, :, 0] = began[:, column] + _behind(ledger, priced, span)
    edges[:, :, 1] = edges[:, :, 0] + wait[:, column]
    edges[:, :, 2:] = edges[:, :, 1:2] + np.cumsum(seconds, axis=2)
    arrived = np.zeros_like(began)
    for n in range(began.shape[1]):
        arrived[:, n] = edges[:, column == n, -1].max(axis=1) + transit[:, n] + links[:, n]
    start = span.indices(ledger.positions)[0]
    return Timeline(stages=stages, edges_s=edges, began_s=began, arrived_s=arrived, links_s=links, first=start)


def _behind(ledger: Ledger, priced: PricedPositions, span: slice) -> F64:
    """Return how long each turn waits for its PE's other shards in the same tick, (positions, turns) seconds."""
    exchanges, column, first = ledger.exchanges, layer_exchange_of(ledger), span.indices(ledger.positions)[0]
    late = np.zeros(priced.shard_cycles[span].shape[:2])
    if priced.settings["schedule"] == "sequential":
        return late if priced.ahead_s is None else priced.ahead_s[span]
    busy = priced.shard_cycles.sum(axis=2) / priced.settings["clock_hz"]
    pe, tick = ledger.shards["pe"][ledger.turns.shard], exchanges.tick[ledger.turns.exchange]
    for turn in range(len(pe)):
        for other in np.flatnonzero((pe == pe[turn]) & (np.arange(len(pe)) < turn)):
            between, left = divmod(int(tick[turn] - tick[other]), exchanges.interval)
            if left:
                continue  # never in one tick
            # In this turn's tick of position p, the other works on position p + between.
            there = np.arange(first, first + len(late)) + between
            inside = (there >= 0) & (there < ledger.positions)
            late[inside, turn] += busy[there[inside], other] + priced.wait_s[there[inside], column[other]]
    return late


def timer(line: Timeline, timer_hz: float) -> U32:
    """Return what each PE's decrementing 32-bit profiling timer shows at its stage boundaries, shaped as `edges_s`.

    The paper profiles with a 1 MHz timer (section IV-D; chip number `timer_hz`). It starts at 2**32 - 1 when the run
    begins and wraps around after 71 minutes.
    """
    ticks = np.floor(line.edges_s * timer_hz).astype(np.int64)
    return ((_TIMER_MASK - ticks) & _TIMER_MASK).astype(np.uint32)
