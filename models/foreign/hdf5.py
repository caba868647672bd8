"""HDF5 files that people bring, read within bounds, and HDF5 files of ours: the only file that knows h5py.

A file of HDF5 may name other files (external links, external and virtual datasets), hold groups within themselves, and
unpack to a thousand times its size. None of that is followed or read: what a reader gets are groups by name, arrays and texts
that lie in the file itself, and together within `MOST_BYTES`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.foreign.hdf5_heaps import are_whole
from models.input_file import InputError, open_input
from models.network import Array, ModelError, in_one_line

SIGNATURE = b"\x89HDF\r\n\x1a\n"
EXTRA = "nir"  # of pyproject.toml: h5py
MOST_BYTES = 1 << 30  # of all arrays that are read of a file, unpacked
MOST_NAMES = 20_000  # of groups and datasets together
DEEPEST = 16
_MOST_TEXT = 1 << 16


@dataclass
class _Budget:
    """What may still be read of a file."""

    size_bytes: int = MOST_BYTES
    names: int = MOST_NAMES


@dataclass(frozen=True)
class Group:
    """A group of an open file; `who` begins every complaint, and `where` is its path in the file."""

    who: str
    where: str
    _group: Any
    _depth: int = 0
    _budget: _Budget = field(default_factory=_Budget)

    def names(self) -> list[str]:
        """Return the names in the group, ascending; ModelError where there are too many, or one is no text."""
        self._budget.names -= len(self._group)
        if self._budget.names < 0:
            raise ModelError(f"{self.who}: has more than {MOST_NAMES:,} groups and datasets")
        return sorted(str(name) for name in self._group)

    def has(self, name: str) -> bool:
        """Say whether there is a group or dataset of that name here, whatever it is."""
        return self._group.get(name, getlink=True) is not None

    def is_group(self, name: str) -> bool:
        """Say whether the name is that of a group in this file."""
        return bool(self._kind(name) == "group")

    def group(self, name: str) -> Group:
        """Return the group of that name; ModelError where it is missing or something else."""
        where = f"{self.where}/{name}"
        if not self.is_group(name):
            what = "is no group" if self.has(name) else "is missing"
            raise ModelError(f"{self.who}: group {_shown(where)} {what}")
        if self._depth == DEEPEST:
            raise ModelError(f"{self.who}: groups lie more than {DEEPEST} deep at {_shown(where)}")
        return Group(self.who, where, self._group[name], self._depth + 1, self._budget)

    def array(self, name: str) -> Array:
        """Return a dataset of numbers, or of texts as an array of str; ModelError where it is missing or anything else."""
        where = _shown(f"{self.where}/{name}")
        if self._kind(name) != "dataset":
            what = "is no dataset" if self.has(name) else "is missing"
            raise ModelError(f"{self.who}: dataset {where} {what}")
        dataset = self._group[name]
        if dataset.shape is None:  # a null dataspace
            raise ModelError(f"{self.who}: dataset {where} is empty")
        if dataset.is_virtual or dataset.external:
            raise ModelError(f"{self.who}: dataset {where} lies in another file; needs it in this one")
        texts = dataset.dtype.kind in "SU" or _is_text(dataset.dtype)
        if not texts and dataset.dtype.kind not in "fiub":
            raise ModelError(f"{self.who}: dataset {where} is of type {dataset.dtype}; needs numbers or texts")
        size = dataset.size * max(dataset.dtype.itemsize, 1)
        self._budget.size_bytes -= size
        if self._budget.size_bytes < 0:
            need = f"at most {MOST_BYTES:,} bytes of arrays"
            raise ModelError(f"{self.who}: dataset {where} of {size:,} bytes: {need} are read of a file")
        try:
            value = np.asarray(dataset[()])
        except (OSError, ValueError, TypeError, RuntimeError, MemoryError) as error:
            raise ModelError(f"{self.who}: dataset {where} cannot be read ({in_one_line(error)})") from error
        return _texts(self.who, where, value) if texts else value

    def attribute(self, name: str) -> Any:
        """Return an attribute that is one number or text, as Python has it; None for anything else, and where there is none.

        ModelError where a text is longer than what is read of a file.
        """
        try:
            value = self._group.attrs.get(name)
        except (OSError, TypeError, ValueError, KeyError):  # of a type that h5py does not know
            return None
        if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.size == 1):
            value = value.reshape(-1)[0].item() if isinstance(value, np.ndarray) else value.item()
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        self._budget.size_bytes -= len(value) if isinstance(value, str) else 0
        if self._budget.size_bytes < 0:
            raise ModelError(f"{self.who}: attribute {_shown(f'{self.where}@{name}')} is longer than what is read of a file")
        return value if isinstance(value, str | int | float | bool) else None

    def text(self, name: str) -> str:
        """Return a dataset that holds one text; ModelError where it does not."""
        value = self.array(name)
        if value.dtype.kind != "U" or value.size != 1:
            raise ModelError(f"{self.who}: dataset {_shown(f'{self.where}/{name}')} needs one text")
        return str(value.reshape(-1)[0])

    def _kind(self, name: str) -> str:
        """Return "group" or "dataset"; "" for what is missing. ModelError for a link that leads elsewhere."""
        link = self._group.get(name, getlink=True)
        if link is None:
            return ""
        if type(link).__name__ != "HardLink":
            where = _shown(f"{self.where}/{name}")
            raise ModelError(f"{self.who}: {where} is a link to elsewhere; needs what it names in its place")
        of = self._group.get(name, getclass=True)
        return {"Group": "group", "Dataset": "dataset"}.get(getattr(of, "__name__", ""), "other")


@contextmanager
def opened(who: str, path: Path) -> Iterator[Group]:
    """Open a file of HDF5 for reading; ModelError, in one line, for anything else and for whatever is wrong within."""
    h5py = _h5py(who)
    try:
        with open_input(path) as file:
            head = file.read(len(SIGNATURE))
            if head == SIGNATURE and not are_whole(file):
                raise ModelError(f"{who}: damaged HDF5 file (a heap of texts that does not end)")
    except InputError as error:
        raise ModelError(f"{who}: {error}") from error
    if head != SIGNATURE:
        raise ModelError(f"{who}: is no HDF5 file, as a NIR file is one")
    try:
        with h5py.File(path, "r") as root:
            yield Group(who, "", root)
    except ModelError:
        raise
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError, RecursionError) as error:
        # A damaged file reaches deep into the library, which answers with exceptions of half a dozen kinds.
        raise ModelError(f"{who}: damaged HDF5 file ({in_one_line(error)})") from error


def write(path: Path, tree: Mapping[str, Any], who: str) -> None:
    """Write a tree to a new file: dicts are groups, texts and numbers datasets, arrays packed with gzip; "@name" an attribute.

    ModelError where h5py is missing; OSError where the file cannot be written.
    """
    h5py = _h5py(who)
    with h5py.File(path, "w", track_order=False) as root:
        _write(h5py, root, tree)


def _write(h5py: Any, group: Any, tree: Mapping[str, Any]) -> None:
    for name, value in tree.items():
        if name.startswith("@"):
            group.attrs[name[1:]] = value
        elif isinstance(value, Mapping):
            _write(h5py, group.create_group(name), value)
        elif isinstance(value, str):
            group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        elif isinstance(value, list):  # of texts or of pairs of texts
            group.create_dataset(name, data=np.array(value, object), dtype=h5py.string_dtype())
        elif np.ndim(value):
            group.create_dataset(name, data=value, compression="gzip", track_times=False)
        else:
            group.create_dataset(name, data=value, track_times=False)


def _h5py(who: str) -> Any:
    try:
        import h5py
    except ImportError:
        raise ModelError(f"{who}: needs h5py, which is not installed; install it with pip install 'gennaker[{EXTRA}]'") from None
    return h5py


def _is_text(dtype: Any) -> bool:
    """Say whether h5py reads a type as texts of any length."""
    import h5py

    return h5py.check_string_dtype(dtype) is not None


def _texts(who: str, where: str, value: Array) -> Array:
    flat = []
    for text in value.reshape(-1).tolist():
        try:
            decoded = text.decode("utf-8") if isinstance(text, bytes) else str(text)
        except UnicodeDecodeError:
            raise ModelError(f"{who}: dataset {where} holds a text that is no UTF-8") from None
        if len(decoded) > _MOST_TEXT:
            raise ModelError(f"{who}: dataset {where} holds a text of {len(decoded):,} characters")
        flat.append(decoded)
    return np.array(flat, dtype=np.str_).reshape(value.shape)


def _shown(name: str) -> str:
    return ascii(name[:120])[1:-1]
