"""How tiles of an operator are addressed: one file a kind, found by its name.

Contract of a file, of a `LayerTiles` (`host/mapping/layer_tiles.py`):

- `configuration(layer) -> dict`: words of the layer's configuration beside those of every layer (`models/dnn/program.py`).
- `blocks(layer, number) -> list[TileBlock]`: the blocks of output tile `number`, one a part of the depth, which one worker does
  one after another.
- `part(layer, number, which, *, first, last) -> TileBlock`, where the depth may be cut: the block of a part, `first` with new sums,
  `last` with outputs. Behind the last part there is one of no depth, which ends with sums that are there.

What a worker does with them is `models/tile_steps`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, cast

from models.families import family_path, member, member_names

if TYPE_CHECKING:
    from host.mapping.layer_tiles import LayerTiles
    from host.mapping.tile_block import TileBlock

__path__ = family_path(__path__, __name__)


class TileAddresses(Protocol):
    """A module of this package."""

    def configuration(self, layer: LayerTiles) -> Mapping[int, int]:
        """Return words of the layer's configuration."""

    def blocks(self, layer: LayerTiles, number: int) -> list[TileBlock]:
        """Return the blocks of an output tile."""

    def part(self, layer: LayerTiles, number: int, which: int, *, first: bool, last: bool) -> TileBlock:
        """Return the block of a part of an output tile's depth; where the kind has any."""


def names() -> list[str]:
    """Return the kinds of operator that run on PEs, ascending."""
    return member_names(__name__)


def tile_addresses(kind: str) -> TileAddresses:
    """Return how tiles of a kind are addressed; ModelError, with the nearest name, where PEs cannot run it."""
    return cast(TileAddresses, member(__name__, kind, "operator on PEs"))
