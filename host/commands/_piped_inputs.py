"""Inputs that come through a pipe: read to their end before a run starts, into its folder.

`--text <(zcat book.gz)` names a descriptor of this process, which the host process does not have; and a pipe can be read only
once, while a run is repeated from its folder. So what comes through is kept there, and the run reads the copy. Nobody has to
write into a pipe, nor ever to stop: there is a limit to the wait, and one to the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from host.errors import Exit, HostError
from host.flags import flag_of, option_fields
from host.options import RunOptions
from models.input_file import InputError, StalledInput, is_pipe, piped_chunks

MOST_BYTES = 1 << 28
_OPEN = ("/dev/", "/proc/")  # names that may be of what this process has open, and no other

Options = TypeVar("Options", bound=RunOptions)


def keep_piped_inputs(options: Options, folder: Path) -> Options:
    """Return the options with a file of `folder` in the place of every pipe, terminal and descriptor that they name.

    HostError, one line, where nobody writes for the options' stall limit, or more than `MOST_BYTES` come; nothing is kept then.
    """
    copies: dict[str, Any] = {}
    try:
        for name, flag, path in _pipes(options):
            copy = folder / f"{name}_from_pipe"
            _copy(path, copy, f"{flag} {path}", options.stall_s)
            copies[name] = str(copy)
    except BaseException:
        drop_copies(folder)
        raise
    return replace(options, **copies)


def drop_copies(folder: Path) -> None:
    """Remove what `keep_piped_inputs` wrote."""
    for path in folder.glob("*_from_pipe"):
        path.unlink(missing_ok=True)


def _pipes(options: RunOptions) -> Iterator[tuple[str, str, str]]:
    """Yield the name and the flag of every option that names something which only this process can read, or only once; and it."""
    for entry in option_fields(type(options)):
        value = getattr(options, entry.name)
        if value is None or not entry.metadata["file"] or entry.metadata["metavar"] == "DIR":
            continue
        # A file among what this process has open, as with `3<book.txt`, is there for no other process.
        if is_pipe(value) or (value.startswith(_OPEN) and Path(value).is_file()):
            yield entry.name, flag_of(entry), value


def _copy(path: str, target: Path, who: str, wait_s: float) -> None:
    """Write what comes from `path` to a new file; HostError, beginning with `who`, where it takes too long or is too much."""
    try:
        with target.open("wb") as copy:
            for chunk in piped_chunks(path, MOST_BYTES, wait_s):
                copy.write(chunk)
    except StalledInput as error:
        raise HostError(f"{who}: {error}", Exit.STALLED) from error
    except InputError as error:
        raise HostError(f"{who}: {error}") from error
    except OSError as error:
        raise HostError(f"{who}: cannot be kept in {target.parent} ({error.strerror or error})") from error
