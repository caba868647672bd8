"""What a run of a DNN was: its image, its PEs, and what its answers are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.cost.scheduled_layers import layer_rows
from host.mapping.dnn_image import DnnImage
from host.workloads.dnn.scores import right_of
from models.network import Array
from noc.chip import ChipSpec


@dataclass(frozen=True, kw_only=True)
class Setting:
    """`workers`: names of the workers' PEs in their order; `dram`: the DRAM that has the tensors. `count` samples, their `labels`
    (samples,) or (samples, *places) where they are known, and `about` them. `float_classes`: what the float network says of each,
    where that was asked; `names` of the classes, maybe none. `pes`: the names of all PEs, as the mapping has them.
    """

    image: DnnImage
    workers: Sequence[str]
    scheduler: str
    pes: Sequence[str]
    dram: str
    count: int
    labels: Array | None
    about: str
    float_classes: Array | None
    names: Sequence[str]

    @property
    def steps(self) -> int:
        """Layers of all passes."""
        return len(self.image.layers) * self.image.passes

    def layer_name(self, step: int) -> str:
        """Return the name of a step's layer."""
        return self.image.layers[step % len(self.image.layers)].tiles.name

    def worker_of(self, pe: str) -> int | None:
        """Return a worker's number; None for the scheduler."""
        return self.workers.index(pe) if pe in self.workers else None

    def worker_name(self, number: int) -> str:
        """Return how a message calls the worker that is the scheduler's peer of this number."""
        return f"{self.workers[number]} (worker {number})" if number < len(self.workers) else "a worker"

    def float_accuracy(self, done: Array) -> float | None:
        """Return in percent how many of these samples the float network gets right."""
        if self.labels is None or self.float_classes is None or not len(done):
            return None
        right, judged = right_of(self.float_classes[done], self.labels[done])
        return 100 * right / judged if judged else None

    def float_result(self, classes: Array, done: Array) -> dict[str, Any] | None:
        """Return of how many samples the float network and the run say the same, and its accuracy."""
        if self.float_classes is None or not len(done):
            return None
        agree = int((self.float_classes[done] == classes[done]).reshape(len(done), -1).all(axis=1).sum())
        return {"agree": agree, "accuracy": self.float_accuracy(done)}

    def rows(self, ledger: RunLedger, chip: ChipSpec, table: CostTable) -> list[dict[str, Any]]:
        """Return a row of each layer: what it is, and what its steps did and cost."""
        costs = layer_rows(ledger, chip, table, len(self.image.layers))
        return [{**_facts(self.image, number), **cost} for number, cost in enumerate(costs)]


def _facts(image: DnnImage, number: int) -> Mapping[str, Any]:
    layer = image.layers[number]
    tiles = layer.tiles
    return {
        "layer": tiles.name, "operator": tiles.operation.kind, "shape": str(tiles.tiling.work), "tile": tiles.tiling.shape,
        "parts": tiles.tiling.parts, "tiles": tiles.tiling.tiles, "rounds": layer.rounds, "pes": layer.workers,
        "sram_bytes": layer.memory_bytes,
    }  # fmt: skip
