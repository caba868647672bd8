"""Inputs that come through a pipe: read to their end before a run starts, into its folder.

`--text <(zcat book.gz)` names a descriptor of this process, which the host process does not have; and a pipe can be read only
once, while a run is repeated from its folder. So what comes through is kept there, and the run reads the copy. Nobody has to
write into a pipe, nor ever to stop: there is a limit to the wait, and one to the bytes.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from host.errors import Exit, HostError
from host.flags import flag_of, option_fields
from host.options import RunOptions

MOST_BYTES = 1 << 28
_CHUNK_BYTES = 1 << 20
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
        try:
            mode = Path(value).stat().st_mode
            terminal = stat.S_ISCHR(mode) and _is_terminal(value)
        except (OSError, ValueError):
            continue  # whoever reads it says what is wrong with it
        if stat.S_ISFIFO(mode) or terminal or (stat.S_ISREG(mode) and value.startswith(_OPEN)):
            yield entry.name, flag_of(entry), value


def _is_terminal(path: str) -> bool:
    device = _open_now(path)
    try:
        return os.isatty(device)
    finally:
        os.close(device)


def _copy(path: str, target: Path, who: str, wait_s: float) -> None:
    """Write what comes from `path` to a new file; HostError, beginning with `who`, where it takes too long or is too much."""
    try:
        source = _open_now(path)
        try:
            with target.open("wb") as copy:
                for chunk in _chunks(source, who, wait_s):
                    copy.write(chunk)
        finally:
            os.close(source)
    except OSError as error:
        raise HostError(f"{who}: cannot be read or kept ({error.strerror or error})") from error


def _chunks(source: int, who: str, wait_s: float) -> Iterator[bytes]:
    ready, total = select.poll(), 0
    ready.register(source, select.POLLIN)
    while ready.poll(1e3 * wait_s):
        try:
            chunk = os.read(source, _CHUNK_BYTES)
        except BlockingIOError:  # another reader was faster
            continue
        if not chunk:
            return
        total += len(chunk)
        if total > MOST_BYTES:
            raise HostError(f"{who}: more than {MOST_BYTES:,} bytes came through; write it to a file if it has an end")
        yield chunk
    raise HostError(f"{who}: stalled: nobody has written into it for {wait_s:g} s", Exit.STALLED)


def _open_now(path: str) -> int:
    """Open for reading without waiting for a writer."""
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
