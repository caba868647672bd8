"""`Shard`: one PE's slice of a population, and its form on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from models.network import U32, Array, ModelError


class PortShape(NamedTuple):
    """What the memory and the code of a projection follow from, at one PE.

    `rows` of the shard, `gates` rows a unit; `source_units`, stored `nonzeros`, `lanes`; whether it keeps a `trace`; the
    numerics of `weight` and `payload`; whether the source sends `dense` sections; ticks (`phases`) that it takes for a
    position; `slots`, positions held at a time. A format that keeps a convolution's kernel has its `window`, the numbers of a
    `KernelWindow`, and as `nonzeros` how many elements of the matrix the kernel stands for. `early`: its product is made when a
    section comes, so that what it heard need not be kept until the step. `blocks` in which a format stores weights, where it does,
    and the `offset` of the first row in the first of them. A trace of numbers is heard `trace_shift` bits to the left.
    """

    rows: int
    gates: int
    source_units: int
    nonzeros: int
    lanes: int
    trace: bool = False
    weight: str = "float32"
    payload: str = "float32"
    dense: bool = False
    phases: int = 1
    slots: int = 1
    early: bool = False
    blocks: int = 0
    offset: int = 0
    trace_shift: int = 0
    window: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShardPort:
    """One projection's slice: port, the population it hears and how late, shape, weights, and trace (0: the events)."""

    name: str
    source: int
    delay: int
    shape: PortShape
    arrays: Mapping[str, Array]
    trace: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A PE's slice of a population: the units it owns (ascending checkpoint indices) and what it needs to step them.

    `lanes` is the number of independent sequences that run side by side (the batch). Event keys of a population are
    lane * width + unit, so that one ascending run of keys serves any batch. `ports` are in the order in which sums of one port
    are added. The shard steps `wait` ticks after the first section of a position of population `trigger` came, `ticks` times;
    `interval` ticks or more lie between positions.
    """

    population: int
    kernel: str
    format: str
    width: int
    lanes: int
    units: U32
    ports: tuple[ShardPort, ...]
    vectors: Mapping[str, Array]
    params: Mapping[str, float]
    payload: str = "float32"
    trigger: int = 0
    wait: int = 0
    ticks: int = 1
    interval: int = 1

    def to_parts(self) -> list[Any]:
        """Return the shard as nested lists, strings, numbers and bytes (little-endian arrays), ready for the wire."""
        ports = [[p.name, p.source, p.delay, [*p.shape[:-1], list(p.shape.window)], _pack(p.arrays), p.trace] for p in self.ports]
        head = [self.population, self.kernel, self.format, self.width, self.lanes, self.payload]
        times = [self.trigger, self.wait, self.ticks, self.interval]
        return [head, times, _pack({"units": self.units}), ports, _pack(self.vectors), dict(self.params)]

    @classmethod
    def from_parts(cls, parts: Any) -> Shard:
        """Rebuild a shard from `to_parts`; ModelError where the parts have another form."""
        try:
            head, times, units, ports, vectors, params = parts
            population, kernel, form, width, lanes, payload = head
            trigger, wait, ticks, interval = times
            return cls(
                population=population, kernel=kernel, format=form, width=width, lanes=lanes, payload=payload,
                units=_unpack(units)["units"], trigger=trigger, wait=wait, ticks=ticks, interval=interval,
                ports=tuple(
                    ShardPort(name=n, source=s, delay=d, shape=_port_shape(*shape), arrays=_unpack(arrays), trace=float(trace))
                    for n, s, d, shape, arrays, trace in ports
                ),
                vectors=_unpack(vectors), params={str(k): float(v) for k, v in params.items()},
            )  # fmt: skip
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError, SyntaxError) as error:
            raise ModelError(f"shard: not in the form of Shard.to_parts ({error})") from error


def _port_shape(*numbers: Any) -> PortShape:
    return PortShape._make((*numbers[:-1], tuple(numbers[-1])))


def _pack(arrays: Mapping[str, Array]) -> list[list[Any]]:
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    return [[name, a.dtype.str, list(a.shape), a.tobytes()] for name, a in little.items()]


def _unpack(parts: Any) -> dict[str, Array]:
    return {name: cast(Array, np.frombuffer(raw, dtype).reshape(shape)) for name, dtype, shape, raw in parts}
