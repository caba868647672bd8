"""The pieces of a tile of the core: rows of the output, or strips of a row or plane that no worker has room for as a whole."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from host.mapping.dnn_tensors import TensorPlace
from host.mapping.layer_tiles import LayerTiles, span
from host.mapping.scattered_numbers import read_in_order
from host.mapping.tile_block import TileBlock
from models.dnn.tiles import CoreTiling
from models.network import I64


class Piece(NamedTuple):
    """`rows` rows of the output, or `width` numbers of each, from number `first` on, all samples' one behind the other."""

    first: int
    rows: int
    width: int
    pitch: int = 0
    """Numbers from row to row; 0: `width`, they lie one behind the other."""

    @property
    def size(self) -> int:
        """How many numbers that are."""
        return self.rows * self.width

    @property
    def numbers(self) -> I64:
        """Which numbers of the output these are, (size,)."""
        pitch = self.pitch or self.width
        return np.asarray((self.first + np.arange(self.rows)[:, None] * pitch + np.arange(self.width)).reshape(-1), np.int64)

    def halves(self, alignment: int) -> tuple[Piece, Piece]:
        """Return both halves of each row, the second of which begins at a multiple of so many numbers."""
        pitch, left = self.pitch or self.width, -(-self.width // (2 * alignment)) * alignment
        return Piece(self.first, self.rows, left, pitch), Piece(self.first + left, self.rows, self.width - left, pitch)


class Strip(NamedTuple):
    """Rows `top` and so on of a plane."""

    plane: int
    top: int
    rows: int


def pieces_of(layer: LayerTiles, number: int) -> list[Piece]:
    """Return the pieces of output tile `number`: all its rows, or each of its strips."""
    tiling, row = layer.tiling, layer.output.row
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    strips, width = tiling.work.strips, tiling.work.unit_output_bytes
    if strips == 1:
        rows = count * width // row
        return [Piece(first * width, rows, row)]
    made = []
    for unit in range(first, first + count):
        whole, strip = divmod(unit, strips)
        made.append(Piece(whole * row + strip * width, 1, min(width, row - strip * width)))
    return made


def strips_of(layer: LayerTiles, number: int, rows: int) -> list[Strip]:
    """Return the strips of output tile `number` of planes of `rows` rows that are cut."""
    tiling = layer.tiling
    assert isinstance(tiling, CoreTiling)
    first, count = span(number, tiling.units, tiling.work.units)
    each, made = -(-rows // tiling.work.strips), []
    for unit in range(first, first + count):
        plane, strip = divmod(unit, tiling.work.strips)
        made.append(Strip(plane, strip * each, min(each, rows - strip * each)))
    return made


def read_piece(block: TileBlock, layer: LayerTiles, place: TensorPlace, piece: Piece) -> int:
    """Read what a piece of the output wants of an input, which is repeated where its shape is smaller; return where that lies."""
    if place.size == layer.output.size:
        if piece.rows == 1:
            return block.read_numbers(place, piece.first, piece.width)
        return block.read_dense(place, piece.first, piece.rows, piece.width)
    sample, within = np.divmod(piece.numbers, layer.output.size)
    whole = np.broadcast_to(np.arange(place.size).reshape(place.shape), layer.output.shape)
    return read_in_order(block, place, sample * place.size + whole.reshape(-1)[within])


def write_piece(block: TileBlock, layer: LayerTiles, at: int, piece: Piece) -> None:
    """Write a piece of the output, which lies at `at` without gaps."""
    block.write_rows(
        layer.output, at, first=piece.first, groups=1, rows=piece.rows, width=piece.width, group_numbers=0
    )  # fmt: skip
