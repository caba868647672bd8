"""torch's file format before 1.6, without torch: five pickles, one behind the other, and then the storages.

The pickles hold a number by which the format is known, its version, the writing machine's byte order, what was saved, and the
keys of the storages in their order. Each storage is its number of elements (int64) and its elements. The pickles are read as
every other one here: nothing in them is run (`unpickle.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

from models.foreign.torch_file import Tensor, TorchFile, array_of, check_times_seen, itemsize_of
from models.foreign.unpickle import MAX_PICKLE_BYTES, Contents, Storage, View, unpickle_first
from models.network import Array, ModelError

_MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_PICKLED = b"\x8a\x0a" + _MAGIC.to_bytes(10, "little") + b"."
_BEGINNING_BYTES = 40
_VERSION = 1001
_COUNT = struct.Struct("<q")


def is_legacy(head: bytes) -> bool:
    """Tell whether a file that begins so is one of torch's of before 1.6."""
    return head[:1] == b"\x80" and _MAGIC_PICKLED in head[:_BEGINNING_BYTES]


@contextmanager
def opened(path: Path) -> Iterator[TorchFile]:
    """Open a file that torch wrote before 1.6, or since with `_use_new_zipfile_serialization=False`.

    Tensors are read when they are asked for, while the file is open. ModelError, naming the file, for what is wrong with it.
    """
    who = f"import {path}"
    with path.open("rb") as file:
        magic, version, machine, saved, order = (_next_pickle(who, file) for _ in range(5))
        if magic.value != _MAGIC or version.value != _VERSION:
            raise ModelError(f"{who}: needs torch's format {_VERSION} of before 1.6, has {str(version.value)[:20]}")
        ends: Literal["<", ">"] = "<" if _is_little(machine.value) else ">"
        storages = _Storages(who, file, path.stat().st_size, saved.storages, order.value, ends)
        notes = [f"passed over, without running anything: {', '.join(saved.passed[:8])}"] if saved.passed else []
        yield TorchFile(saved.value, storages.tensor, (*notes, "the file has no checksums: damage would not be noticed"))


def _next_pickle(who: str, file: BinaryIO) -> Contents:
    start = file.tell()
    raw = file.read(MAX_PICKLE_BYTES)
    try:
        contents = unpickle_first(raw)
    except ModelError as error:
        raise ModelError(f"{who}: {error}") from error
    file.seek(start + contents.size_bytes)
    return contents


def _is_little(machine: Any) -> bool:
    return not isinstance(machine, dict) or machine.get("little_endian", True) is not False


class _Storages:
    """The storages of a file, their places checked: each once, none beyond the file's end."""

    def __init__(
        self, who: str, file: BinaryIO, size: int, storages: Mapping[str, Storage], keys: Any, order: Literal["<", ">"]
    ) -> None:
        self._who, self._file, self._size, self._order, self._seen = who, file, size, order, 0
        self._places: dict[str, tuple[int, int]] = {}
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(storages):
            raise ModelError(f"{who}: lists other storages than its tensors name")
        place = file.tell()
        for key in keys:
            file.seek(place)
            header = file.read(_COUNT.size)
            need = storages[key].elements
            if len(header) < _COUNT.size or _COUNT.unpack(header)[0] != need:
                raise ModelError(f"{who}: storage {key[:40]!a} needs {need} elements, and has another number, or is not there")
            size_bytes = need * itemsize_of(storages[key].dtype)
            self._places[key] = place + _COUNT.size, size_bytes
            place += _COUNT.size + size_bytes
            if place > size:
                raise ModelError(f"{who}: ends within storage {key[:40]!a}, of {size_bytes} bytes")

    def tensor(self, view: View) -> Tensor:
        """Return the tensor that sees `view` of a storage."""
        self._seen += view.elements * itemsize_of(view.storage.dtype)
        check_times_seen(self._who, self._seen, self._size)

        def read() -> Array:
            place, size_bytes = self._places[view.storage.key]
            self._file.seek(place)
            return array_of(view, self._file.read(size_bytes), self._order)

        return Tensor(view.shape, view.storage.dtype, read)
