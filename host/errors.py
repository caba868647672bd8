"""What a user can cause, and the exit code each kind ends with. A user sees one line; a bug keeps its traceback."""

import difflib
import sys
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

from models.input_file import InputError, check_input


class Exit(IntEnum):
    """Exit codes of `launch.py` (documented in docs/report.md)."""

    OK = 0
    BUG = 1  # a traceback: please report it
    USAGE = 2  # wrong arguments, files or configuration
    DOES_NOT_FIT = 3  # the network does not fit the PEs, the PEs the chip, or the chips the cluster
    DIED = 4  # a PE, router or host process died, a machine was lost, or no scheduler answers
    STALLED = 5  # a PE, router or host process does not answer, or the network between two machines is cut
    MISMATCH = 6  # verify found a difference
    LOST = 7  # packets were lost: sent is not delivered, or some were dropped
    FAULT = 8  # a PE or the router found something that must not be, and said so
    HUNG_UP = 129  # SIGHUP: the terminal is gone
    INTERRUPTED = 130  # Ctrl-C
    TERMINATED = 143  # SIGTERM


class HostError(ValueError):
    """A failure with one line for the user and an exit code."""

    def __init__(self, text: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(text)
        self.code = code


def complain(text: str, code: Exit) -> int:
    """Print one line for the user on stderr; return the exit code."""
    print(f"gennaker: {text}", file=sys.stderr)
    return int(code)


def printable(text: str, most: int = 2000) -> str:
    """Return text of another process as one line that a terminal can show: what it would obey or break at is written out."""
    whole = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text[:most])
    return whole if len(text) <= most else f"{whole}..."


def need_file(path: Path, who: str) -> None:
    """Raise HostError, one line that begins with `who`, where `path` is no file that has an end and is what its name says."""
    try:
        check_input(path)
    except InputError as error:
        raise HostError(f"{who}: {error}") from error


def nearest_name(name: str, names: Iterable[str]) -> str:
    """Return the one of `names` that is most like `name`, for the line that says that `name` is unknown."""
    return difflib.get_close_matches(name, list(names), n=1, cutoff=0.0)[0]
