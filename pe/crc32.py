"""CRC-32 of bytes in memory, as zlib has it, for compiled code: folded 64 or 128 bytes at a time where the processor multiplies
without carries.

Folding (V. Gopal et al., Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction, Intel 2009): 128 bits that are
followed by n bits are congruent, modulo the polynomial, to the sum of their halves' products with x^(n + 32) and x^(n - 32).
So a long message becomes 16 bytes with the same remainder, which the last products make 4. Nothing is looked up: in 150
processes a table would be cold at every tick. Zeros in front change no remainder, so what is no multiple of 16 is filled up there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils as _untyped_cgutils
from numba.extending import intrinsic

from models.compute.bound_calls import bytes_at, carray
from models.compute.compiling import inlined
from models.compute.processor import features

cgutils: Any = _untyped_cgutils
_POLYNOMIAL = 0x104C11DB7  # of zlib, Ethernet and others
_REVERSED = 0xEDB88320  # its bits in the order in which bytes are read, without the highest
_ONES = 0xFFFFFFFF
_BLOCK, _LANES = 16, 4  # bytes; lanes take turns, since a product takes longer than the next one may begin after it
_LONG, _WIDE, _BITS = ir.IntType(64), ir.IntType(128), 8
_PAIR = ir.VectorType(_LONG, 2)
_FOLDS = "pclmul" in features()
_BLOCKS = 2 if _FOLDS and {"vpclmulqdq", "avx2"} <= features() else 1  # that one instruction multiplies


def _remainder(bits: int) -> int:
    """Return x^bits modulo the polynomial, as a factor: its bits reversed, and moved on by one."""
    rest = 1
    for _ in range(bits):
        rest <<= 1
        rest ^= _POLYNOMIAL * (rest >> 32)
    return int(f"{rest:032b}"[::-1], 2) << 1


def _quotient() -> int:
    """Return x^64 by the polynomial, its bits reversed: what Barrett's reduction multiplies by."""
    rest, quotient = 1 << 64, 0
    for at in range(32, -1, -1):
        if rest >> (at + 32) & 1:
            rest ^= _POLYNOMIAL << at
            quotient |= 1 << at
    return int(f"{quotient:033b}"[::-1], 2)


_LAST = _remainder(64), _REVERSED << 1 | 1, _quotient()


class _Code:
    """The instructions of one checksum, as they are built; `vector` is of one block or two, `pair` of one."""

    def __init__(self, builder: Any) -> None:
        self.builder, self.vector = builder, ir.VectorType(_LONG, 2 * _BLOCKS)
        self._products: dict[Any, Any] = {}
        for kind, name in ((_PAIR, "llvm.x86.pclmulqdq"), (self.vector, f"llvm.x86.pclmulqdq{'.256' * (_BLOCKS == 2)}")):
            signature = ir.FunctionType(kind, [kind, kind, ir.IntType(8)])
            self._products[kind] = builder.module.declare_intrinsic(name, (), signature)

    def product(self, pair: Any, factor: int) -> Any:
        """Return the lower half of a pair times a number."""
        factors = ir.Constant(_PAIR, [factor, 0])
        return self.builder.call(self._products[_PAIR], [pair, factors, ir.Constant(ir.IntType(8), 0)])

    def load(self, kind: Any, address: Any) -> Any:
        """Return what lies at an address."""
        return self.builder.load(self.builder.inttoptr(address, kind.as_pointer()), align=1)

    def moved(self, vector: Any, size: int) -> Any:
        """Return what has the same remainder `size` bytes later."""
        kind, bits = vector.type, _BITS * size
        factors = ir.Constant(kind, [_remainder(bits + 32), _remainder(bits - 32)] * (kind.count // 2))
        halves = [self.builder.call(self._products[kind], [vector, factors, ir.Constant(ir.IntType(8), n)]) for n in (0x00, 0x11)]
        return self.builder.xor(*halves)

    def joined(self, vector: Any) -> Any:
        """Return the blocks of a vector as one."""
        if _BLOCKS == 1:
            return vector
        low, high = (
            self.builder.shuffle_vector(
                vector, ir.Constant(self.vector, ir.Undefined), ir.Constant(ir.VectorType(ir.IntType(32), 2), [at, at + 1])
            )
            for at in (0, 2)
        )
        return self.builder.xor(self.moved(low, _BLOCK), high)

    def widened(self, pair: Any) -> Any:
        """Return a vector that begins with a pair, and has zeros behind it."""
        if _BLOCKS == 1:
            return pair
        order = ir.Constant(ir.VectorType(ir.IntType(32), 4), [0, 1, 2, 3])
        return self.builder.shuffle_vector(pair, ir.Constant(_PAIR, [0, 0]), order)

    def reduced(self, pair: Any) -> Any:
        """Return the CRC-32 of what has been folded into a pair."""
        builder, low_half = self.builder, ir.Constant(_WIDE, _ONES)

        def shifted(value: Any, bits: int) -> Any:
            return builder.lshr(value, ir.Constant(_WIDE, bits))

        def product(value: Any, factor: int) -> Any:
            return builder.bitcast(self.product(builder.bitcast(value, _PAIR), factor), _WIDE)

        value = builder.bitcast(pair, _WIDE)
        value = builder.xor(shifted(value, 64), product(value, _remainder(96)))
        value = builder.xor(shifted(value, 32), product(builder.and_(value, low_half), _LAST[0]))
        times = builder.and_(product(builder.and_(value, low_half), _LAST[2]), low_half)
        value = shifted(builder.xor(value, product(times, _LAST[1])), 32)
        return builder.xor(builder.and_(builder.trunc(value, _LONG), ir.Constant(_LONG, _ONES)), ir.Constant(_LONG, _ONES))


def _folding(typing: Any, at: Any, size: Any) -> Any:  # noqa: ARG001 - numba's form
    """Return the CRC-32 of the `size` bytes at address `at`, 16 at least."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001 - numba's form
        made, (address, count) = _Code(builder), arguments
        wide, block = made.vector.count * 8, ir.Constant(_LONG, _BLOCK)
        stride = ir.Constant(_LONG, _LANES * wide)
        ones = ir.Constant(_WIDE, _ONES)  # what the first 4 bytes are turned round by
        odd = builder.and_(count, ir.Constant(_LONG, _BLOCK - 1))
        odd_bits = builder.zext(builder.mul(odd, ir.Constant(_LONG, _BITS)), _WIDE)
        is_even = builder.icmp_unsigned("==", odd, ir.Constant(_LONG, 0))
        # The odd bytes, moved to the end of a block of zeros; what is turned round behind them.
        first = builder.xor(made.load(_WIDE, address), ones)
        up = builder.select(is_even, ir.Constant(_WIDE, 0), builder.sub(ir.Constant(_WIDE, _BITS * _BLOCK), odd_bits))
        head = builder.bitcast(builder.select(is_even, ir.Constant(_WIDE, 0), builder.shl(first, up)), _PAIR)
        before = builder.xor(made.moved(head, _BLOCK), builder.bitcast(builder.lshr(ones, odd_bits), _PAIR))
        place, end = builder.add(address, odd), builder.add(address, count)
        folded, next_place = cgutils.alloca_once(builder, _PAIR), cgutils.alloca_once_value(builder, place)
        is_long = builder.icmp_unsigned(">=", builder.sub(end, place), builder.add(stride, stride))
        with builder.if_else(is_long) as (long, short):
            with long:
                lanes = [cgutils.alloca_once(builder, made.vector) for _ in range(_LANES)]
                for number, lane in enumerate(lanes):
                    loaded = made.load(made.vector, builder.add(place, ir.Constant(_LONG, number * wide)))
                    builder.store(loaded if number else builder.xor(loaded, made.widened(before)), lane)
                start = builder.add(place, stride)
                left = builder.sub(end, start)
                stop = builder.add(start, builder.sub(left, builder.urem(left, stride)))
                with cgutils.for_range_slice(builder, start, stop, stride) as (here, _):
                    for number, lane in enumerate(lanes):
                        loaded = made.load(made.vector, builder.add(here, ir.Constant(_LONG, number * wide)))
                        builder.store(builder.xor(made.moved(builder.load(lane), _LANES * wide), loaded), lane)
                whole = builder.load(lanes[0])
                for lane in lanes[1:]:
                    whole = builder.xor(made.moved(whole, wide), builder.load(lane))
                builder.store(made.joined(whole), folded)
                builder.store(stop, next_place)
            with short:
                builder.store(builder.xor(made.load(_PAIR, place), before), folded)
                builder.store(builder.add(place, block), next_place)
        with cgutils.for_range_slice(builder, builder.load(next_place), end, block) as (here, _):
            builder.store(builder.xor(made.moved(builder.load(folded), _BLOCK), made.load(_PAIR, here)), folded)
        return made.reduced(builder.load(folded))

    return types.int64(types.int64, types.int64), code


_folded: Any = intrinsic(_folding)  # numba calls it without the first argument


def _table() -> Any:
    rows = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        rows = np.where(rows & 1, rows >> 1 ^ np.uint32(_REVERSED), rows >> 1)
    return rows.astype(np.uint32)


_TABLE = _table()


@inlined
def _by_table(at: int, size: int) -> int:
    crc, raw = _ONES, carray(bytes_at(at), (size,))
    for i in range(size):
        crc = crc >> 8 ^ int(_TABLE[(crc ^ raw[i]) & 0xFF])
    return crc ^ _ONES


@inlined
def _by_products(at: int, size: int) -> int:
    return _folded(at, size) if size >= _BLOCK else _by_table(at, size)


crc32 = _by_products if _FOLDS else _by_table
"""`crc32(at, size)`: the CRC-32 of the `size` bytes at address `at`."""
