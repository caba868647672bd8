"""A command typed within this process, which saves its start, and what it left."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

_COMPILING = re.compile(
    r"^compiling    kernels \([^\n]*\), once for this version of the code; this takes five seconds to a minute\n", re.MULTILINE
)


class Done(NamedTuple):
    """What a command left: its exit code, and what it wrote, without the line that says that kernels are compiled."""

    returncode: int
    stdout: str
    stderr: str


def run_command(main: Callable[[list[str]], int], arguments: tuple[object, ...], written: Callable[[], tuple[str, str]]) -> Done:
    """Run a program's `main`; `written` returns what was written to stdout and stderr since it was asked last."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # how argparse leaves
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    out, err = written()
    return Done(code, out, without_compiling(err))


def without_compiling(text: str) -> str:
    """Return what was written to stderr without the lines that whoever first needs a kernel writes."""
    return _COMPILING.sub("", text)
