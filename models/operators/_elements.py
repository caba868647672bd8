"""The work of operators that take each element by itself."""

from __future__ import annotations

import math

from models.dnn.work import CoreWork


def element_work(shape: tuple[int, ...], *, inputs: int = 1, results: bool = False, constant_bytes: int = 0) -> CoreWork:
    """Return a unit for each row of an output, of so many inputs of its shape."""
    width = shape[-1] if shape else 1
    return CoreWork(
        units=math.prod(shape[:-1]), unit_input_bytes=inputs * width, unit_output_bytes=width, constant_bytes=constant_bytes,
        steps=width, results=width if results else 0,
    )  # fmt: skip
