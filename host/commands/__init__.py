"""The commands of `launch.py` that are no workload: one file each, found by its name.

A command's file has `HELP` (its line in the help), `EXAMPLES` (arguments and what they do), `add_flags(parser)`, and
`run(flags)`, which returns the exit code. A name that Python keeps for itself gets an underscore behind it (`import_.py`).
What workloads' own commands share is in `_run_workload.py`. This is the only room that puts workloads, processes and
pictures together.
"""

import sys
from types import ModuleType
from typing import Any

from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)


def command_names() -> list[str]:
    """Return the names of all commands, ascending."""
    return sorted(name.rstrip("_") for name in member_names(_package()))


def load_command(name: str) -> Any:
    """Return the module of a command."""
    return member(_package(), f"{name}_" if f"{name}_" in member_names(_package()) else name, "command")


def _package() -> ModuleType:
    return sys.modules[__name__]
