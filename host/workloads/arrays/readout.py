"""Takes what the outputs of a network send, and makes arrays of it: a row a position, behind the head that the model has."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from host.workloads.arrays.lane_plan import LanePlan
from host.workloads.contract import Metric, Outputs, Progress, SaveRow, output_labels
from host.workloads.section_events import sending_of
from models.event_numbers import values_of
from models.network import Array, Network

Answer = Callable[[Array], Array]
"""What the host makes of an output's numbers: (lanes, units) -> (lanes, features)."""
OUTPUTS = "outputs"


class ArrayReadout:
    """The answers of the sequences of `plan`; without an `answer` they are the numbers of each output as it sends them, or the
    values that those stand for where they have a scale.

    They are kept in memory: 4 bytes a number and position, which is known before the run begins.
    """

    saves = (OUTPUTS,)

    def __init__(self, network: Network, plan: LanePlan, answer: Answer | None = None) -> None:
        self._plan, self._answer, self._done = plan, answer, 0
        self._sending = {n: sending_of(network.populations[n], plan.lanes) for n in network.outputs}
        self._names = {n: network.populations[n].name for n in network.outputs}
        self._populations, self._labels = network.populations, output_labels(network)
        self._save: SaveRow | None = None
        self._by_output: dict[int, list[Array]] = {}
        for n, sending in self._sending.items():
            ticks = () if sending.ticks == 1 else (sending.ticks,)
            row = np.zeros((1, *ticks, sending.units), sending.dtype or "|u1")
            row = values_of(network.populations[n], row)
            row = row if answer is None else answer(row)
            self._by_output[n] = [np.zeros((length, *row.shape[1:]), row.dtype) for length in plan.lengths]

    @property
    def outputs(self) -> list[Array]:
        """The answers of each sequence, (time, features); of a network with several outputs, those of the first."""
        return next(iter(self._by_output.values()))

    @property
    def by_output(self) -> Mapping[str, list[Array]]:
        """The answers of each sequence, by output: (time, features), or (time, ticks, features) where it takes several ticks."""
        return {self._names[n]: arrays for n, arrays in self._by_output.items()}

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand every row of an answer to `save`, too."""
        self._save = save

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take what all outputs say at a position."""
        places = [self._plan.at(lane, position) for lane in range(self._plan.lanes)]
        self._done += sum(place is not None for place in places)
        for n, sections in outputs.items():
            sending = self._sending[n]
            ticks = [sending.spread(section, self._plan.lanes) for section in sections]
            rows = ticks[0] if sending.ticks == 1 else np.stack(ticks, axis=1)
            rows = values_of(self._populations[n], rows)
            rows = rows if self._answer is None else self._answer(rows)
            for lane, place in enumerate(places):
                if place is not None:
                    self._by_output[n][place[0]][place[1]] = rows[lane]
                    if self._save is not None:
                        self._save(OUTPUTS, self._labels[n], *place, rows[lane])

    def progress(self) -> Progress:
        """Return how many vectors came through."""
        return Progress(self._done, sum(self._plan.lengths))

    def result(self) -> dict[str, Any]:
        """Return how many vectors came through."""
        return {"vectors": self._done}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - nothing is scored
        """Return nothing: what the answers are worth, their reader knows."""
        return []

    def snapshot(self) -> bytes:
        """Return the count and the answers so far."""
        arrays = [array for of_output in self._by_output.values() for array in of_output]
        return json.dumps(self._done).encode() + b"\n" + b"".join([array.tobytes() for array in arrays])

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        head, _, raw = snapshot.partition(b"\n")
        self._done, at = json.loads(head), 0
        for of_output in self._by_output.values():
            for array in of_output:
                array[...] = np.frombuffer(raw, array.dtype, array.size, at).reshape(array.shape)
                at += array.nbytes
