"""Puts the names that a PE's code looks up side by side in the fork server's memory, before anything else is loaded.

The fork server imports this file first, and the import does the work.

Python counts in an object how many use it, so a name that is looked up is written to, and the page that it lies on is copied for
each PE. A name lies where the first module that has it was loaded, with all that it has beside it: 117 of a PE's 740 pages were
copied for their names (docs/performance.md). A name that is there already is used by every module that is loaded later.

From Python 3.12 on a name that code has is never counted again, and nothing need be done.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from types import CodeType

_ROOT = __file__.rpartition("host/processes/")[0]
_FILES = (  # what every PE runs in Python; a run's format and neuron model are a few names more
    "host/processes/pe_server.py", "host/processes/parent_death.py",
    "models/formats/__init__.py", "models/kernels/__init__.py", "models/shard.py", "models/network.py", "models/numerics.py",
    "models/compute/bound_calls.py", "models/compute/compiling.py", "models/compute/sums.py", "models/compute/working_room.py",
    "noc/checksum.py", "noc/link_counts.py", "noc/link_end.py", "noc/packet.py", "noc/resumable_line.py", "noc/serve.py",
    "noc/unpacked_size.py", "noc/wire.py", "noc/zmtp.py",
    "pe/bound_tick.py", "pe/core.py", "pe/layout.py", "pe/lifecycle.py", "pe/link.py", "pe/residents.py", "pe/socket_loop.py",
    "pe/sram.py", "pe/tick_records.py",
)  # fmt: skip
_names: list[str] = []  # kept for good: Python forgets names that nobody uses


def _gather_names() -> None:
    """Have Python keep the names of what a PE runs from here on, one behind the other."""
    names = set[bytes]()  # as bytes, until those that came with the code are gone with it
    for file in _FILES:
        with contextlib.suppress(ImportError, OSError, SyntaxError):  # what cannot be loaded, says who needs it
            names |= {text.encode() for text in _names_in(SourceFileLoader(file, _ROOT + file).get_code(file))}
    _names.extend(sys.intern(name.decode()) for name in sorted(names, key=lambda name: (len(name), name)))


def _names_in(code: CodeType | None) -> Iterator[str]:
    """Yield the names that code uses, and those in it that Python keeps once."""
    if code is None:
        return
    yield from (code.co_name, code.co_qualname, *code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant
        elif isinstance(constant, tuple):  # of a call's keywords
            yield from (text for text in constant if isinstance(text, str) and text.isidentifier())


if sys.version_info < (3, 12):
    _gather_names()
