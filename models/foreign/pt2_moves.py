"""ATen's sums, largest numbers, repeats and chosen elements, in ONNX's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from models.foreign.pt2_call import Call


def _reduction(call: Call) -> None:
    axes = call.get("dim")
    axes = [] if axes is None else axes if isinstance(axes, list) else [axes]
    attributes: dict[str, Any] = {"axes": [int(axis) for axis in axes]} if axes else {}
    kind = "ReduceSum" if call.kind == "sum" else "ReduceMax"
    call.emit(kind, [call.tensor("self")], keepdims=int(call.get("keepdim", False)), **attributes)


def _repeat(call: Call) -> None:
    repeats = np.array([int(times) for times in call.get("repeats", [])], np.int64)
    call.emit("Tile", [call.tensor("self"), call.constant("repeats", repeats)])


def _index_select(call: Call) -> None:
    call.emit("Gather", [call.tensor("self"), call.tensor("index")], axis=int(call.get("dim", 0)))


def _pixel_shuffle(call: Call) -> None:
    call.emit("DepthToSpace", [call.tensor("self")], blocksize=int(call.get("upscale_factor", 1)), mode="CRD")


def _inverse_root(call: Call) -> None:
    call.emit("Reciprocal", [call.emit("Sqrt", [call.tensor("self")], part="root")])


MOVES: dict[str, Callable[[Call], None]] = {
    "sum": _reduction, "amax": _reduction, "repeat": _repeat, "index_select": _index_select, "pixel_shuffle": _pixel_shuffle,
    "rsqrt": _inverse_root,
}  # fmt: skip
"""ATen's name -> what translates it."""
