"""The work of operators that take each element, or each window of a plane, by itself: rows and planes, or strips of large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

from models.dnn.work import CoreWork

MOST_UNIT_BYTES = 36_000  # of a unit with what it is copied to: a worker's memory has two of them beside constants and blocks
_STRIP = 16  # numbers: a strip begins where DRAM can be written


def element_work(shape: tuple[int, ...], *, inputs: int = 1, results: bool = False, constant_bytes: int = 0) -> CoreWork:
    """Return a unit for each row of an output, of so many inputs of its shape, or for each strip of a row that is too long."""
    whole = shape[-1] if shape else 1
    strips, width, copies = 1, whole, 2 * inputs + 2  # each as it lies in DRAM, and in order
    if whole * copies > MOST_UNIT_BYTES:
        width = MOST_UNIT_BYTES // copies // _STRIP * _STRIP
        strips = -(-whole // width)
    return CoreWork(
        units=math.prod(shape[:-1]) * strips, unit_input_bytes=inputs * width, unit_output_bytes=width,
        constant_bytes=constant_bytes, steps=width, results=width if results else 0, strips=strips,
    )  # fmt: skip


def plane_work(
    *, planes: int, image: Sequence[int], made: Sequence[int], kernel: Sequence[int], strides: Sequence[int],
    dilations: Sequence[int] = (1, 1), beside_bytes: int = 0, result_bytes: int = 1, results: bool = False,
) -> CoreWork:  # fmt: skip
    """Return a unit for each plane, `image` rows and columns that become `made`, by windows of a kernel; or for each strip of rows
    of it, with the rows that its windows reach, where a worker has no room for the plane, as it lies in DRAM and in order, and its
    results of `result_bytes`. `beside_bytes`: what a unit reads beside its image.
    """
    (high, wide), (rows, columns) = image, made
    span = dilations[0] * (kernel[0] - 1) + 1
    for strips in range(1, rows + 1):
        each = -(-rows // strips)
        into = high if strips == 1 else min(high, (each - 1) * strides[0] + span)
        have = into * (wide + -(-wide // _STRIP) * _STRIP) + each * (columns * result_bytes + -(-columns // _STRIP) * _STRIP)
        if have + beside_bytes <= MOST_UNIT_BYTES:
            break
    outputs = each * columns
    return CoreWork(
        units=planes * -(-rows // each), unit_input_bytes=into * wide + beside_bytes, unit_output_bytes=outputs,
        steps=outputs * math.prod(kernel), results=outputs if results else 0, strips=-(-rows // each),
    )  # fmt: skip
