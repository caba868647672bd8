"""Adds up what the last layer says tick by tick, and makes frequencies and amplitudes of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from host.workloads.contract import Metric, Outputs, Progress
from host.workloads.retrieval import METRICS
from host.workloads.retrieval.results import Compared, frequencies
from host.workloads.retrieval.source import SnapshotSource
from host.workloads.section_events import sending_of
from models.network import F64, Network
from models.retrieval.grid import C64
from models.retrieval.network import from_units
from models.retrieval.scores import detected, nmse_db


class GridReadout:
    """The recovered grids of the snapshots of `source`, in steps of the last layer's K bits, beside what they are compared with."""

    def __init__(self, network: Network, source: SnapshotSource, compared: Compared) -> None:
        self._source, self._compared, self._done = source, compared, 0
        self._sending, self._layers = sending_of(network.populations[network.output], source.lanes), len(network.layers)
        self._sums = np.zeros((source.count, self._sending.units), np.float64)
        self._said = np.zeros((0, self._sending.units))  # of the latest snapshot, after each tick

    @property
    def answers(self) -> C64:
        """The grids (many, *cells) that came through."""
        return self._grids(self._sums[: self._done])

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take the K sections of a position."""
        (sections,) = outputs.values()
        steps = np.cumsum([self._sending.spread(section, self._source.lanes) for section in sections], axis=0, dtype=np.float64)
        for lane in range(self._source.lanes):
            number = self._source.snapshot_at(lane, position)
            if number is not None:
                self._said = steps[:, lane]
                self._sums[number] = self._said[-1]
                self._done += 1

    def progress(self) -> Progress:
        """Return how many snapshots came through, their errors, and the latest grid beside what is true of it."""
        return Progress(self._done, self._source.count, self._scores(), self._watch())

    def result(self) -> dict[str, Any]:
        """Return errors by SNR and by layer, frequencies, and how many numbers differ from the integer CNN's."""
        compared, answers = self._compared, self.answers
        steps = self._sums[: self._done].astype(np.int64)
        grids = {"recovered": answers, "filtered": compared.filtered, "truth": compared.truth}
        first = {name: None if grid is None else np.abs(grid[0]).tolist() for name, grid in grids.items()} if self._done else None
        return {
            "snapshots": self._done, "layers": self._layers, "bits": compared.bits,
            "round": "half-up" if compared.rounds else "floor",
            "weights": "int8" if compared.int8 else "float32", "samples": list(compared.model.grid.samples),
            "cells": list(compared.model.grid.cells), "by_snr": compared.rows(answers), "by_layer": compared.by_layer(self._done),
            "conversion_db": compared.conversion_db(answers), "values": steps.size, "differing": compared.differing(steps),
            "latency_ticks": (self._layers) * compared.bits + 1, "ticks_a_snapshot": compared.bits,
            "sweep": compared.sweep(self._done), "first": first, "frequencies": frequencies(answers),
        }  # fmt: skip

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:  # noqa: ARG002 - a run's own figures have its price
        """Return errors and detection."""
        metrics = self._scores()
        metrics.append(METRICS["conversion"]._replace(value=self._compared.conversion_db(self.answers)))
        return metrics

    def snapshot(self) -> bytes:
        """Return the counts and the sums so far, and what came of the latest snapshot tick by tick."""
        head = [self._done, len(self._said)]
        return json.dumps(head).encode() + b"\n" + self._sums.tobytes() + np.ascontiguousarray(self._said).tobytes()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        head, _, raw = snapshot.partition(b"\n")
        self._done, ticks = json.loads(head)
        numbers = np.frombuffer(raw, np.float64)
        self._sums[...] = numbers[: self._sums.size].reshape(self._sums.shape)
        self._said = numbers[self._sums.size :].reshape(ticks, -1).copy()

    def _scores(self) -> list[Metric]:
        truth = self._compared.truth
        if truth is None or not self._done:
            return []
        answers = self.answers
        hits = np.array([detected(x, t) for x, t in zip(answers, truth, strict=False)]).sum(axis=0)
        note = f"{hits[0]} of {hits[1]} targets"
        return [
            METRICS["nmse"]._replace(value=nmse_db(answers, truth[: self._done])),
            METRICS["detection"]._replace(value=100 * int(hits[0]) / max(int(hits[1]), 1), note=note),
        ]

    def _grids(self, sums: F64) -> C64:
        """Return sums of what the last layer said, (many, units), as grids (many, *cells)."""
        model = self._compared.model
        return model.of_steps(sums, model.layers - 1, self._compared.bits) if self._compared.int8 else from_units(sums, model.grid)

    def _watch(self) -> dict[str, Any]:
        """Return the latest snapshot's grids, as sizes: the matched filter, what came out bit by bit, and the truth if it is known.

        Of three dimensions the first is gone: its largest size.
        """
        if not len(self._said):
            return {}
        number, compared, bits = self._done - 1, self._compared, len(self._said)
        grids = {"matched filter": compared.filtered[number]}
        for first in sorted({-(-bits // 4), -(-bits // 2), bits}):
            grids[f"after {first} bit{'s' * (first > 1)}"] = self._grids(self._said[first - 1 : first])[0]
        if compared.truth is not None:
            grids["truth"] = compared.truth[number]
        sizes = {name: np.abs(grid) for name, grid in grids.items()}
        rows = {name: (size.max(axis=0) if size.ndim == 3 else size).tolist() for name, size in sizes.items()}
        return {"number": self._done, "of": self._source.count, "grids": rows}
