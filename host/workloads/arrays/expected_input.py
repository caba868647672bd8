"""What each input of a network takes, and arrays held against it: width, numbers, lengths. Everything wrong gets one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from host.errors import HostError
from models.event_numbers import is_scaled
from models.network import Array, Network
from models.numerics import PAYLOADS

_DTYPES = {payload: np.dtype(kind or "|u1") for payload, kind in PAYLOADS.items()}


class ExpectedInput(NamedTuple):
    """What an input takes: vectors of `units` numbers, of the payload that it sends on; float32 where it scales them itself."""

    name: str
    units: int
    payload: str = "float32"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of its numbers: a 0 or 1 of uint8 for spikes."""
        return _DTYPES[self.payload]

    def takes(self, rows: Array) -> bool:
        """Tell whether an array's numbers are what the input sends, each of them, as they are."""
        if rows.dtype != self.dtype:
            return False
        if rows.dtype.kind == "f":
            return bool(np.isfinite(rows).all())
        return self.payload != "spike" or bool((rows <= 1).all())

    @property
    def numbers(self) -> str:
        """Its numbers in words."""
        return "numbers that are 0 or 1 (spikes)" if self.payload == "spike" else f"numbers that {self.dtype.name} holds"


def expected_inputs(network: Network) -> list[ExpectedInput]:
    """Return what each input of a network takes, in their order."""
    inputs = (network.populations[number] for number in network.inputs)
    return [ExpectedInput(one.name, one.units, "float32" if is_scaled(one) else one.payload) for one in inputs]


def check_inputs(who: str, expected: Sequence[ExpectedInput], inputs: Mapping[str, Sequence[Array]]) -> dict[str, list[Array]]:
    """Return `inputs`, for each input one (time, units) array a sequence, as contiguous arrays of the type that it sends.

    HostError, one line that begins with `who`, for an input that is missing or unknown, another shape or width, a number that is
    not finite or that the type does not hold, and inputs of unequal lengths.
    """
    names = [one.name for one in expected]
    if missing := [name for name in names if name not in inputs]:
        raise HostError(
            f"{who}: has no array for input {missing[0]!r}; needs {', '.join(names)}, has {', '.join(inputs) or 'none'}"
        )
    if more := [name for name in inputs if name not in names]:
        raise HostError(f"{who}: has an array {more[0]!r}, which is no input; needs {', '.join(names)}")
    checked = {one.name: _checked(who, one, inputs[one.name]) for one in expected}
    lengths = {name: [len(array) for array in arrays] for name, arrays in checked.items()}
    first = lengths[names[0]]
    for name, others in lengths.items():
        if len(others) != len(first):
            raise HostError(f"{who}: {names[0]} has {len(first)} sequences and {name} has {len(others)}; needs as many")
        for number, (length, other) in enumerate(zip(first, others, strict=True)):
            if length != other:
                raise HostError(f"{who}: sequence {number}: {names[0]} has {length} vectors and {name} has {other}; needs as many")
    return checked


def _checked(who: str, expected: ExpectedInput, arrays: Sequence[Array]) -> list[Array]:
    if not len(arrays):
        raise HostError(f"{who}: {expected.name} has no sequence; needs at least 1")
    checked = []
    for number, array in enumerate(map(np.asarray, arrays)):
        where = f"{who}: {expected.name}" + (f", sequence {number}" if len(arrays) > 1 else "")
        if array.ndim != 2 or array.shape[1] != expected.units:
            have = f"{array.ndim} dimensions {array.shape}" if array.ndim != 2 else f"vectors of {array.shape[1]}"
            raise HostError(f"{where}: needs (time, {expected.units}) for this network, has {have}")
        if not len(array):
            raise HostError(f"{where}: has no vectors; needs at least 1")
        if array.dtype.kind not in "fiub":
            raise HostError(f"{where}: needs numbers, has {array.dtype}")
        checked.append(_converted(where, expected, array))
    return checked


def _converted(where: str, expected: ExpectedInput, array: Array) -> Array:
    """Return the array in the input's type; HostError where that would change a number."""
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        count = int((~finite).sum())
        raise HostError(f"{where}: {count:,} number{' is' if count == 1 else 's are'} not finite, first {_first(~finite)}")
    with np.errstate(over="ignore", invalid="ignore"):
        converted = np.ascontiguousarray(array.astype(expected.dtype))
    wrong = converted != array
    if expected.payload == "spike":
        wrong |= converted > 1
    if wrong.any():
        have = f"{int(wrong.sum())} others, first {_first(wrong)}: {array[wrong][0].item()!r}"
        hint = "; say how to round: x.astype('float32')" if expected.payload == "float32" else ""
        raise HostError(f"{where}: needs {expected.numbers}, has {have}{hint}")
    return converted


def _first(wrong: Array) -> str:
    time, unit = np.argwhere(wrong)[0]
    return f"at vector {time}, unit {unit}"
