"""The work of operators that take each element, or each window of a plane, by itself: rows and planes, or strips of large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.dnn.work import CoreWork

MOST_UNIT_BYTES = 90_000  # of input and output: they lie in the 96 KiB of a PE's data, beside constants and a debug area


def element_work(shape: tuple[int, ...], *, inputs: int = 1, results: bool = False, constant_bytes: int = 0) -> CoreWork:
    """Return a unit for each row of an output, of so many inputs of its shape, or for each strip of a row that is too long."""
    whole = shape[-1] if shape else 1
    strips = max(1, -(-whole * (inputs + 1) // MOST_UNIT_BYTES))
    width = -(-whole // strips)
    return CoreWork(
        units=math.prod(shape[:-1]) * strips, unit_input_bytes=inputs * width, unit_output_bytes=width,
        constant_bytes=constant_bytes, steps=width, results=width if results else 0, strips=strips,
    )  # fmt: skip


def plane_work(
    *, planes: int, image: Sequence[int], made: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int] = (1, 1), beside_bytes: int = 0, results: bool = False,
) -> CoreWork:  # fmt: skip
    """Return a unit for each plane, `image` rows and columns that become `made`, by windows of a kernel; or for each strip of rows
    of it, with the rows that its windows reach, where the plane is too large. `beside_bytes`: what a unit reads beside its image.
    """
    (high, wide), (rows, columns) = image, made
    span = dilations[0] * (kernel[0] - 1) + 1
    for strips in range(1, rows + 1):
        each = -(-rows // strips)
        into = high if strips == 1 else min(high, (each - 1) * strides[0] + span)
        if into * wide + each * columns + beside_bytes <= MOST_UNIT_BYTES:
            break
    outputs = each * columns
    return CoreWork(
        units=planes * strips, unit_input_bytes=into * wide + beside_bytes, unit_output_bytes=outputs,
        steps=outputs * math.prod(kernel), results=outputs if results else 0, strips=strips,
    )  # fmt: skip
