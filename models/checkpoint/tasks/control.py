"""A Q-network's task in a checkpoint: what the metadata say of it; it has no tensors of its own (`models/control/policy.py`)."""

from __future__ import annotations

from reprlib import repr as short
from typing import Any

from models.checkpoint.graph import Graph, ends_of
from models.checkpoint.model import Model
from models.checkpoint.tasks import Facts
from models.checkpoint.tensorfile import Tensors
from models.control.policy import Policy
from models.network import Array, ModelError

WORD = "a control task"
PART = "control"
MOST_TICKS = 4096
_KEYS = {"environment", "scale", "actions", "ticks", "record"}


def facts_of(who: str, model: Model) -> dict[str, Any] | None:
    """Return what the metadata say of a Q-network; None where the model is none."""
    del who
    policy = model.parts.get(PART)
    if policy is None:
        return None
    assert isinstance(policy, Policy)
    return {**vars(policy), "scale": list(policy.scale), "record": dict(policy.record)}


def tensors_of(who: str, model: Model) -> dict[str, Array]:
    """Return no tensors."""
    del who, model
    return {}


def parse(who: str, facts: Any) -> Facts:
    """Check the types of what the metadata say."""
    if not isinstance(facts, dict) or facts.keys() != _KEYS:
        raise ModelError(f"{who}: control needs the keys {', '.join(sorted(_KEYS))}, has {short(facts)}")
    scale = facts["scale"]
    if not isinstance(scale, list) or not scale or not all(type(v) in (int, float) and 0 < v < 1e30 for v in scale):
        raise ModelError(f"{who}: control scale needs numbers above 0, has {short(scale)}")
    for name, most in (("actions", 1 << 16), ("ticks", MOST_TICKS)):
        if type(facts[name]) is not int or not 1 <= facts[name] <= most:
            raise ModelError(f"{who}: control {name} {short(facts[name])} cannot be, needs a number from 1 to {most}")
    for name, kind in (("environment", str), ("record", dict)):
        if type(facts[name]) is not kind:
            raise ModelError(f"{who}: control {name} needs {kind.__name__}, has {short(facts[name])}")
    return facts


def need(tensors: Tensors, facts: Facts, graph: Graph) -> None:
    """Raise ModelError unless the network's input is a pair of units a number and its output a unit an action."""
    inputs, units = ends_of(tensors.who, graph, WORD)
    if inputs != 2 * len(facts["scale"]) or units != facts["actions"]:
        need = f"{2 * len(facts['scale'])} input units and {facts['actions']} output units"
        raise ModelError(f"{tensors.who}: control needs {need}, the network has {inputs} and {units}")


def fields_of(tensors: Tensors, facts: Facts) -> dict[str, Any]:
    """Return the field of `Model` that a Q-network fills."""
    del tensors
    policy = Policy(facts["environment"], tuple(map(float, facts["scale"])), facts["actions"], facts["ticks"], facts["record"])
    return {"parts": {PART: policy}}
