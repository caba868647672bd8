"""A DNN with what is known of it: the float graph, the integer network, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.dnn.integer import IntegerNetwork
from models.dnn.prepare import PreparedGraph
from models.dnn.sample_set import SampleSet


@dataclass(frozen=True, kw_only=True)
class DnnModel:
    """`prepared` is the float graph, None where a file keeps the integer network alone; `network` None until it is quantised.

    `test_set`: what it is scored on where a user brings nothing, if it carries that.
    """

    prepared: PreparedGraph | None = None
    network: IntegerNetwork | None = None
    test_set: SampleSet | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the inputs, the batch in front, by name; of the integer network, where there is one."""
        if self.network is not None:
            return {name: self.network.tensors[name].shape for name in self.network.inputs}
        assert self.prepared is not None
        return {one.name: self.prepared.shapes[one.name] for one in self.prepared.graph.inputs}

    @property
    def output(self) -> tuple[int, ...]:
        """The shape of the first output, the batch in front."""
        if self.network is not None:
            return self.network.tensors[self.network.outputs[0]].shape
        assert self.prepared is not None
        return self.prepared.shapes[self.prepared.graph.outputs[0]]
