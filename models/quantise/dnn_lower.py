"""What is at hand while a prepared float graph becomes an integer network: settings, grids, and what there is of it so far."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.dnn.draft import Draft
from models.dnn.graph import Operator
from models.dnn.integer import IntegerOperation, IntegerTensor
from models.dnn.qdq import TensorGrid
from models.network import Array, ModelError
from models.quantise.dnn_requantise import on_grid
from models.quantise.dnn_scales import best_grid

CLAMPS = ("Relu", "Clip")
SUMS = ("Conv", "Linear", "MatMul", "Add", "Sub", "Mul", "ReduceMean", "AveragePool")


@dataclass(frozen=True, kw_only=True)
class DnnSettings:
    """How a DNN is quantised: `scales` "pow2" or "float", `rounding` and `overflow` as `models/dnn/integer.py` has them."""

    scales: str = "pow2"
    rounding: str = "half-up"
    overflow: str = "saturate"
    per_channel: bool = False
    equalise: bool = True


@dataclass
class Lowering:
    """What is at hand while operators become operations, and what has become of them."""

    draft: Draft
    settings: DnnSettings
    values: Mapping[str, Array]  # of calibration, by tensor; empty where a file has its own grids
    grids: dict[str, TensorGrid]
    tensors: dict[str, IntegerTensor] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    operations: list[IntegerOperation] = field(default_factory=list)
    fused: set[str] = field(default_factory=set)  # names of tensors that are clamped where they are made

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Return a tensor's shape."""
        return self.draft.shapes[tensor]

    def grid(self, tensor: str) -> TensorGrid:
        """Return a tensor's grid, by its values on the samples where it has none; ModelError where there are none either."""
        if tensor not in self.grids:
            if tensor not in self.values:
                maker = self.draft.maker(tensor)
                who = maker.title if maker is not None else f"input {tensor[:60]!r}"
                raise ModelError(
                    f"{who}: the file has no scale for its numbers; choose one by samples: `quantise` with --calibrate FILE"
                )
            self.grids[tensor] = best_grid(self.values[tensor], self.settings.scales)
        return self.grids[tensor]

    def hear(self, tensor: str, grid: TensorGrid | None = None) -> str:
        """Return the int8 tensor that an operation hears: on `grid` where that is given, a constant's numbers else on their own."""
        if tensor in self.draft.constants and tensor not in self.tensors:
            return self._constant(tensor, grid)
        if grid is None or self.grids[tensor] == grid:
            return tensor
        name = f"{tensor}/grid{len(self.operations)}"
        self.draft.shapes[name] = self.shape(tensor)
        source = self.tensors[tensor]
        values = (np.arange(-128, 128) - source.zero_point) * source.scale
        self.add(f"{tensor}/grid", "table", (tensor,), name, grid, arrays={"table": on_grid(values, grid)})
        return name

    def add(
        self, name: str, kind: str, inputs: tuple[str, ...], output: str, grid: TensorGrid, *, arrays: Mapping[str,
        Array] | None = None,
        low: int = -128, high: int = 127, **more: Any,
    ) -> None:  # fmt: skip
        """Add an operation and the tensor that it makes."""
        if arrays and kind == "table":
            low, high = int(arrays["table"].min()), int(arrays["table"].max())
        step = more.get("requantisation")
        if step is not None:
            low, high = step.low, step.high
        self.make_tensor(output, grid, low, high)
        self.operations.append(IntegerOperation(name=name, kind=kind, inputs=inputs, output=output, arrays=arrays or {}, **more))

    def make_tensor(self, name: str, grid: TensorGrid, low: int = -128, high: int = 127) -> None:
        """Add a tensor on a grid."""
        self.grids[name] = grid
        self.tensors[name] = IntegerTensor(
            name=name, shape=tuple(int(n) for n in self.shape(name)), dtype="int8", scale=grid.scale,
            exponent=exponent_of(grid.scale),
            zero_point=grid.zero_point, low=low, high=high,
        )  # fmt: skip

    def _constant(self, tensor: str, grid: TensorGrid | None) -> str:
        stored = self.draft.numbers.get(tensor)
        name = f"{tensor}/numbers"
        if grid is None and stored is not None and stored.numbers.dtype == np.int8 and stored.scales.size == 1:
            grid, numbers = TensorGrid(float(stored.scales[0])), stored.numbers
        else:
            grid = grid or self.grids.get(tensor) or best_grid(self.draft.constants[tensor], self.settings.scales)
            numbers = on_grid(self.draft.constants[tensor], grid)
        while name in self.tensors:
            if self.grids[name] == grid:
                return name
            name += "'"
        self.draft.shapes[name] = numbers.shape
        self.constants[name] = numbers
        self.make_tensor(name, grid, int(numbers.min(initial=0)), int(numbers.max(initial=0)))
        return name

    def target(self, operator: Operator) -> tuple[str, tuple[float, float]]:
        """Return the tensor that an operator's sums become, and its clamp: that of a Relu or Clip behind it, which goes."""
        name = operator.outputs[0]
        user = self.draft.only_user(name)
        if operator.kind not in SUMS or user is None or user.kind not in CLAMPS:
            return name, (-math.inf, math.inf)
        self.fused.add(user.outputs[0])
        return user.outputs[0], clamp_of(self.draft, user)


def clamp_of(draft: Draft, operator: Operator) -> tuple[float, float]:
    """Return the bounds of a Relu or Clip."""
    if operator.kind == "Relu":
        return 0.0, math.inf
    from models.dnn.float_operators import clip_bounds

    return clip_bounds(operator.attributes, [draft.constants.get(name) for name in operator.inputs])


def exponent_of(scale: float) -> int | None:
    """Return e where a scale is 2^e, else None."""
    fraction, exponent = math.frexp(scale)
    return exponent - 1 if fraction == 0.5 else None
