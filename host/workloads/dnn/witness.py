"""`--verify`: every tensor of a run beside the plain integer reference, and the first number that differs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from host.workloads.contract import Feed
from models.dnn.integer import IntegerNetwork
from models.dnn.reference import run_network
from models.network import Array
from noc.packet import Section


class TensorWitness:
    """Runs the reference on each sample of `inputs`, int8 (samples, *shape) by name, and compares."""

    def __init__(self, network: IntegerNetwork, inputs: Mapping[str, Array]) -> None:
        self._network, self._inputs = network, inputs
        self.compared = 0
        self._difference: tuple[int, str] | None = None

    def see_input(self, feed: Feed) -> None:
        """Take a position's input, which is none."""

    def see_events(self, section: Section) -> None:
        """Take a section, which has no events."""

    def see_tensors(self, sample: int, tensors: Mapping[int, Array]) -> None:
        """Compare the tensors of a sample, by the number of the operation that makes them."""
        need = run_network(self._network, {name: array[sample] for name, array in self._inputs.items()}).tensors
        for number, have in tensors.items():
            one = self._network.operations[number]
            want = need[one.output].reshape(have.shape)
            self.compared += have.size
            bad = np.flatnonzero(have.reshape(-1) != want.reshape(-1))
            if len(bad) and (self._difference is None or sample < self._difference[0]):
                at = int(bad[0])
                run, reference = int(have.reshape(-1)[at]), int(want.reshape(-1)[at])
                where = f"sample {sample}, {one.name} ({one.kind}), number {at}"
                self._difference = sample, f"first difference at {where}: run {run}, reference {reference}"
                return

    def finish(self) -> dict[str, Any]:
        """Return what was compared and the first difference, if any."""
        return {"compared": self.compared, "difference": self._difference[1] if self._difference else None}
