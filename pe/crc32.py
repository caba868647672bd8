"""CRC-32 of bytes in memory, as zlib has it, for compiled code: 16 bytes are folded at a time where the processor multiplies
without carries.

Folding (V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel 2009): 128 bits that are
followed by n bits are congruent, modulo the polynomial, to the sum of their halves' products with x^(n + 32) and x^(n - 32).
So a long message becomes 16 bytes with the same remainder, which a table finishes, as it does all of a short one.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import types
from numba.core import config as numba_config
from numba.extending import intrinsic

from models.compute.bound_calls import bytes_at, carray
from models.compute.compiling import inlined

_POLYNOMIAL = 0xEDB88320  # of zlib, Ethernet and others, its bits reversed
_ONES = 0xFFFFFFFF
_BY_4 = 0x0154442BD4, 0x01C6E41596  # what 16 bytes are multiplied by to stand 64 bytes later, reversed as well
_BY_1 = 0x01751997D0, 0x00CCAA009E  # 16 bytes later
_LANE, _STRIDE = 16, 64
SCRATCH_BYTES = _STRIDE


def _table() -> Any:
    rows = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rows = np.where(rows & 1, rows >> 1 ^ np.uint32(_POLYNOMIAL), rows >> 1)
    return rows.astype(np.uint32)


_TABLE = _table()


def _multiplies_without_carries() -> bool:
    """Tell whether code that is compiled here may use PCLMULQDQ: for this processor, and with its features as they are."""
    config: Any = numba_config  # its names are made as it is loaded
    as_it_is = config.CPU_NAME in (None, "", "host") and not config.CPU_FEATURES
    return as_it_is and platform.machine() == "x86_64" and bool(binding.get_host_cpu_features().get("pclmul"))


_FOLDS = _multiplies_without_carries()


def _folding(typing: Any, residue: Any, at: Any, low: Any, high: Any) -> Any:  # noqa: ARG001 - numba's form
    """Fold the 16 bytes at address `residue` over those at `at`."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
        word, pair = ir.IntType(64), ir.VectorType(ir.IntType(64), 2)
        multiply = builder.module.declare_intrinsic("llvm.x86.pclmulqdq", (), ir.FunctionType(pair, [pair, pair, ir.IntType(8)]))
        place, there = (builder.inttoptr(address, pair.as_pointer()) for address in arguments[:2])
        before = builder.load(place, align=1)
        factor = ir.Constant(pair, ir.Undefined)
        for number, half in enumerate(arguments[2:]):
            factor = builder.insert_element(factor, half, ir.Constant(ir.IntType(32), number))
        halves = [builder.call(multiply, [before, factor, ir.Constant(ir.IntType(8), which)]) for which in (0x00, 0x11)]
        builder.store(builder.xor(builder.xor(*halves), builder.load(there, align=1)), place, align=1)
        return ir.Constant(word, 0)

    return types.int64(types.int64, types.int64, types.int64, types.int64), code


_fold: Any = intrinsic(_folding)  # numba calls it without the first argument


@inlined
def crc32(at: int, size: int, scratch: int) -> int:
    """Return the CRC-32 of the `size` bytes at address `at`; `scratch`: address of SCRATCH_BYTES to work in."""
    crc, done = _ONES, 0
    raw = carray(bytes_at(at), (size,))
    if _FOLDS and size >= 2 * _LANE:
        residue = carray(bytes_at(scratch), (_STRIDE,))
        lanes = 4 if size >= 2 * _STRIDE else 1
        for i in range(lanes * _LANE):
            residue[i] = raw[i]
        for i in range(4):
            residue[i] ^= 0xFF
        done = lanes * _LANE
        if lanes == 4:
            while done + _STRIDE <= size:
                for lane in range(4):
                    _fold(scratch + _LANE * lane, at + done + _LANE * lane, _BY_4[0], _BY_4[1])
                done += _STRIDE
            for lane in range(1, 4):
                _fold(scratch, scratch + _LANE * lane, _BY_1[0], _BY_1[1])
        while done + _LANE <= size:
            _fold(scratch, at + done, _BY_1[0], _BY_1[1])
            done += _LANE
        crc = 0
        for i in range(_LANE):
            crc = crc >> 8 ^ int(_TABLE[(crc ^ residue[i]) & 0xFF])
    for i in range(done, size):
        crc = crc >> 8 ^ int(_TABLE[(crc ^ raw[i]) & 0xFF])
    return crc ^ _ONES
