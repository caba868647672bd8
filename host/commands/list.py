"""`launch.py list`: what there is to choose from, each with its line: workloads, models, and the members of families.

All of it is found by name, a user's own members too (`models/families.py`); a member's line is the first of its docstring.
"""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from host.errors import HostError, nearest_name
from host.options import mapping_names
from host.workloads.registry import workloads
from host.workloads.site import SEEDED
from models import shipped
from models.families import member, member_names

HELP = "show workloads, models, kernels, formats, importers, readers"
EXAMPLES = (("list", "what there is to choose from"),)
_NARROWEST, _WIDEST = 60, 120
Rows = list[tuple[str, str]]


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments to its parser."""
    parser.add_argument("what", metavar="WHAT", nargs="?", help=f"only one of {', '.join(GROUPS)}")


def run(flags: Mapping[str, Any]) -> int:
    """Print the lists; HostError for one that is none."""
    what = flags["what"]
    if what is not None and what not in GROUPS:
        raise HostError(f"list {what}: have {', '.join(GROUPS)}; did you mean {nearest_name(what, GROUPS)!r}?")
    width = max(_NARROWEST, min(shutil.get_terminal_size((80, 24)).columns, _WIDEST))
    print("\n\n".join("\n".join(_lines(name, GROUPS[name](), width)) for name in ([what] if what else GROUPS)))
    return 0


def _lines(title: str, rows: Rows, width: int) -> list[str]:
    label = max((len(name) for name, _ in rows), default=0) + 4
    lines = [title]
    for name, text in rows:
        lines += textwrap.wrap(text, width, initial_indent=f"  {name}".ljust(label), subsequent_indent=" " * label) or [f"  {name}"]
    return lines


def _of_workloads() -> Rows:
    rows = []
    for name, workload in workloads().items():
        commands = ", ".join(workload.commands)
        rows.append((name, f"{_first_sentence(workload.about.__doc__)} ({commands})"))
    return rows


def _of_models() -> Rows:
    own = [(name, shipped.ABOUT.get(name, "")) for name in shipped.names()]
    return [*own, (SEEDED, "random weights in the paper's sizes, which have learnt nothing")]


def _members_of(package: str) -> Callable[[], Rows]:
    return lambda: [(name, _first_sentence(member(package, name, "member").__doc__, name)) for name in member_names(package)]


def _of_mappings() -> Rows:
    package = "host.mapping.strategies"
    return [(name, _first_sentence(member(package, name, "mapping").__doc__, name)) for name in mapping_names()]


def _first_sentence(text: str | None, name: str = "") -> str:
    """Return a docstring's first sentence, without the member's name before it."""
    paragraph = " ".join((text or "").split("\n\n")[0].split()).removeprefix(f"`{name}`: ")
    return paragraph.split(". ")[0].rstrip(".")


GROUPS: Mapping[str, Callable[[], Rows]] = {
    "workloads": _of_workloads,
    "models": _of_models,
    "kernels": _members_of("models.kernels"),
    "formats": _members_of("models.formats"),
    "importers": _members_of("models.importers"),
    "exporters": _members_of("models.exporters"),
    "readers": _members_of("models.dvs.readers"),
    "mappings": _of_mappings,
    "transports": _members_of("noc.transports"),
}
