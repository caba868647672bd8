"""A DNN with what is known of it: the float graph, the integer network, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.dnn.integer import IntegerNetwork
from models.dnn.prepare import PreparedGraph


@dataclass(frozen=True, kw_only=True)
class DnnModel:
    """`prepared` is the float graph, None where a file keeps the integer network alone; `network` None until it is quantised."""

    prepared: PreparedGraph | None = None
    network: IntegerNetwork | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
