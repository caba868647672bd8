"""Sections of a run's page: one file each, found by its name (`models/families.py`).

Contract of a section's file:

- `TITLE`: what stands above it; `ORDER`: where it stands, ascending (the project's own have 10, 20, 30 ...); the sections of the
  run's workload stand before all of these;
- `build(content)`: its blocks (`host/show/blocks.py`) of what the run folder holds (`host/show/content.py`); where there are none,
  the section is left out. A run that failed has no report, and one that was not priced no ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol, cast

from host.show.blocks import Html, section
from host.show.content import Content
from models.families import family_path, member, member_names

__path__ = family_path(__path__, __name__)


class Section(Protocol):
    """A module of this package."""

    TITLE: str
    ORDER: int

    def build(self, content: Content) -> Sequence[Html]:
        """Return the blocks of the section."""


def all_sections() -> list[Section]:
    """Return every section, as they stand on the page."""
    package = sys.modules[__name__]
    loaded = {name: cast(Section, member(package, name, "page section")) for name in member_names(package)}
    return [loaded[name] for name in sorted(loaded, key=lambda name: (loaded[name].ORDER, name))]


def build_sections(content: Content) -> list[Html]:
    """Return every section that has something to show of this run."""
    built = ((one.TITLE, one.build(content)) for one in all_sections())
    return [section(title, blocks) for title, blocks in built if blocks]
