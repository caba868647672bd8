"""A command typed within this process, which saves its start, and what it left."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Done(NamedTuple):
    """What a command left: its exit code and what it wrote, but for the line that kernels are compiled."""

    returncode: int
    stdout: str
    stderr: str


def run_command(main: Callable[[list[str]], int], arguments: tuple[object, ...], written: Callable[[], tuple[str, str]]) -> Done:
    """Run a program's `main`; `written` returns what was written to stdout and stderr since it was asked last."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as end:  # how argparse leaves
        code = int(end.code or 0)
    out, err = written()
    return Done(code, out, without_compiling(err))


def without_compiling(text: str) -> str:
    """Return what was written to stderr without the lines that whoever first needs a kernel writes."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("compiling "))
