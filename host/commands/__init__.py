"""The commands of `launch.py` that are no workload: one file each, found by its name.

A command's file has `HELP` (its line in the help), `EXAMPLES` (arguments and what they do), `add_flags(parser)`, and
`run(flags)`, which returns the exit code. A name that Python keeps for itself gets an underscore behind it (`import_.py`).
What workloads' own commands share is in `_run_workload.py`. This is the only room that puts workloads, processes and
pictures together.
"""

import importlib
import pkgutil
from typing import Any


def command_names() -> list[str]:
    """Return the names of all commands, ascending."""
    return sorted(module.name.rstrip("_") for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_command(name: str) -> Any:
    """Return the module of a command."""
    [module] = [module.name for module in pkgutil.iter_modules(__path__) if module.name.rstrip("_") == name]
    return importlib.import_module(f"{__name__}.{module}")
