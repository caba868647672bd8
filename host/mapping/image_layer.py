"""A layer of a scheduled network in its image: its tiles, the blocks of each worker, and what of a worker's memory they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from host.mapping.layer_tiles import LayerTiles
from host.mapping.tile_block import TileBlock
from models.dnn.program import MOST_COUNTERS

_MOST_ROWS = 60  # transfers that a worker puts out in a tick, for the bound of a layer's ticks
_ROUNDS = MOST_COUNTERS // 2
MOST_LAYERS_APART = _ROUNDS - 1
"""From the layer that makes a tensor that stays in SRAM to one that reads it."""


@dataclass(frozen=True, kw_only=True)
class ImageLayer:
    """`blocks` of each worker that has any, in the order in which it does them; `held`: bytes that all tiles of each share, beside
    their own. `words`: of the configuration. `buffers`: tiles that have their place at a time.
    """

    tiles: LayerTiles
    blocks: Sequence[Sequence[TileBlock]]
    held: Sequence[int]
    words: Mapping[int, int]
    buffers: int

    @property
    def workers(self) -> int:
        """How many workers have a tile."""
        return len(self.blocks)

    @property
    def rounds(self) -> int:
        """How many tiles the busiest worker does."""
        return max(map(len, self.blocks))

    @cached_property
    def block_bytes(self) -> int:
        """Bytes of every block of the layer."""
        return max(block.size_bytes for of_worker in self.blocks for block in of_worker)

    @cached_property
    def span_bytes(self) -> int:
        """Bytes of the regions of its largest tile."""
        return max(block.end for of_worker in self.blocks for block in of_worker)

    @property
    def tiles_bytes(self) -> int:
        """Bytes of the places of tiles."""
        return self.span_bytes * (self.buffers if self.rounds > 1 else 1)

    @property
    def memory_bytes(self) -> int:
        """Bytes of tiles, and of what they share, on the fullest worker."""
        return self.tiles_bytes + max(self.held)

    @cached_property
    def staying_bytes(self) -> list[int]:
        """Bytes that stay on each worker."""
        return [sum(block.staying_bytes for block in of_worker) for of_worker in self.blocks]

    @property
    def most_ticks(self) -> int:
        """A bound on the ticks that it takes."""
        each = [sum(map(_ticks_of, of_worker)) for of_worker in self.blocks]
        if any(block.received for of_worker in self.blocks for block in of_worker):
            return sum(each) + 16  # whoever waits for others may wait for all
        return max(each) + 16


def _ticks_of(block: TileBlock) -> int:
    rows = len(block.reads), len(block.writes), len(block.hands), len(block.out_hands)
    return sum(count // _MOST_ROWS for count in rows) + 6


def counter_of(layer: int, turn: int) -> int | None:
    """Return the counter in which a worker counts what peers hand to its tile number `turn` of a layer; None behind those that it
    has. What stays in SRAM comes layers before, and counts as the first tile's.
    """
    if turn == 0:
        return _ROUNDS + layer % _ROUNDS
    return turn if turn < _ROUNDS else None
