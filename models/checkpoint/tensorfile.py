"""A safetensors file that nobody vouches for: names, shapes and types come from its header, and nothing is read before
they are what is needed.

The library itself refuses a header whose offsets leave gaps, overlap, or do not end where the file does, so that no
shape can promise more than the file holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as short

import numpy as np
from safetensors import safe_open

from models.input_file import HEAD_BYTES, InputError, is_pickle, is_zip, open_input
from models.network import F32, Array, ModelError, check_finite

IMPORT_FIRST = "`launch.py import FILE NEW` reads those of other programs (`launch.py list importers`)"
MAX_HEADER_BYTES = 8 << 20  # thousands of layers; the library would parse 100 MB
_NAMES = {
    "F32": "float32", "F16": "float16", "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U32": "uint32",
    "U16": "uint16", "U8": "uint8",
}  # fmt: skip


class Tensors:
    """Tensors by name, each with a shape and a type, its `sizes`, that are known before it is read. Errors begin with `who`."""

    def __init__(self, who: str, sizes: Mapping[str, tuple[tuple[int, ...], str]], read: Callable[[str], Array]) -> None:
        self.who, self.sizes, self.read = who, sizes, read
        self._needed: set[str] = set()

    @classmethod
    def of(cls, who: str, arrays: Mapping[str, Array]) -> Tensors:
        """Return tensors that are in memory already."""
        return cls(who, {name: (array.shape, array.dtype.name) for name, array in arrays.items()}, arrays.__getitem__)

    def need(self, name: str, shape: tuple[int | None, ...], *types: str) -> tuple[int, ...]:
        """Return the shape of tensor `name`; ModelError unless it is there, of `shape` (None: any number) and of `types`."""
        self._needed.add(name)
        if name not in self.sizes:
            raise ModelError(f"{self.who}: has no tensor {name!r}")
        have, kind = self.sizes[name]
        if len(have) != len(shape) or any(n not in (None, m) for n, m in zip(shape, have, strict=True)) or kind not in types:
            need = str(shape).replace("None", "any")
            raise ModelError(f"{self.who}: {name} needs shape {need} of {' or '.join(types)}, has {short(have)} of {kind}")
        return have

    def finite(self, name: str) -> F32:
        """Return tensor `name` as contiguous float32; ModelError where it holds a NaN or an infinity."""
        tensor = self.read(name)
        check_finite(f"{self.who}: {name}", tensor)
        return np.ascontiguousarray(tensor, np.float32)

    def number(self, name: str) -> Array:
        """Return tensor `name`, contiguous: int8 as it is, anything else as `finite` does."""
        return np.ascontiguousarray(self.read(name)) if self.sizes[name][1] == "int8" else self.finite(name)

    def has(self, name: str) -> bool:
        """Tell whether there is a tensor called `name`."""
        return name in self.sizes

    def need_no_more(self) -> None:
        """Raise ModelError where there is a tensor that nobody has needed."""
        if more := sorted(self.sizes.keys() - self._needed):
            raise ModelError(f"{self.who}: has {len(more)} tensors that it should not have, first {more[0][:80]!r}")


def narrowed(values: Array) -> Array:
    """Return float32 `values` as float16 where that loses nothing."""
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and so is another number
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else values


@contextmanager
def opened(who: str, path: Path) -> Iterator[tuple[Mapping[str, str], Tensors]]:
    """Open the file at `path` and give its metadata and tensors.

    ModelError where it is missing, something else than a file of safetensors, or its header too large.
    """
    try:
        with open_input(path) as file:
            head = file.read(HEAD_BYTES)
    except InputError as error:
        raise ModelError(f"{who}: {error}") from error
    if is_pickle(head) or is_zip(head):
        what = "a zip archive" if is_zip(head) and b"data.pkl" not in head else "a file of torch.save, it seems"
        raise ModelError(f"{who}: is {what}; {IMPORT_FIRST}")
    (header_bytes,) = struct.unpack("<Q", head[:8])
    if header_bytes >= 1 << 32:  # letters or numbers of something else, taken for a length
        raise ModelError(f"{who}: damaged or no safetensors file (begins with {head[:16]!r})")
    if header_bytes > MAX_HEADER_BYTES:
        raise ModelError(f"{who}: damaged or no safetensors file (a header of {header_bytes:,} B; at most {MAX_HEADER_BYTES:,})")
    with safe_open(path, "numpy") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        sizes = {name: (tuple(s.get_shape()), _NAMES.get(s.get_dtype(), str(s.get_dtype()))) for name, s in slices.items()}

        def read(name: str) -> Array:
            # Little-endian in the file; this machine's order from here on.
            tensor: Array = file.get_tensor(name)
            return np.ascontiguousarray(tensor)

        yield file.metadata() or {}, Tensors(who, sizes, read)
