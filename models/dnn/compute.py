"""An integer network computed by its operators, one after another and whole: what tiles on PEs must add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.dnn.integer import IntegerNetwork, IntegerOperation
from models.network import Array, ModelError
from models.operators import operator


@dataclass(frozen=True, kw_only=True)
class ComputedNetwork:
    """Tensors by name; and, by operation, sums of more than 24 bits and values that int8 has no place for, where there were any."""

    tensors: Mapping[str, Array]
    overflowed: Mapping[str, int]
    saturated: Mapping[str, int]


def compute_network(network: IntegerNetwork, inputs: Mapping[str, Array]) -> ComputedNetwork:
    """Return every tensor of a network for one sample; ModelError, with the operation, where a sum overflows and may not.

    `inputs` has an array for each of its inputs, of that tensor's shape and type.
    """
    tensors = {**network.constants, **{name: _input(network, inputs, name) for name in network.inputs}}
    overflowed: dict[str, int] = {}
    saturated: dict[str, int] = {}
    for one in network.operations:
        tensors[one.output], overflows, cuts = operator(one.kind).compute(
            one, [tensors[name] for name in one.inputs], network.tensors[one.output].shape, network.overflow
        )
        if overflows:
            _check_overflow(network, one, overflows)
            overflowed[one.name] = overflows
        if cuts:
            saturated[one.name] = cuts
    return ComputedNetwork(tensors=tensors, overflowed=overflowed, saturated=saturated)


def _input(network: IntegerNetwork, inputs: Mapping[str, Array], name: str) -> Array:
    need, have = network.tensors[name], inputs.get(name)
    if have is None:
        raise ModelError(f"input {name!r}: is missing; have {', '.join(inputs) or 'none'}")
    if have.shape != need.shape or have.dtype != need.dtype:
        raise ModelError(f"input {name!r}: needs {need.dtype} of {need.shape}, has {have.dtype} of {have.shape}")
    return have


def _check_overflow(network: IntegerNetwork, one: IntegerOperation, overflows: int) -> None:
    if network.overflow == "error":
        raise ModelError(
            f"operation {one.name} ({one.kind}): {overflows:,} sums need more than the accumulator's 24 bits; "
            "quantise with --overflow saturate or wrap, or with smaller weights"
        )
