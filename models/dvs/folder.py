"""Recordings as people have them: the folder or file goes to the reader that is most certain of it (`models/dvs/readers`)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from models.dvs.readers import Head, Reader, all_readers
from models.dvs.samples import SLICE_US, DvsError, GestureSet, check_split
from models.input_file import InputError, check_input, open_input
from models.network import ModelError

_HEAD_BYTES = 4096


def open_folder(path: str | Path, split: str, slice_us: int = SLICE_US) -> GestureSet:
    """Return the samples of one split of a folder or file, in the reader's order.

    Raises `DvsError` (one line) where no reader knows the layout, or two are as certain of it. Everything else that is wrong is in
    the set's `damages` after its samples were read.
    """
    check_split("open_folder", split, slice_us)
    who = f"open_folder: {str(path)!r}"
    try:
        readers = all_readers()
    except ModelError as error:  # two members of one name
        raise DvsError(f"{who}: {error}") from None
    try:
        head = _head_of(path, split)
        suitable = most_certain(readers, head)
        have = "" if suitable else _what_is(Path(path))
    except (OSError, InputError) as error:
        suitable, have = [], f"none that can be read ({error})"
    if not suitable:
        raise DvsError(f"{who}: need {' or '.join(reader.LAYOUT[split] for reader in readers.values())}, have {have}")
    if len(suitable) > 1:
        layouts = " and ".join(readers[name].LAYOUT[split] for name in suitable)
        raise DvsError(f"{who}: need one layout, have {layouts}; the readers {' and '.join(suitable)} are as certain")
    reader = readers[suitable[0]]
    return GestureSet(str(path), split, _source(reader, path), partial(reader.read, head, slice_us))


def is_known(path: str | Path, split: str) -> bool:
    """Tell whether a reader knows what lies at a path."""
    try:
        return bool(most_certain(all_readers(), _head_of(path, split)))
    except (OSError, InputError):
        return False


def most_certain(readers: dict[str, Reader], head: Head) -> list[str]:
    """Return the names of the readers that are most certain of what is asked for: none, one, or several that are as certain."""
    certain = {name: reader.probe(head) for name, reader in readers.items()}
    best = max(certain.values(), default=0)
    return [name for name, certainty in certain.items() if certainty == best > 0]


def _head_of(path: str | Path, split: str) -> Head:
    """Return what readers probe; OSError or InputError where it cannot be looked at."""
    place = Path(path)
    try:
        place.exists()
    except ValueError as error:  # a NUL in the path
        raise InputError(str(error)) from None
    try:
        with open_input(place) as file:
            return Head(place, split, file.read(_HEAD_BYTES))
    except InputError:  # a folder, or nothing that can be read: `_what_is` says it where no reader knows the place
        return Head(place, split)


def _source(reader: Reader, path: str | Path) -> str:
    """Return where samples come from and under which terms, in one line."""
    terms = getattr(reader, "TERMS", "")
    return f"{reader.KIND} in {path}" + (f"; {terms}" if terms else "")


def _what_is(path: Path) -> str:
    """Return what lies at a path that no reader knows."""
    if path.is_dir():
        return "none of them"
    if not path.exists():
        return "no such folder"
    try:
        check_input(path)
    except InputError as error:
        return f"something that {error}"
    return "something that is no folder but a file"
