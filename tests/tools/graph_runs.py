"""Random input for any network, and runs on it in this process: to the end, or with routers and PEs that are lost on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from host.mapping.placement import Placement
from host.run.run import Run
from host.run.verify import Witness
from host.workloads.contract import Feed, Outputs, Progress, Source
from host.workloads.lane_sets import pack_lanes
from models.network import Network
from models.numerics import PAYLOADS
from noc.columns import Columns, MakeColumns
from tests.tools.losses import run_with_losses


class RandomInput(Source):
    """Feeds each input random events of its payload; sequences and segments begin, and lanes are idle, as chances say."""

    def __init__(
        self, network: Network, lanes: int, positions: int, seed: int = 1, *, active: float = 0.5, fresh: float = 0.0,
        reset: float = 0.0, idle: float = 0.0, alike: bool = False,
    ) -> None:  # fmt: skip
        rng, self.positions = np.random.default_rng(seed), positions
        self._feeds = []
        for position in range(positions):
            drawn = rng.random((3, 1 if alike else lanes)) < [
                [1.0 if position == 0 else fresh],
                [reset],
                [idle if position else 0.0],
            ]
            begin, resets, sleeps = np.broadcast_to(drawn, (3, lanes))
            flags, sets = pack_lanes(begin & ~sleeps, resets & ~sleeps, sleeps)
            events = {n: _events(rng, network, n, active, sleeps) for n in network.inputs}
            self._feeds.append(Feed(position, flags, events, sets))

    def feed_at(self, position: int) -> Feed:
        return self._feeds[position]


def _events(rng: Any, network: Network, number: int, active: float, sleeps: Any) -> tuple[bytes, bytes]:
    population, shape = network.populations[number], (len(sleeps), network.populations[number].units)
    numbers = {
        "float32": lambda: rng.normal(0, 0.5, shape).astype(np.float32), "int8": lambda: rng.integers(-127, 128, shape, np.int8),
        "int32": lambda: rng.integers(-(2**31), 2**31, shape, np.int32), "spike": lambda: np.ones(shape, np.uint8),
        "count": lambda: rng.integers(1, 9, shape, np.uint16),
    }[population.payload]() * (rng.random(shape) < active)  # fmt: skip
    numbers[sleeps] = 0
    if population.dense:
        return b"", numbers.tobytes()
    keys = np.flatnonzero(numbers).astype("<u4")
    return keys.tobytes(), numbers.reshape(-1)[keys].tobytes() if PAYLOADS[population.payload] else b""


class Noted:
    """A readout that notes what it is told: positions with the sections of each output, and what it observes."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Mapping[int, list[tuple[int, bytes, bytes]]]]] = []
        self.observed: list[tuple[int, int, Mapping[str, Any]]] = []

    def answer(self, position: int, outputs: Outputs) -> None:
        told = {n: [(section.flags, section.keys, section.values) for section in sections] for n, sections in outputs.items()}
        self.answers.append((position, told))

    def observe(self, position: int, layer: int, fields: Mapping[str, Any]) -> None:
        self.observed.append((position, layer, {name: array.copy() for name, array in fields.items()}))

    def progress(self) -> Progress:
        return Progress(len(self.answers), 0)


def run_graph(
    placement: Placement, source: Source, *, losses: Sequence[int] = (), shuffle: int | None = None,
    late: Callable[[int], bool] = lambda _: False, probes: Mapping[int, Sequence[str]] | None = None, snapshot: int = 0,
    make_columns: MakeColumns = Columns,
) -> tuple[Run, Noted, list[int]]:  # fmt: skip
    """Run to the end and compare with the plain reference; all routers and PEs are lost after each number of messages in `losses`.

    `snapshot`: of how many positions (`Run`); `make_columns`: the routers'. Return the run, its readout, and the positions that it
    went on from.
    """
    readout, witness = Noted(), Witness(placement)
    run = Run(
        placement, source, readout, late=late, witness=witness, repeatable=bool(losses), snapshot_positions=snapshot, probes=probes
    )
    went_on = run_with_losses(run, losses, shuffle, make_columns=make_columns)
    assert witness.finish()["difference"] is None
    assert run.conservation()["wrong"] == []
    return run, readout, went_on
