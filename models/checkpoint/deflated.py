"""Tensors of integers that a checkpoint stores deflated (zlib): a network in 8 bits is mostly row indices and small numbers.

A deflated tensor keeps its name and is a row of bytes; the metadata say its type and shape. What a file claims is bounded by what
deflating can do at most, and no more than that is ever inflated.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

import numpy as np

from models.checkpoint.tensorfile import Tensors
from models.network import Array, ModelError, Network

_LEAST_BYTES = 4096  # of a tensor that is worth it
_WORTH = 0.9  # of its bytes, at most
_MOST_RATIO = 1040  # of deflate: 258 bytes in two bits
_TYPES = ("int8", "uint8", "uint16", "uint32", "int64")
_MOST_BYTES = 1 << 32
Facts = Mapping[str, Any]


def is_in_bytes(network: Network) -> bool:
    """Tell whether a network's events and weights are bytes, so that its checkpoint is deflated."""
    return any(network.populations[n].payload == "int8" and not network.populations[n].dense for n in network.layers)


def deflate(tensors: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, list[Any]]]:
    """Return tensors, those of integers deflated where that is worth it, and type and shape of each that is."""
    stored, facts = dict(tensors), dict[str, list[Any]]()
    for name, tensor in tensors.items():
        if tensor.dtype.name not in _TYPES or tensor.nbytes < _LEAST_BYTES:
            continue
        little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<"))
        packed = zlib.compress(little.tobytes(), 9)
        if len(packed) <= _WORTH * tensor.nbytes:
            stored[name], facts[name] = np.frombuffer(packed, np.uint8), [tensor.dtype.name, list(tensor.shape)]
    return stored, facts


def parse(who: str, facts: Any) -> Facts:
    """Check what metadata say of deflated tensors; ModelError, beginning with `who`, for what cannot be."""
    if not isinstance(facts, dict):
        raise ModelError(f"{who}: deflated needs types and shapes by name, has {short(facts)}")
    for name, fact in facts.items():
        whole = isinstance(fact, list) and len(fact) == 2 and fact[0] in _TYPES and isinstance(fact[1], list)
        if not whole or not all(type(n) is int and 0 <= n < _MOST_BYTES for n in fact[1]) or len(fact[1]) > 4:
            raise ModelError(f"{who}: deflated {short(name)} needs a type ({', '.join(_TYPES)}) and a shape, has {short(fact)}")
    return facts


def inflated(tensors: Tensors, facts: Facts) -> Tensors:
    """Return the tensors as they were before; each is inflated where it is read."""
    sizes = dict(tensors.sizes)
    for name, (kind, shape) in facts.items():
        if name not in sizes:
            raise ModelError(f"{tensors.who}: has no tensor {name!r}, which is deflated")
        (have, stored_as), size_bytes = sizes[name], _bytes_of(kind, shape)
        if stored_as != "uint8" or len(have) != 1 or size_bytes > min(_MOST_BYTES, _MOST_RATIO * (have[0] + 1)):
            raise ModelError(f"{tensors.who}: {name}: {short(have)} of {stored_as} cannot hold {size_bytes:,} bytes, deflated")
        sizes[name] = tuple(shape), kind

    def read(name: str) -> Array:
        return _inflate(tensors, name, *facts[name]) if name in facts else tensors.read(name)

    return Tensors(tensors.who, sizes, read)


def _bytes_of(kind: str, shape: list[int]) -> int:
    return math.prod(shape) * np.dtype(kind).itemsize


def _inflate(tensors: Tensors, name: str, kind: str, shape: list[int]) -> Array:
    size_bytes, stream = _bytes_of(kind, shape), zlib.decompressobj()
    try:
        raw = stream.decompress(tensors.read(name).tobytes(), size_bytes + 1)
    except zlib.error as error:
        raise ModelError(f"{tensors.who}: {name}: is damaged ({error})") from error
    if len(raw) != size_bytes or stream.unconsumed_tail or stream.unused_data:
        raise ModelError(f"{tensors.who}: {name}: is damaged; needs {size_bytes:,} bytes, deflated")
    little = np.frombuffer(raw, np.dtype(kind).newbyteorder("<"))
    return np.ascontiguousarray(little.reshape(shape), kind)
