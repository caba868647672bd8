"""With which options the run was made, on what, and what became of the mapping."""

import shlex
from collections.abc import Mapping
from typing import Any

from host.show.blocks import Html, details, flatten, scrolled, table
from host.show.content import Content
from host.show.words import name_of

TITLE = "Configuration"
ORDER = 100


def build(content: Content) -> list[Html]:
    """Return hash, provenance, options and mapping."""
    blocks, report = [], content.report
    if events := report.get("events"):
        blocks.append(scrolled(f"event hash {events['sha256']}"))
    if provenance := report.get("provenance"):
        blocks.append(scrolled(shlex.join(map(str, provenance["command"]))))
        blocks.append(details("Inputs, code and libraries", table(("", ""), _provenance(provenance), long=1)))
    options = [(name_of(name), value) for name, value in sorted(flatten(content.config))]
    blocks.append(details(f"All {len(options)} options", table(("option", "value"), options, long=1)))
    if mapping := report.get("mapping"):
        rows = [(name_of(name), value) for name, value in flatten(mapping)]
        blocks.append(details("Mapping", table(("", ""), rows, long=1)))
    return blocks


def _provenance(provenance: Mapping[str, Any]) -> list[tuple[str, Any]]:
    inputs = [(f"{one.get('part')} {one.get('name')}", one.get("sha256")) for one in provenance.get("inputs") or ()]
    libraries = provenance.get("libraries") or {}
    rows = [(words, provenance.get(key)) for words, key in (("date", "date"), ("version", "version"), ("code", "code_sha256"))]
    return [*rows, *inputs, ("libraries", ", ".join(f"{name} {version}" for name, version in libraries.items()))]
