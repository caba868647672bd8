"""A NIR graph as neurons and the maps between them: everything without a state is folded.

What a node gives is a sum of maps of what neurons and inputs sent, each so many steps before, and of numbers that are there
at every step (biases). Edges into one node add up. Neurons keep their nodes; `nir_loops.py` says which edge of a loop is late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from models.convolution import Convolution
from models.foreign.nir_file import NEURONS, Node, shown
from models.foreign.nir_flat import Flat
from models.foreign.nir_maps import Identity, Kernel, Map, applied, dense_map, only, plus, pool_map, scale_map, then
from models.foreign.nir_shapes import Shape, Shapes, groups_of, map_of, spread, units_of, window_of
from models.network import F64, Array, ModelError

Source = tuple[str, int]  # whose events, and how many steps before
_MOST_DELAY = 4096  # steps; each is a slot of a ring in SRAM


@dataclass(frozen=True)
class Sum:
    """What a node gets: maps of what sources sent, and the numbers of every step (units,), None for none."""

    parts: Mapping[Source, Map] = field(default_factory=dict)
    constant: F64 | None = None


@dataclass(frozen=True)
class Folded:
    """Neurons by name with what each gets, and for each Output what it gives; `who` begins every complaint."""

    flat: Flat
    shapes: Shapes
    neurons: Mapping[str, Sum]
    outputs: Mapping[str, Sum]

    def units(self, name: str) -> int:
        """Return the units of a node."""
        return units_of(self.shapes.gives[name])


def fold(flat: Flat, shapes: Shapes, dt: float | None, late: Mapping[tuple[str, str], int]) -> Folded:
    """Return a graph folded; ModelError, by a node's name, for what cannot be.

    `dt` is the length of a step in the unit of the file, for delays; None: unknown. `late`: steps that edges of the file cost,
    beyond those between neurons.
    """
    folder = _Folder(flat, shapes, dt, late)
    neurons = {n.name: folder.heard(n) for n in flat.nodes.values() if n.kind in NEURONS}
    outputs = {n.name: folder.heard(n) for n in flat.nodes.values() if n.kind == "Output"}
    return Folded(flat, shapes, neurons, outputs)


class _Folder:
    """Finds what each node gives, once."""

    def __init__(self, flat: Flat, shapes: Shapes, dt: float | None, late: Mapping[tuple[str, str], int]) -> None:
        self._flat, self._shapes, self._dt, self._late = flat, shapes, dt, late
        self._given: dict[str, Sum] = {}

    def heard(self, node: Node) -> Sum:
        """Return the sum of what the nodes before one give."""
        parts: dict[Source, Map] = {}
        constant: F64 | None = None
        for name in self._flat.before[node.name]:
            given, steps = self._gives(name), self._late.get((name, node.name), 0)
            if steps and given.constant is not None:
                late = f"{shown(name)} comes {steps} steps late with a bias"
                raise ModelError(f"{self._who(node)}: {late}, which would begin late too; needs the bias behind the delay")
            for (source, delay), part in given.parts.items():
                at = source, delay + steps
                parts[at] = plus(self._who(node), parts[at], part) if at in parts else part
            if given.constant is not None:
                constant = given.constant if constant is None else constant + given.constant
        return Sum(parts, constant)

    def _gives(self, name: str) -> Sum:
        """Return what a node gives, and before it what those before it give: without recursion, for chains may be long."""
        waiting = [name]
        on_the_way: set[str] = set()
        while waiting:
            now = waiting[-1]
            node = self._flat.nodes[now]
            if now in self._given:
                waiting.pop()
            elif node.kind in NEURONS or node.kind == "Input":
                self._given[now] = Sum({(now, 0): Identity(units_of(self._shapes.gives[now]))})
            else:
                missing = [before for before in self._flat.before[now] if before not in self._given]
                if not missing:
                    self._given[now] = self._passed(node, self.heard(node))
                    on_the_way.discard(now)
                elif now in on_the_way:
                    raise ModelError(f"{self._who(node)}: lies in a loop without a neuron; needs one in every loop")
                else:
                    on_the_way.add(now)
                    again = on_the_way.intersection(missing)
                    if again:
                        raise ModelError(f"{self._who(node)}: lies in a loop without a neuron; needs one in every loop")
                    waiting += missing
        return self._given[name]

    def _who(self, node: Node) -> str:
        return f"{self._flat.who}: {node}"

    def _passed(self, node: Node, heard: Sum) -> Sum:
        """Return what a node without a state makes of what it gets."""
        if node.kind == "Delay":
            return self._delayed(node, heard)
        own, bias = self._map(node), self._bias(node)
        who = self._who(node)
        parts = {source: then(who, part, own) for source, part in heard.parts.items()}
        constant = applied(who, own, heard.constant) if heard.constant is not None else None
        if bias is not None and np.any(bias):
            constant = bias if constant is None else constant + bias
        return Sum(parts, constant)

    def _map(self, node: Node) -> Map:
        takes, gives = self._shapes.takes[node.name], self._shapes.gives[node.name]
        if node.kind in ("Affine", "Linear"):
            weight = self._finite(node, "weight")
            weight = weight.reshape(weight.shape[-2:])
            return dense_map(weight, units_of(takes) // weight.shape[1])
        if node.kind in ("Conv1d", "Conv2d"):
            weight, window = self._finite(node, "weight"), window_of(self._flat, node)
            kernel = weight[:, :, None] if node.kind == "Conv1d" else weight
            return Kernel(Convolution(
                np.ascontiguousarray(kernel), map_of(node, takes), stride=window.stride, padding=window.padding,
                dilation=window.dilation, groups=groups_of(self._flat, node),
            ))  # fmt: skip
        if node.kind.endswith("Pool2d"):
            return self._pool(node, takes)
        if node.kind == "Scale":
            scale = spread(self._finite(node, "scale"), takes)
            if scale is None:
                raise ModelError(f"{self._who(node)}: scale does not fit {takes}")
            is_line = len(takes) == 2  # channels and length
            return scale_map(scale, (*takes[:1], 1, *takes[1:]) if is_line else takes)
        return Identity(units_of(gives))

    def _pool(self, node: Node, takes: Shape) -> Map:
        window, shape = window_of(self._flat, node), map_of(node, takes)
        windows = window.kernel[0] * window.kernel[1]
        scale = 1 / windows if node.kind == "AvgPool2d" else 1.0
        if any(window.padding) and node.kind == "AvgPool2d":
            why = "whether zeros outside count for the mean differs"
            raise ModelError(f"{self._who(node)}: padding {window.padding[:2]}: {why}; needs 0")
        if window.kernel == window.stride and not any(window.padding):
            return pool_map(shape, window.kernel, scale)
        kernel = np.full((shape[0], 1, *window.kernel), scale)  # windows that overlap, or leave gaps
        return Kernel(Convolution(kernel, shape, stride=window.stride, padding=window.padding, groups=shape[0]))

    def _bias(self, node: Node) -> F64 | None:
        if "bias" not in node.params:
            return None
        bias, gives = self._finite(node, "bias").reshape(-1), self._shapes.gives[node.name]
        if node.kind in ("Conv1d", "Conv2d"):
            channels = np.broadcast_to(bias, (gives[0],)) if bias.size == 1 else bias
            return np.repeat(channels, units_of(gives[1:]))
        outs = gives[-1]
        return np.tile(np.broadcast_to(bias, (outs,)) if bias.size == 1 else bias, units_of(gives) // outs)

    def _delayed(self, node: Node, heard: Sum) -> Sum:
        delay = spread(self._finite(node, "delay"), self._shapes.takes[node.name])
        if delay is None:
            raise ModelError(f"{self._who(node)}: delay does not fit {self._shapes.takes[node.name]}")
        steps = self._steps(node, delay)
        if heard.constant is not None and np.any(heard.constant[steps > 0]):
            raise ModelError(f"{self._who(node)}: delays a bias, which would begin late; needs the bias behind the delay")
        parts: dict[Source, Map] = {}
        for (source, before), part in heard.parts.items():
            for late in np.unique(steps).tolist():
                at, own = (source, before + late), only(self._who(node), part, steps == late)
                parts[at] = plus(self._who(node), parts[at], own) if at in parts else own
        return Sum(parts, heard.constant)

    def _steps(self, node: Node, delay: F64) -> Array:
        """Return delays in steps; ModelError unless each is a whole number of them."""
        if not np.any(delay):
            return np.zeros(len(delay), np.int64)
        if self._dt is None:
            raise ModelError(f"{self._who(node)}: how many steps its delay takes is not in the file; choose the step with --dt")
        steps = delay / self._dt
        whole = np.rint(steps)
        wrong = np.flatnonzero((np.abs(steps - whole) > 1e-4 * np.maximum(np.abs(steps), 1)) | (whole < 0) | (whole > _MOST_DELAY))
        if wrong.size:
            at = int(wrong[0])
            have = f"{delay[at]:g} at {at}, which is {steps[at]:g} steps of {self._dt:g}"
            raise ModelError(f"{self._who(node)}: delay needs whole numbers of steps from 0 to {_MOST_DELAY}; has {have}")
        return whole.astype(np.int64)

    def _finite(self, node: Node, key: str) -> F64:
        value = node.params[key].astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(value))
        if bad.size:
            raise ModelError(f"{self._who(node)}: {key} is {value.flat[int(bad[0])]} at {int(bad[0])}; needs finite numbers")
        return value


def is_direct(what: Sum) -> str | None:
    """Return whose numbers a sum is, as they are and of the same step; None where it is anything else."""
    if len(what.parts) != 1 or what.constant is not None:
        return None
    ((source, delay), part), *_ = what.parts.items()
    return source if delay == 0 and isinstance(part, Identity) else None
