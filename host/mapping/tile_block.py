"""A tile's block: what a worker reads from DRAM for it, where that lies in the worker's memory, and what it writes back.

Regions are laid out from 0 on, and moved to where a worker's tiles begin when the block is encoded. A place is an offset into one
of four spaces of the memory, which begin at multiples of `SPACE` here: `TILE`, of this tile alone; `HELD`, of all tiles that the
worker has of the layer; `RESIDENT`, of tensors that stay until another layer has read them; `STAYING`, of constants for good.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from copy import copy
from typing import NamedTuple

import numpy as np

from host.mapping.dnn_tensors import TensorPlace
from models.dnn.program import (
    ADD,
    B_ADD,
    B_BIAS,
    B_COUNTER,
    B_DIMS,
    B_FOLLOWING,
    B_HANDS,
    B_INPUT,
    B_MASK,
    B_MOVES,
    B_MULTIPLIERS,
    B_OUT_HANDS,
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
    HAND_WORDS,
    OF_PASS,
    PROBED,
    R_LANDING,
    STAYS,
    aligned,
)

MOST_BLOCK_BYTES = 4096  # what reads, moves or writes more pieces is no tile
SPACE = 1 << 20
TILE, HELD, RESIDENT, STAYING = (SPACE * n for n in range(4))
_PLACES = (B_INPUT, B_RIGHT, B_BIAS, B_MULTIPLIERS, B_SHIFTS, B_SUMS, B_OUTPUT, B_TABLE, B_MASK)


class Bases(NamedTuple):
    """Where the spaces begin in a worker's memory; `first`: the tiles' for the first tile of each layer."""

    tile: int
    held: int
    resident: int
    staying: int
    first: int


class Stretch(NamedTuple):
    """Bytes of DRAM and where they lie in the memory; `of_pass`: a tensor of the pass. `stays`: read in the first pass alone;
    `is_probed`: not written, but shown to an observer.
    """

    address: int
    size_bytes: int
    at: int
    of_pass: bool
    stays: bool = False
    is_probed: bool = False


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
    """Bytes that are handed on to another worker, by its number, to where they lie in its memory; its `counter` says so."""

    start: int
    size_bytes: int
    to: int
    worker: int
    counter: int


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
        self.hands: list[Hand] = []  # of what has arrived
        self.out_hands: list[Hand] = []  # of what was made
        self.received, self.counter = 0, 0
        self._regions: list[tuple[int, int]] = []  # where each begins, and its bytes
        self._units: list[tuple[int, int]] = []  # regions that lie together: from where to where
        self.end = 0  # of its regions
        self.staying_bytes = 0  # of what stays
        self._words = dict.fromkeys((*_PLACES, B_ADD), 0)

    @property
    def size_bytes(self) -> int:
        """Bytes of the block in DRAM."""
        stretches, hands = len(self.reads) + len(self.writes), len(self.hands) + len(self.out_hands)
        return aligned(4 * (BLOCK_WORDS + 4 * stretches + 9 * (len(self.moves) + len(self.out_moves)) + HAND_WORDS * hands))

    def region(self, size_bytes: int) -> int:
        """Return where a region of the memory begins that nothing else has."""
        at, self.end = self.end, self.end + aligned(size_bytes)
        self._regions.append((at, size_bytes))
        return at

    def keep_together(self, first: int, last: int) -> None:
        """Note that regions, from that of one place to that of another, lie one behind the other."""
        begins = [begin for begin, _ in self._regions]
        begin, end = (begins[bisect_right(begins, place) - 1] for place in (first, last))
        self._units.append((begin, end + aligned(self.size_at(end))))

    def unit_of(self, place: int) -> tuple[int, int]:
        """Return from where to where the regions lie that move with that of a place: it alone, or its neighbours, too."""
        for begin, end in self._units:
            if begin <= place < end:
                return begin, end
        begins = [begin for begin, _ in self._regions]
        begin, size = self._regions[bisect_right(begins, place) - 1]
        return begin, begin + aligned(size)

    def size_at(self, start: int) -> int:
        """Return the bytes of the region that begins at a place."""
        return next(size for begin, size in self._regions if begin == start and size)

    def word(self, word: int) -> int:
        """Return a word that was set."""
        return self._words[word]

    def moved(self, places: Mapping[int, int]) -> TileBlock:
        """Return the block with some of its units of regions, by where each begins, in other spaces; the others close up."""
        other, regions, end = copy(self), [], 0
        starts = [start for start, _ in self._regions]
        shifted: list[int] = []
        for start, size in self._regions:
            unit = self.unit_of(start)[0]
            if unit in places and size:
                shifted.append(places[unit] + start - unit)
                continue
            shifted.append(end)
            regions.append((end, size))
            end += aligned(size)

        def to(place: int) -> int:
            if not TILE <= place < HELD or not starts:
                return place
            number = bisect_right(starts, place) - 1
            return shifted[number] + place - starts[number]

        other._regions, other.end = regions, end
        stay = [(begin, stop) for begin, stop in self._units if begin not in places]
        other._units = [(to(begin), to(begin) + stop - begin) for begin, stop in stay]
        other._words = {word: to(value) if word in _PLACES else value for word, value in self._words.items()}
        other.reads = [one._replace(at=to(one.at)) for one in self.reads]
        other.writes = [one._replace(at=to(one.at)) for one in self.writes]
        other.moves, other.out_moves = ([_moved(one, to) for one in moves] for moves in (self.moves, self.out_moves))
        other.hands, other.out_hands = (
            [one._replace(start=to(one.start)) for one in hands] for hands in (self.hands, self.out_hands)
        )
        return other

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

    def add_sums(self, start: int, to: int, size_bytes: int) -> None:
        """Add int32 sums to others before the step."""
        self.moves.append(Move(ADD, to, start, 0, size_bytes))

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
        self, bases: Bases, size_bytes: int, following: int, tensors_at: int, drams: tuple[int, int], worker: int
    ) -> bytes:  # fmt: skip
        """Return the block's bytes for `worker`, with `bases` of its memory. `following`: the address of its next block, or 0;
        `tensors_at` that of the first tensor; `drams` the worker's peers that have constants and tensors.
        """
        words = np.zeros(size_bytes // 4, np.int64)
        for word, value in self._words.items():
            words[word] = _place(value, bases) if word in _PLACES else value
        words[B_TILE], words[B_FOLLOWING], words[B_RECEIVED] = self.tile, following, self.received
        words[B_READS], words[B_MOVES], words[B_OUT_MOVES] = len(self.reads), len(self.moves), len(self.out_moves)
        words[B_WRITES], words[B_HANDS], words[B_OUT_HANDS] = len(self.writes), len(self.hands), len(self.out_hands)
        words[B_COUNTER] = self.counter
        reads = [_row(one, bases, tensors_at, drams) for one in self.reads]
        rows = sorted(reads, key=lambda row: row[R_LANDING])
        for move in (*self.moves, *self.out_moves):
            start = move.start if move.start in (FILL, ADD) else _place(move.start, bases)
            outer = _place(move.outer, bases) if move.start == ADD else move.outer
            rows.append((start, _place(move.to, bases), outer, *move[3:]))
        rows += [_row(one, bases, tensors_at, drams) for one in self.writes]
        # A worker's peers are its scheduler, then the other workers in their order.
        for one in (*self.hands, *self.out_hands):
            peer = 1 + one.worker - (one.worker > worker)
            to = _place(one.to, bases._replace(tile=bases.first))
            rows.append((_place(one.start, bases), one.size_bytes, to, peer, one.counter))
        flat = [number for row in rows for number in row]
        words[BLOCK_WORDS : BLOCK_WORDS + len(flat)] = flat
        return words.astype("<i8").astype("<u4").tobytes()


def _place(value: int, bases: Bases) -> int:
    """Return where something lies in the memory."""
    space, offset = divmod(value, SPACE)
    return bases[space] + offset


def _moved(move: Move, to: Callable[[int], int]) -> Move:
    start, outer = move.start, move.outer
    if start == ADD:
        outer = to(outer)
    elif start != FILL:
        start = to(start)
    return move._replace(start=start, to=to(move.to), outer=outer)


def _row(stretch: Stretch, bases: Bases, tensors_at: int, drams: tuple[int, int]) -> tuple[int, ...]:
    """Return the words of a stretch of DRAM."""
    address = stretch.address + tensors_at * stretch.of_pass
    flags = OF_PASS * stretch.of_pass | STAYS * stretch.stays | PROBED * stretch.is_probed | drams[stretch.of_pass] << 4
    return address, stretch.size_bytes, _place(stretch.at, bases), flags
