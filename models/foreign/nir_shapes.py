"""Shapes along the edges of a NIR graph: what each node takes and gives, found from the inputs on and checked at every edge.

Shapes have no batch dimension; one of 1 in front is a batch that an exporter left, and is let pass. Numbers lie in C order.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from models.foreign.nir_file import NEURONS, Node, shown
from models.foreign.nir_flat import THROUGH, Flat
from models.network import Array, ModelError

Shape = tuple[int, ...]
MOST_UNITS = 1 << 24


@dataclass
class Shapes:
    """What each node takes and gives; `notes` are for the user."""

    takes: dict[str, Shape] = field(default_factory=dict)
    gives: dict[str, Shape] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Window:
    """How a convolution or a pool moves over a map: (height, width) pairs; `padding` is top, left, bottom, right."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]

    def sizes(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of what comes out of a map; below 1 where the kernel does not fit."""
        top, left, bottom, right = self.padding
        spans = ((height + top + bottom, 0), (width + left + right, 1))
        reach = [self.dilation[axis] * (self.kernel[axis] - 1) + 1 for axis in (0, 1)]
        rows, columns = ((size - reach[axis]) // self.stride[axis] + 1 for size, axis in spans)
        return rows, columns


def shapes_of(flat: Flat) -> Shapes:
    """Return the shapes of a graph; ModelError where two nodes disagree, by their names, and where no edge reaches a node."""
    shapes, rest = Shapes(), deque[str]()
    source: dict[str, str] = {}
    for node in flat.of_kind("Input"):
        shapes.gives[node.name] = shapes.takes[node.name] = _input_shape(flat, node)
        rest.append(node.name)
    if not rest:
        raise ModelError(f"{flat.who}: has no node of type Input")
    while rest:
        name = rest.popleft()
        given = shapes.gives[name]
        for after in flat.after[name]:
            node = flat.nodes[after]
            if after not in shapes.takes:
                shapes.takes[after] = given
                shapes.gives[after] = _gives(flat, flat.nodes[name], node, given, shapes.notes)
                source[after] = name
                rest.append(after)
            elif core(given) != core(shapes.takes[after]):
                other, have = source.get(after, after), shapes.takes[after]
                who = f"{flat.who}: {flat.nodes[name]} gives {given}, {flat.nodes[other]} gives {have}"
                raise ModelError(f"{who}; {node} hears both and needs one shape")
    lost = [str(flat.nodes[name]) for name in flat.nodes if name not in shapes.takes]
    if lost:
        more = f" and {len(lost) - 4} more" if len(lost) > 4 else ""
        raise ModelError(f"{flat.who}: no path from an Input reaches {', '.join(lost[:4])}{more}")
    return shapes


def core(shape: Shape) -> Shape:
    """Return a shape without ones in front, by which shapes are compared."""
    first = next((at for at, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:] or (1,)


def units_of(shape: Shape) -> int:
    """Return how many numbers a shape holds."""
    return math.prod(shape)


def window_of(flat: Flat, node: Node) -> Window:
    """Return the window of a convolution or pool, one of one dimension as of height 1; ModelError for what cannot be."""
    if node.kind.startswith("Conv"):
        kernel = tuple(int(n) for n in node.params["weight"].shape[2:])
    else:
        kernel = _numbers(flat, node, "kernel_size", None, 1)
    flat_kernel = len(kernel) == 1 and node.kind == "Conv1d"
    stride = _numbers(flat, node, "stride", kernel if node.kind.endswith("Pool2d") else (1,), 1)
    dilation = _numbers(flat, node, "dilation", (1,), 1)
    dims = 1 if node.kind == "Conv1d" else 2
    kernel, stride, dilation = (_spread(flat, node, pair, dims) for pair in (kernel, stride, dilation))
    text = node.params.get("padding")
    if text is not None and text.dtype.kind == "U":
        padding = _named_padding(flat, node, str(text.reshape(-1)[0]), kernel, stride, dilation)
    else:
        ends = _spread(flat, node, _numbers(flat, node, "padding", (0,), 0), dims)
        padding = (*ends, *ends)
    if flat_kernel:
        return Window((1, kernel[0]), (1, stride[0]), (0, padding[0], 0, padding[1]), (1, dilation[0]))
    top, left, bottom, right = padding
    return Window((kernel[0], kernel[1]), (stride[0], stride[1]), (top, left, bottom, right), (dilation[0], dilation[1]))


def groups_of(flat: Flat, node: Node) -> int:
    """Return the groups of a convolution; ModelError unless they divide its channels."""
    groups = _numbers(flat, node, "groups", (1,), 1)[0]
    if node.params["weight"].shape[0] % groups:
        raise ModelError(f"{flat.who}: {node}: {groups} groups do not divide its {node.params['weight'].shape[0]} output channels")
    return groups


def map_of(node: Node, shape: Shape) -> tuple[int, int, int]:
    """Return a shape as the channels, height and width that a convolution or pool takes; zeros where it is none."""
    dims = 2 if node.kind == "Conv1d" else 3
    parts = shape
    while len(parts) > dims and parts[0] == 1:
        parts = parts[1:]
    if len(parts) == dims - 1:  # a single channel that is not written
        parts = (1, *parts)
    if len(parts) != dims:
        return 0, 0, 0
    return (parts[0], 1, parts[1]) if dims == 2 else (parts[0], parts[1], parts[2])


def _input_shape(flat: Flat, node: Node) -> Shape:
    value = node.params.get("shape")
    if value is not None and value.size and value.ndim:
        return _checked(flat, node, value)
    for name in flat.after[node.name]:  # a scalar stands for what comes next
        after = flat.nodes[name]
        weight = after.params.get("weight")
        if after.kind in ("Affine", "Linear") and weight is not None and weight.ndim >= 2:
            return (int(weight.shape[-1]),)
        if after.kind in ("Conv1d", "Conv2d") and weight is not None and after.params.get("input_shape") is not None:
            sizes = tuple(int(n) for n in after.params["input_shape"].reshape(-1))
            return (int(weight.shape[1]) * groups_of(flat, after), *sizes)
    if value is not None and not value.ndim and float(value) >= 1:
        return (int(value),)
    raise ModelError(f"{flat.who}: {node}: has no shape, and none follows from what it feeds")


def _checked(flat: Flat, node: Node, value: Array) -> Shape:
    numbers = np.asarray(value, np.float64).reshape(-1)
    if not np.all(np.isfinite(numbers)) or np.any(numbers < 1) or np.any(numbers != np.floor(numbers)) or len(numbers) > 8:
        raise ModelError(f"{flat.who}: {node}: shape {value.tolist()!r:.80} cannot be; needs whole numbers of at least 1")
    shape = tuple(int(n) for n in numbers)
    if math.prod(shape) > MOST_UNITS:
        raise ModelError(f"{flat.who}: {node}: shape {shape} has more than {MOST_UNITS:,} units")
    return shape


def _gives(flat: Flat, source: Node, node: Node, shape: Shape, notes: list[str]) -> Shape:
    """Return what a node gives when `source` gives it numbers of a shape; ModelError, naming both, where it cannot take them."""
    if node.kind in ("Affine", "Linear"):
        return _affine(flat, source, node, shape, notes)
    if node.kind in ("Conv1d", "Conv2d"):
        return _convolution(flat, source, node, shape)
    if node.kind.endswith("Pool2d"):
        channels, height, width = map_of(node, shape)
        rows, columns = window_of(flat, node).sizes(height, width) if channels else (0, 0)
        if rows < 1 or columns < 1:
            raise _mismatch(flat, source, node, shape, "channels, height and width that its kernel fits into")
        return channels, rows, columns
    if node.kind == "Flatten":
        return _flattened(flat, source, node, shape)
    if node.kind in ("Input", "Output", THROUGH):
        declared = node.params.get("shape")
        if declared is not None and declared.ndim and declared.size:
            need = _checked(flat, node, declared)
            if core(need) != core(shape):
                raise _mismatch(flat, source, node, shape, str(need))
        if node.kind == "Input":
            raise ModelError(f"{flat.who}: {source} feeds {node}, which takes nothing")
        return shape
    if node.kind in NEURONS or node.kind in ("Scale", "Delay"):
        for key, value in node.params.items():
            if spread(value, shape) is None:
                raise _mismatch(flat, source, node, shape, f"{value.shape}, the shape of its {key}")
    return shape


def spread(value: Array, shape: Shape) -> Array | None:
    """Return a parameter as one number a unit (units,), a single one or one a channel repeated; None where it does not fit."""
    if value.size == 1:
        return np.full(math.prod(shape), value.reshape(-1)[0])
    small = value.reshape(core(value.shape)) if value.ndim > len(shape) else value
    try:
        return np.broadcast_to(small, shape).reshape(-1)
    except ValueError:
        return value.reshape(-1) if core(value.shape) == core(shape) else None


def _mismatch(flat: Flat, source: Node, node: Node, shape: Shape, need: str) -> ModelError:
    return ModelError(f"{flat.who}: {source} gives {shape}, {node} takes {need}")


def _affine(flat: Flat, source: Node, node: Node, shape: Shape, notes: list[str]) -> Shape:
    weight = node.params["weight"]
    if weight.ndim < 2 or not weight.size or units_of(weight.shape[:-2]) != 1:
        raise ModelError(f"{flat.who}: {node}: weight needs shape (out, in), has {weight.shape}")
    outs, ins = int(weight.shape[-2]), int(weight.shape[-1])
    bias = node.params.get("bias")
    if bias is not None and bias.size not in (1, outs):
        raise ModelError(f"{flat.who}: {node}: bias needs {outs} numbers, has {bias.shape}")
    if shape and shape[-1] == ins:
        result = (*shape[:-1], outs)
        if units_of(result) > MOST_UNITS:
            raise ModelError(f"{flat.who}: {node}: gives more than {MOST_UNITS:,} numbers")
        return result
    if units_of(shape) == ins:
        notes.append(f"{node}: takes the {shape} of {source} flattened in C order; the file has no Flatten between them")
        return (outs,)
    raise _mismatch(flat, source, node, shape, f"({ins},)")


def _convolution(flat: Flat, source: Node, node: Node, shape: Shape) -> Shape:
    weight, dims = node.params["weight"], 1 if node.kind == "Conv1d" else 2
    if weight.ndim != dims + 2 or not weight.size:
        need = "(out, in / groups, kernel)" if dims == 1 else "(out, in / groups, kernel height, kernel width)"
        raise ModelError(f"{flat.who}: {node}: weight needs shape {need}, has {weight.shape}")
    bias = node.params.get("bias")
    if bias is not None and bias.size not in (1, weight.shape[0]):
        raise ModelError(f"{flat.who}: {node}: bias needs {weight.shape[0]} numbers, has {bias.shape}")
    channels, height, width = map_of(node, shape)
    need_channels = int(weight.shape[1]) * groups_of(flat, node)
    if channels != need_channels:
        size = "length" if dims == 1 else "height, width"
        raise _mismatch(flat, source, node, shape, f"({need_channels}, {size})")
    declared = node.params.get("input_shape")
    if declared is not None and declared.size:
        sizes = tuple(int(n) for n in np.asarray(declared, np.float64).reshape(-1))
        have = (height, width)[-len(sizes) :] if len(sizes) <= 2 else ()
        if sizes != have:
            raise _mismatch(flat, source, node, shape, f"({need_channels}, {', '.join(map(str, sizes))}), by its input_shape")
    rows, columns = window_of(flat, node).sizes(height, width)
    if rows < 1 or columns < 1:
        raise _mismatch(flat, source, node, shape, "a map that its kernel fits into")
    return (int(weight.shape[0]), columns) if dims == 1 else (int(weight.shape[0]), rows, columns)


def _flattened(flat: Flat, source: Node, node: Node, shape: Shape) -> Shape:
    declared, parts = node.params.get("input_type"), shape
    if declared is not None and declared.size and declared.ndim:
        need = _checked(flat, node, declared)
        if core(need) != core(shape):
            raise _mismatch(flat, source, node, shape, f"{need}, by its input_type")
        parts = need  # its dimensions count those, a batch that was left among them
    start, end = (_whole(flat, node, key, default) for key, default in (("start_dim", 1), ("end_dim", -1)))
    start, end = (dim + len(parts) if dim < 0 else dim for dim in (start, end))
    if not 0 <= start < max(len(parts), 1) or not start <= end:
        if len(parts) == 1 and start >= 1:  # of a line there is nothing to flatten
            return shape
        raise ModelError(f"{flat.who}: {node}: dimensions {start} to {end} of {parts} cannot be")
    return (*parts[:start], units_of(parts[start : end + 1]), *parts[end + 1 :])


def _whole(flat: Flat, node: Node, key: str, default: int) -> int:
    value = node.params.get(key)
    if value is None or not value.size:
        return default
    number = float(np.asarray(value, np.float64).reshape(-1)[0])
    if number != math.floor(number) or abs(number) > 64:
        raise ModelError(f"{flat.who}: {node}: {key} {number!r} cannot be")
    return int(number)


def _numbers(flat: Flat, node: Node, key: str, default: tuple[int, ...] | None, least: int) -> tuple[int, ...]:
    """Return a parameter of whole numbers; ModelError for others, or where it is missing and has no default."""
    value = node.params.get(key)
    if value is None or not value.size:
        if default is None:
            raise ModelError(f"{flat.who}: {node}: has no {key}")
        return default
    numbers = np.asarray(value, np.float64).reshape(-1)
    if len(numbers) > 2 or np.any(numbers != np.floor(numbers)) or np.any(numbers < least) or np.any(numbers > MOST_UNITS):
        raise ModelError(f"{flat.who}: {node}: {key} {numbers.tolist()!r:.80} cannot be; needs whole numbers of at least {least}")
    return tuple(int(n) for n in numbers)


def _spread(flat: Flat, node: Node, numbers: tuple[int, ...], dims: int) -> tuple[int, ...]:
    if len(numbers) == dims:
        return numbers
    if len(numbers) == 1:
        return numbers * dims
    raise ModelError(f"{flat.who}: {node}: {numbers} for {dims} dimension{'s' * (dims > 1)} cannot be")


def _named_padding(
    flat: Flat, node: Node, name: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[int, ...]:  # fmt: skip
    if name == "valid":
        return (0,) * (2 * len(kernel))
    if name != "same":
        raise ModelError(f"{flat.who}: {node}: padding {shown(name)!r} is unknown; needs numbers, 'same' or 'valid'")
    if any(step != 1 for step in stride):
        raise ModelError(f"{flat.who}: {node}: padding 'same' with stride {stride} is not defined; needs stride 1 or numbers")
    whole = [step * (size - 1) for step, size in zip(dilation, kernel, strict=True)]
    before = [size // 2 for size in whole]  # as torch: the odd one comes after
    return (*before, *(size - first for size, first in zip(whole, before, strict=True)))
