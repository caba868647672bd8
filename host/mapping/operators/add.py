"""A sum of two things that arrive."""

from __future__ import annotations

from host.mapping.layer_tiles import LayerTiles, pair
from host.mapping.operators._elementwise import blocks, element_words
from models.dnn.program import C_SCALES

__all__ = ["blocks", "configuration"]


def configuration(layer: LayerTiles) -> dict[int, int]:
    """Return the layer's words."""
    return element_words(layer) | pair(C_SCALES, layer.operation.attributes["multipliers"])
