"""torch's own file format without torch: a zip with a pickle (`ROOT/data.pkl`) and each storage as a member beside it.

It knows the zip and the storages' bytes, not what the tensors are for. Nothing is unpacked to disk, no member's name is
used as a path, and no more is read than the file has bytes: torch stores members as they are, so a compressed one (a
"zip bomb") is refused.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from models.foreign.unpickle import View, unpickle
from models.network import Array, ModelError

FACTS_MEMBER = "gennaker.json"  # in files that were exported here (`torch_writer.py`)
MAX_FACTS_BYTES = 1 << 20
MAX_TIMES_SEEN = 8  # all tensors together may have this many times the file's bytes: a tied decoder is seen twice


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: its shape, its type (numpy's name, or "bfloat16"), and a function that reads it.

    A bfloat16 tensor is read as the uint16 of its bits.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]


class TorchFile(NamedTuple):
    """An open file: what its pickle holds, what makes a `Tensor` of a `View` in it, notes for the user, and where it was exported
    here, the JSON of what its tensors do not say.
    """

    tree: Any
    tensor: Callable[[View], Tensor]
    notes: tuple[str, ...]
    facts: bytes = b""


@contextmanager
def opened(path: Path) -> Iterator[TorchFile]:
    """Open a zip that `torch.save` wrote.

    Tensors are read when they are asked for, while the file is open. ModelError, naming the file, for what is wrong with
    it; but zipfile has exceptions of its own, here and when a tensor is read.
    """
    who = f"import {path}"
    with zipfile.ZipFile(path) as archive:
        members = _Members(who, archive, path.stat().st_size)
        try:
            tree, passed, *_ = unpickle(members.read(f"{members.root}/data.pkl"))
        except ModelError as error:
            raise ModelError(f"{who}: {error}") from error
        notes = [f"passed over, without running anything: {', '.join(passed[:8])}"] if passed else []
        if not members.has_checksums:
            notes.append("the file has no checksums (torch.serialization.set_crc32_options(False)): damage would not be noticed")
        yield TorchFile(tree, members.tensor, tuple(notes), members.facts())


class _Members:
    """The members of the zip, checked: each once, none compressed, together no longer than the file."""

    def __init__(self, who: str, archive: zipfile.ZipFile, size: int) -> None:
        self._who, self._archive, self._size = who, archive, size
        self._seen = 0
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                what = "encrypted" if info.flag_bits & 1 else "compressed"
                raise ModelError(f"{who}: member {_short(info.filename)} is {what}; torch stores it as it is")
            if info.filename in self._infos:
                raise ModelError(f"{who}: has two members {_short(info.filename)}")
            if info.compress_size != info.file_size:  # zipfile makes room for the larger one
                sizes = f"{info.compress_size} and {info.file_size} bytes"
                raise ModelError(f"{who}: member {_short(info.filename)} has two sizes, {sizes}")
            self._infos[info.filename] = info
        # A file without checksums has zero for each; one member's may be zero by chance.
        self.has_checksums = any(info.CRC for info in self._infos.values())
        total = sum(info.file_size for info in self._infos.values())
        if total > size:
            raise ModelError(f"{who}: its members claim {total} bytes, the file has {size}")
        roots = [name.removesuffix("/data.pkl") for name in self._infos if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ModelError(f"{who}: needs one member data.pkl in a folder, has {len(roots)}; no file of torch.save")
        (self.root,) = roots
        if f"{self.root}/constants.pkl" in self._infos:
            raise ModelError(f"{who}: a TorchScript archive, which holds code; save the module's state_dict")
        order = self.read(f"{self.root}/byteorder") if f"{self.root}/byteorder" in self._infos else b"little"
        if order not in (b"little", b"big"):
            raise ModelError(f"{who}: byteorder needs to be little or big, is {order[:20]!r}")
        self._order: Literal["<", ">"] = "<" if order == b"little" else ">"

    def read(self, name: str) -> bytes:
        """Return a member's bytes; the zip's checksum is held against them, where the file has checksums."""
        info = self._infos.get(name)
        if info is None:
            raise ModelError(f"{self._who}: has no member {_short(name)}")
        if not self.has_checksums:
            info = copy(info)
            del info.CRC  # then zipfile compares none
        return self._archive.read(info)

    def facts(self) -> bytes:
        """Return what the file says beside its tensors; nothing where it says nothing, or too much."""
        info = self._infos.get(f"{self.root}/{FACTS_MEMBER}")
        return b"" if info is None or info.file_size > MAX_FACTS_BYTES else self.read(info.filename)

    def tensor(self, view: View) -> Tensor:
        """Return the tensor that sees `view` of a storage; ModelError where the storage's member is not as it should be."""
        name = f"{self.root}/data/{view.storage.key}"
        itemsize = itemsize_of(view.storage.dtype)
        need, info = view.storage.elements * itemsize, self._infos.get(name)
        if info is None or info.file_size != need:
            have = "no such member" if info is None else f"{info.file_size}"
            raise ModelError(f"{self._who}: storage {_short(view.storage.key)} needs {need} bytes, has {have}")
        self._seen += view.elements * itemsize
        check_times_seen(self._who, self._seen, self._size)
        return Tensor(view.shape, view.storage.dtype, partial(self._array, view, name))

    def _array(self, view: View, name: str) -> Array:
        return array_of(view, self.read(name), self._order)


def itemsize_of(dtype: str) -> int:
    """Return how many bytes an element of a storage has."""
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize


def array_of(view: View, raw: bytes, order: Literal["<", ">"]) -> Array:
    """Return what a tensor sees of its storage's bytes; of bfloat16 the uint16 of its bits."""
    kind = "uint16" if view.storage.dtype == "bfloat16" else view.storage.dtype
    dtype = np.dtype(kind).newbyteorder(order)
    if not view.elements:
        return np.zeros(view.shape, kind)
    strides = tuple(n * dtype.itemsize for n in view.strides)
    return np.ndarray(view.shape, dtype, raw, view.offset * dtype.itemsize, strides)


def check_times_seen(who: str, elements_bytes: int, file_bytes: int) -> None:
    """Raise ModelError where all tensors together have too many times the file's bytes."""
    if elements_bytes > MAX_TIMES_SEEN * file_bytes:
        raise ModelError(f"{who}: its tensors share storages too often: they need more than {MAX_TIMES_SEEN} times its bytes")


def _short(name: str) -> str:
    return ascii(name if len(name) <= 60 else f"{name[:57]}...")
