"""A tile's block: what a worker reads from DRAM for it, where that lies in the worker's memory, and what it writes back.

Regions are laid out from 0 on, and moved to where a worker's tiles begin when the block is encoded.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from host.mapping.dnn_tensors import TensorPlace
from models.dnn.program import (
    B_BIAS,
    B_DIMS,
    B_FOLLOWING,
    B_HANDS,
    B_INPUT,
    B_MASK,
    B_MOVES,
    B_MULTIPLIERS,
    B_OUT_MOVES,
    B_OUTPUT,
    B_READS,
    B_RECEIVED,
    B_RIGHT,
    B_SHIFTS,
    B_SUMS,
    B_TABLE,
    B_TILE,
    B_WRITES,
    BLOCK_WORDS,
    FILL,
    OF_PASS,
    R_LANDING,
    STAYS,
    aligned,
)

MOST_BLOCK_BYTES = 4096  # what reads, moves or writes more pieces is no tile
STAYING = 1 << 28
"""Added to where something lies that stays in the memory from pass to pass: it has a region that no other tile uses."""
_PLACES = (B_INPUT, B_RIGHT, B_BIAS, B_MULTIPLIERS, B_SHIFTS, B_SUMS, B_OUTPUT, B_TABLE, B_MASK)


class Stretch(NamedTuple):
    """Bytes of DRAM and where they lie in the memory; `of_pass`: a tensor of the pass. `stays`: read in the first pass alone."""

    address: int
    size_bytes: int
    at: int
    of_pass: bool
    stays: bool = False


class Move(NamedTuple):
    """A move within the memory, in the order of `M_FROM` and so on (`models/dnn/program.py`)."""

    start: int
    to: int
    outer: int
    inner: int
    size_bytes: int
    from_outer: int = 0
    from_inner: int = 0
    to_outer: int = 0
    to_inner: int = 0


class Hand(NamedTuple):
    """Bytes that have arrived and are handed on to another worker, by its number, where they lie in its memory."""

    start: int
    size_bytes: int
    to: int
    worker: int


class Rows(NamedTuple):
    """Rows in the memory: where the first begins, and how many bytes lie from one to the next."""

    at: int
    pitch: int


class TileBlock:
    """One tile's block as it is put together; `tile` is its number in the layer."""

    def __init__(self, tile: int) -> None:
        self.tile = tile
        self.reads: list[Stretch] = []
        self.moves: list[Move] = []
        self.out_moves: list[Move] = []
        self.writes: list[Stretch] = []
        self.hands: list[Hand] = []
        self.received = 0
        self.end = 0  # of its regions
        self.staying_bytes = 0  # of what stays
        self._words = dict.fromkeys(_PLACES, 0)

    @property
    def size_bytes(self) -> int:
        """Bytes of the block in DRAM."""
        stretches = 4 * (len(self.reads) + len(self.writes) + len(self.hands)) + 9 * (len(self.moves) + len(self.out_moves))
        return aligned(4 * (BLOCK_WORDS + stretches))

    def region(self, size_bytes: int) -> int:
        """Return where a region of the memory begins that nothing else has."""
        at, self.end = self.end, self.end + aligned(size_bytes)
        return at

    def set(self, word: int, value: int) -> None:
        """Set a word of the block: a place in the memory, or a number."""
        self._words[word] = value

    def dims(self, *lengths: int) -> None:
        """Set the tile's dimensions."""
        for n, length in enumerate(lengths):
            self._words[B_DIMS + n] = length

    def read_constant(self, address: int, size_bytes: int, *, stays: bool = False) -> int:
        """Read constants; return where they lie."""
        if stays:
            at, self.staying_bytes = STAYING + self.staying_bytes, self.staying_bytes + aligned(size_bytes)
        else:
            at = self.region(size_bytes)
        self.reads.append(Stretch(address, size_bytes, at, False, stays))
        return at

    def read_rows(self, place: TensorPlace, first: int, rows: int, width: int) -> Rows:
        """Read `rows` rows of `width` numbers from number `first` of a tensor on; return where they lie."""
        if width == place.row and first % width == 0:
            at = self.read_stretch(place, place.address_of(first), (rows - 1) * place.pitch + width)
            return Rows(at, place.pitch)
        return Rows(self.read_numbers(place, first, rows * width), width)

    def read_numbers(self, place: TensorPlace, first: int, count: int) -> int:
        """Read numbers that lie one behind the other in a tensor; return where they do so in the memory."""
        last = first + count - 1
        if first // place.row == last // place.row or place.row == place.pitch:
            return self.read_stretch(place, place.address_of(first), count)
        begin = first // place.row
        rows = last // place.row - begin + 1
        stage = self.read_stretch(place, place.address_of(begin * place.row), (rows - 1) * place.pitch + place.row)
        at = self.region(rows * place.row)
        self.moves.append(Move(stage, at, 1, rows, place.row, 0, place.pitch, 0, place.row))
        return at + first % place.row

    def read_dense(self, place: TensorPlace, first: int, rows: int, width: int) -> int:
        """Read rows and leave no gaps between them; return where they lie."""
        have = self.read_rows(place, first, rows, width)
        if have.pitch == width or rows == 1:
            return have.at
        at = self.region(rows * width)
        self.moves.append(Move(have.at, at, 1, rows, width, 0, have.pitch, 0, width))
        return at

    def read_stretch(self, place: TensorPlace, address: int, size_bytes: int) -> int:
        """Read bytes of a tensor by their address, with those before them up to a multiple of 16; return where they lie."""
        begin = address // 16 * 16
        at = self.region(address - begin + size_bytes)
        self.reads.append(Stretch(begin, address - begin + size_bytes, at, place.of_pass))
        return at + address - begin

    def fill(self, at: int, size_bytes: int, value: int) -> None:
        """Fill a region with one value before anything is moved there."""
        self.moves.append(Move(FILL, at, value & 0xFF, 0, size_bytes))

    def move(self, start: int, to: int, size_bytes: int) -> None:
        """Move bytes within the memory before the step."""
        self.moves.append(Move(start, to, 1, 1, size_bytes))

    def write_rows(
        self, place: TensorPlace, at: int, *, first: int, groups: int, rows: int, width: int, group_numbers: int
    ) -> None:  # fmt: skip
        """Write what lies at `at`, (groups, rows, width) without gaps: row r of group g from number first + g group_numbers + r row
        of the tensor on, whose rows are longer where a tile has a part of them.
        """
        reaches_end = first % place.row + width == place.row
        pitch = aligned(width) if reaches_end else width
        if pitch != width:
            stage = self.region(groups * rows * pitch)
            self.out_moves.append(Move(FILL, stage, 0, 0, groups * rows * pitch))
            self.out_moves.append(Move(at, stage, 1, groups * rows, width, 0, width, 0, pitch))
            at = stage
        whole = pitch == place.pitch
        for group in range(groups):
            begin = first + group * group_numbers
            if whole and groups > 1 and group_numbers == rows * place.row:
                self.writes.append(Stretch(place.address_of(first), groups * rows * pitch, at, True))
                return
            if whole:
                self.writes.append(Stretch(place.address_of(begin), rows * pitch, at + group * rows * pitch, True))
                continue
            for row in range(rows):
                address = place.address_of(begin + row * place.row)
                self.writes.append(Stretch(address, pitch, at + (group * rows + row) * pitch, True))

    def encode(
        self, bases: tuple[int, int], size_bytes: int, following: int, tensors_at: int, drams: tuple[int, int], worker: int
    ) -> bytes:  # fmt: skip
        """Return the block's bytes for `worker`, with its regions from `bases` of the memory on, those of what stays from the
        second. `following` is the address of the worker's next block, 0 for none; `tensors_at` that of the first tensor; `drams`
        the worker's peers that have constants and tensors.
        """
        words = np.zeros(size_bytes // 4, np.int64)
        for word, value in self._words.items():
            words[word] = _place(value, bases) if word in _PLACES else value
        words[B_TILE], words[B_FOLLOWING], words[B_RECEIVED] = self.tile, following, self.received
        words[B_READS], words[B_MOVES], words[B_OUT_MOVES] = len(self.reads), len(self.moves), len(self.out_moves)
        words[B_WRITES], words[B_HANDS] = len(self.writes), len(self.hands)
        reads = [_row(one, bases, tensors_at, drams) for one in self.reads]
        rows = sorted(reads, key=lambda row: row[R_LANDING])
        for move in (*self.moves, *self.out_moves):
            start = move.start if move.start == FILL else _place(move.start, bases)
            rows.append((start, _place(move.to, bases), *move[2:]))
        rows += [_row(one, bases, tensors_at, drams) for one in self.writes]
        # A worker's peers are its scheduler, then the other workers in their order.
        for one in self.hands:
            peer = 1 + one.worker - (one.worker > worker)
            rows.append((_place(one.start, bases), one.size_bytes, _place(one.to, bases), peer))
        flat = [number for row in rows for number in row]
        words[BLOCK_WORDS : BLOCK_WORDS + len(flat)] = flat
        return words.astype("<i8").astype("<u4").tobytes()


def _place(value: int, bases: tuple[int, int]) -> int:
    """Return where something lies in the memory."""
    return value - STAYING + bases[1] if value >= STAYING else value + bases[0]


def _row(stretch: Stretch, bases: tuple[int, int], tensors_at: int, drams: tuple[int, int]) -> tuple[int, ...]:
    """Return the words of a stretch of DRAM."""
    address = stretch.address + tensors_at * stretch.of_pass
    flags = OF_PASS * stretch.of_pass | STAYS * stretch.stays | drams[stretch.of_pass] << 4
    return address, stretch.size_bytes, _place(stretch.at, bases), flags
