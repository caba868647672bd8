"""Sections of a run's page: one file each, found by its name (`models/families.py`).

Contract of a section's file:

- `TITLE`: what stands above it; `ORDER`: where it stands, ascending (the project's own have 10, 20, 30 ...). The sections of the
  run's workload stand before those, and behind whatever has less than 10, which stands above the page's numbers;
- `build(content)`: its blocks (`host/show/blocks.py`) of what the run folder holds (`host/show/content.py`). A run that failed has
  no report, and one that was not priced no ledger;
- and where it has them `figures(content)`: its figures (`blocks.Figure`). They stand in a row above its blocks, and are files of
  the run folder and methods of `run.figures` in Python.

Where a section has neither blocks nor figures, it is left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol, cast

from host.show.blocks import Figure, Html
from host.show.content import Content
from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)


class Section(Protocol):
    """A module of this package."""

    TITLE: str
    ORDER: int

    def build(self, content: Content) -> Sequence[Html]:
        """Return the blocks of the section."""


class Built(NamedTuple):
    """A section of one run: its title, where it stands, its figures and its blocks."""

    title: str
    order: int
    figures: Sequence[Figure]
    blocks: Sequence[Html]


def all_sections() -> list[Section]:
    """Return every section, as they stand on the page."""
    package = sys.modules[__name__]
    loaded = {name: cast(Section, member(package, name, "page section")) for name in member_names(package)}
    return [loaded[name] for name in sorted(loaded, key=lambda name: (loaded[name].ORDER, name))]


def figures_of(section: Section, content: Content) -> list[Figure]:
    """Return a section's figures of this run; none where it has none."""
    return list(getattr(section, "figures", lambda _: ())(content))


def build_sections(content: Content) -> list[Built]:
    """Return every section that has something to show of this run."""
    built = [Built(one.TITLE, one.ORDER, figures_of(one, content), one.build(content)) for one in all_sections()]
    return [one for one in built if one.figures or one.blocks]
