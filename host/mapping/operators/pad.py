"""A border of one value around what arrives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators._moves import move_blocks
from host.mapping.scattered_numbers import NOTHING
from host.mapping.tile_block import TileBlock
from models.network import I64


def configuration(layer: LayerTiles) -> dict[int, int]:  # noqa: ARG001 - the contract's arguments
    """Return no words: the tiles' moves are all there is."""
    return {}


def blocks(layer: LayerTiles, number: int) -> list[TileBlock]:
    """Return the blocks of tile `number`."""
    return move_blocks(layer, number, _sources, int(layer.operation.attributes["pad_value"]))


def _sources(numbers: Sequence[I64], attributes: Mapping[str, Any]) -> I64:
    pads, rank = attributes["pads"], numbers[0].ndim
    around = list(zip(pads[:rank], pads[rank:], strict=True))
    return np.pad(numbers[0], around, constant_values=NOTHING)
