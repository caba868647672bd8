"""Writes the files that torch reads, without torch: a zip with a pickle of tensors by name, and each storage as a member beside it.

The pickle has the opcodes that torch writes for a state_dict, and names nothing but an OrderedDict and tensors. Storages begin at
multiples of 64 bytes, as torch's do, so that they can be mapped into memory. The same tensors give the same bytes.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from models.foreign.torch_file import FACTS_MEMBER
from models.network import F32

_ROOT = "archive"
_ALIGNMENT = 64
_HEADER_BYTES = 30  # of a zip's member, before its name
_PADDING = 0x4246  # the extra field that torch's own padding has
_BEFORE_1980 = (1980, 1, 1, 0, 0, 0)  # the first date that a zip can say
_ORDERED_DICT = b"ccollections\nOrderedDict\n)R"


def write_torch(path: Path, tensors: Mapping[str, F32], facts: Mapping[str, Any]) -> None:
    """Write float32 tensors by name, and `facts`, JSON-able, beside them; arrays that are one object share a storage."""
    storages: dict[int, tuple[str, bytes]] = {}
    keys = {}
    for name, tensor in tensors.items():
        raw = np.ascontiguousarray(tensor, "<f4").tobytes()
        keys[name] = storages.setdefault(id(tensor), (str(len(storages)), raw))[0]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "data.pkl", _pickled(tensors, keys))
        _add(archive, "byteorder", b"little")
        for key, raw in storages.values():
            _add(archive, f"data/{key}", raw)
        _add(archive, "version", b"3\n")
        _add(archive, FACTS_MEMBER, json.dumps(dict(facts)).encode())


def _add(archive: zipfile.ZipFile, name: str, raw: bytes) -> None:
    """Add a member whose bytes begin at a multiple of 64."""
    info = zipfile.ZipInfo(f"{_ROOT}/{name}", _BEFORE_1980)
    assert archive.fp is not None
    begins = archive.fp.tell() + _HEADER_BYTES + len(info.filename) + 4
    padding = -begins % _ALIGNMENT
    info.extra = struct.pack("<HH", _PADDING, padding) + b"Z" * padding
    archive.writestr(info, raw)


def _pickled(tensors: Mapping[str, F32], keys: Mapping[str, str]) -> bytes:
    items = b"".join(_text(name) + _tensor(tensor, keys[name]) for name, tensor in tensors.items())
    return b"\x80\x02" + _ORDERED_DICT + b"(" + items + b"u."


def _tensor(tensor: F32, key: str) -> bytes:
    """Return the opcodes that make a tensor: the function, the storage, where it begins, shape, strides, and three for autograd."""
    strides = [int(np.prod(tensor.shape[axis + 1 :], dtype=np.int64)) for axis in range(tensor.ndim)]
    storage = b"(" + _text("storage") + b"ctorch\nFloatStorage\n" + _text(key) + _text("cpu") + _integer(tensor.size) + b"tQ"
    places = _integer(0) + _tuple(tensor.shape) + _tuple(strides)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + places + b"\x89" + _ORDERED_DICT + b"tR"


def _text(text: str) -> bytes:
    raw = text.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


def _integer(number: int) -> bytes:
    if number < 1 << 31:
        return b"J" + struct.pack("<i", number)
    raw = number.to_bytes(8, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def _tuple(numbers: Any) -> bytes:
    return b"(" + b"".join(_integer(int(number)) for number in numbers) + b"t"
