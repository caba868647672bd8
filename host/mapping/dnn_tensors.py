"""Where tensors lie in DRAM: in C order, each row of the last dimension at a multiple of 16 bytes, one sample behind the other.

So whoever makes whole rows, or parts of rows that begin at multiples of 16, writes where a DRAM can be written, and no byte of
anybody else. What a reshape makes lies where its input does. Whole numbers of 32 bits lie as four of int8 each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from models.dnn.integer import IntegerNetwork
from models.dnn.program import aligned
from models.network import I64, Array

_WORD_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class TensorPlace:
    """A tensor of `samples` samples from `address` on: rows of `row` int8 numbers, `pitch` bytes apart.

    `of_pass`: each pass has its own, and the address is that of the first pass. `row` is not always the last of `shape`.
    """

    address: int
    shape: tuple[int, ...]
    row: int
    pitch: int
    samples: int
    of_pass: bool

    @property
    def size(self) -> int:
        """Numbers of a sample."""
        return math.prod(self.shape)

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample, padding included."""
        return self.size // self.row * self.pitch

    def address_of(self, number: int) -> int:
        """Return where a number lies, of all samples'."""
        return self.address + number // self.row * self.pitch + number % self.row

    def addresses_of(self, numbers: I64) -> I64:
        """Return where numbers lie, int64 of the same shape."""
        return np.asarray(self.address + numbers // self.row * self.pitch + numbers % self.row, np.int64)

    def read(self, content: bytes, begin: int) -> Array:
        """Return the tensor, int8 (samples, *shape), from bytes of DRAM that begin at address `begin`."""
        rows = self.samples * self.size // self.row
        raw = np.frombuffer(content, np.int8, rows * self.pitch, self.address - begin).reshape(rows, self.pitch)
        return np.ascontiguousarray(raw[:, : self.row]).reshape(self.samples, *self.shape)

    def content(self, numbers: Array) -> bytes:
        """Return the bytes of a tensor, int8 (samples, *shape), as they lie in DRAM."""
        rows = np.ascontiguousarray(numbers).view(np.int8).reshape(-1, self.row)
        out = np.zeros((len(rows), self.pitch), np.int8)
        out[:, : self.row] = rows
        return out.tobytes()


def row_of(shape: tuple[int, ...]) -> int:
    """Return the length of a tensor's rows."""
    return shape[-1] if shape else 1


def place_tensors(network: IntegerNetwork, samples: int, address: int) -> tuple[dict[str, TensorPlace], int]:
    """Return the place of each tensor that is made or comes in, from `address` on, and how many bytes all of them take."""
    places: dict[str, TensorPlace] = {}
    at = address
    for name in network.inputs:
        tensor = network.tensors[name]
        shape = tensor.shape if tensor.dtype == "int8" else (*tensor.shape[:-1], _WORD_BYTES * row_of(tensor.shape))
        places[name], at = _place(shape, samples, at)
    for one in network.operations:
        shape = network.tensors[one.output].shape
        if one.kind == "reshape" and one.inputs[0] in places:
            source = places[one.inputs[0]]
            places[one.output] = TensorPlace(
                address=source.address, shape=shape, row=source.row, pitch=source.pitch, samples=samples, of_pass=True
            )
        else:
            places[one.output], at = _place(shape, samples, at)
    return places, at - address


def _place(shape: tuple[int, ...], samples: int, at: int) -> tuple[TensorPlace, int]:
    row = row_of(shape)
    place = TensorPlace(address=at, shape=shape, row=row, pitch=aligned(row), samples=samples, of_pass=True)
    return place, at + samples * place.sample_bytes


def pass_content(places: Mapping[str, TensorPlace], inputs: Mapping[str, Array]) -> list[tuple[int, bytes]]:
    """Return (address, bytes) of the inputs of a pass, int8 (samples, *shape) each, at the addresses of the first one."""
    return [(places[name].address, places[name].content(numbers)) for name, numbers in inputs.items()]
