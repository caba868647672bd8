"""Tensors that a checkpoint stores compressed: a network in 8 bits is mostly row indices and small numbers.

A compressed tensor keeps its name and is a row of bytes; the metadata say its type and shape, under the name of the method. What a
file claims is bounded by what the method can do at most, and no more than that is ever read.
"""

from __future__ import annotations

import lzma
import math
import zlib
from collections.abc import Callable, Mapping
from reprlib import repr as short
from typing import Any, NamedTuple

import numpy as np

from models.checkpoint.tensorfile import Tensors
from models.network import Array, ModelError, Network

_LEAST_BYTES = 4096  # of a tensor that is worth it
_WORTH = 0.9  # of its bytes, at most
_MOST_BYTES = 1 << 32
_INTEGERS = ("int8", "uint8", "uint16", "uint32", "int64")
# Column numbers come back after hundreds of kB (the rows of a vector lie a gate apart); deflating looks back 32 kB.
_FILTERS = ({"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 24},)
_MEMORY_BYTES = 1 << 26  # to read what those filters wrote; a file that asks for more is refused
Facts = Mapping[str, Any]


class Method(NamedTuple):
    """How tensors are compressed: `most_ratio` bytes in one at most, of these `types`; `read` returns at most so many bytes, and
    whether that was all.
    """

    most_ratio: int
    types: tuple[str, ...]
    read: Callable[[bytes, int], tuple[bytes, bool]]


def _read_deflated(stored: bytes, most_bytes: int) -> tuple[bytes, bool]:
    stream = zlib.decompressobj()
    raw = stream.decompress(stored, most_bytes)
    return raw, stream.eof and not stream.unused_data


def _read_lzma(stored: bytes, most_bytes: int) -> tuple[bytes, bool]:
    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY_BYTES)
    raw = stream.decompress(stored, most_bytes)
    return raw, stream.eof and not stream.unused_data


METHODS = {
    "deflated": Method(1040, _INTEGERS, _read_deflated),  # zlib, only read; 258 bytes in two bits
    "lzma": Method(8192, (*_INTEGERS, "float16", "float32"), _read_lzma),  # in an xz container; measured on zeros: 6,781
}
"""What there is, by the name under which metadata have the tensors."""
WRITTEN = "lzma"
"""What `compress` writes."""


def is_in_bytes(network: Network) -> bool:
    """Tell whether a network's events and weights are bytes, so that its checkpoint is compressed."""
    return any(network.populations[n].payload == "int8" and not network.populations[n].dense for n in network.layers)


def compress(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, list[Any]]]:
    """Return tensors, compressed where that is worth it (`WRITTEN`), and type and shape of each that is."""
    stored, facts = dict(tensors), dict[str, list[Any]]()
    for name, tensor in tensors.items():
        if tensor.dtype.name not in METHODS[WRITTEN].types or tensor.nbytes < _LEAST_BYTES:
            continue
        little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
        small = lzma.compress(little.tobytes(), lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=list(_FILTERS))
        if len(small) <= _WORTH * tensor.nbytes:
            stored[name], facts[name] = np.frombuffer(small, np.uint8), [tensor.dtype.name, list(tensor.shape)]
    return stored, facts


def parse(who: str, method: str, facts: Any) -> Facts:
    """Check what metadata say of compressed tensors; ModelError, beginning with `who`, for what cannot be."""
    if not isinstance(facts, dict):
        raise ModelError(f"{who}: {method} needs types and shapes by name, has {short(facts)}")
    types = METHODS[method].types
    for name, fact in facts.items():
        whole = isinstance(fact, list) and len(fact) == 2 and fact[0] in types and isinstance(fact[1], list)
        if not whole or not all(type(n) is int and 0 <= n < _MOST_BYTES for n in fact[1]) or len(fact[1]) > 4:
            raise ModelError(f"{who}: {method} {short(name)} needs a type ({', '.join(types)}) and a shape, has {short(fact)}")
    return facts


def expanded(tensors: Tensors, method: str, facts: Facts) -> Tensors:
    """Return the tensors as they were before; each is expanded where it is read."""
    sizes = dict(tensors.sizes)
    for name, (kind, shape) in facts.items():
        if name not in sizes:
            raise ModelError(f"{tensors.who}: has no tensor {name!r}, which is {method}")
        (have, stored_as), size_bytes = sizes[name], _bytes_of(kind, shape)
        most_bytes = METHODS[method].most_ratio * (have[0] + 1) if len(have) == 1 else 0
        if stored_as != "uint8" or len(have) != 1 or size_bytes > min(_MOST_BYTES, most_bytes):
            raise ModelError(f"{tensors.who}: {name}: {short(have)} of {stored_as} cannot hold {size_bytes:,} bytes, {method}")
        sizes[name] = tuple(shape), kind

    def read(name: str) -> Array:
        return _expand(tensors, method, name, *facts[name]) if name in facts else tensors.read(name)

    return Tensors(tensors.who, sizes, read)


def _bytes_of(kind: str, shape: list[int]) -> int:
    return math.prod(shape) * np.dtype(kind).itemsize


def _expand(tensors: Tensors, method: str, name: str, kind: str, shape: list[int]) -> Array:
    size_bytes = _bytes_of(kind, shape)
    try:
        raw, whole = METHODS[method].read(tensors.read(name).tobytes(), size_bytes + 1)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise ModelError(f"{tensors.who}: {name}: is damaged ({error})") from error
    if len(raw) != size_bytes or not whole:
        raise ModelError(f"{tensors.who}: {name}: is damaged; needs {size_bytes:,} bytes, {method}")
    little = np.frombuffer(raw, np.dtype(kind).newbyteorder("<"))
    return np.ascontiguousarray(little.reshape(shape), kind)
