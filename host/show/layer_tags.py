"""Short names of layers, for where there is little room: L1, L2 and so on."""

from __future__ import annotations

from collections.abc import Mapping

from host.show.status import Fields
from host.show.terminal_style import clean


def layer_tags(layout: Fields) -> dict[str, str]:
    """Return the short name of each layer, by its name."""
    return {str(layer.get("name")): f"L{place}" for place, layer in enumerate(layout.get("layers") or (), 1)}


def tag_of(pe: Fields, tags: Mapping[str, str]) -> str:
    """Return the short names of a PE's layers, as "L1+L2"."""
    return "+".join(tags.get(name, clean(name)) for name in str(pe.get("layer") or "").split("+"))
