"""In which order tilings of a layer are tried: first what takes a chip the least time, or what moves in the fewest pieces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf

from host.cost.program_price import LayerTerms, layer_cost
from host.mapping.tile_block import TileBlock
from models.dnn.tiles import MatmulTiling, Tiling, tilings
from models.dnn.work import Work

FirstBlocks = Callable[[Tiling], tuple[Tiling, Sequence[TileBlock]] | None]
"""A tiling as it would be cut, and the blocks of its first tile; None where that does not fit a worker."""
Order = Callable[[Sequence[Tiling], int, FirstBlocks], Sequence[Tiling]]
"""(tilings, the fastest first; workers; first blocks) -> tilings in the order in which they are tried."""
_BYTES_A_TRANSFER = 8192  # that take the emulator as long as one transfer more
_MOST_LOOKED = 12  # tilings of a layer into whose blocks it looks
_TRANSFERS_A_ROUND = 8  # and that a round of a worker does, with its messages of a few ticks


def fastest_first(work: Work, terms: LayerTerms, kind: str) -> list[Tiling]:
    """Return the tilings of a work, those first that are expected to take the least time; of whole depth before all others, where
    they are to be.
    """
    ranked = []
    for number, tiling in enumerate(tilings(work, terms.workers)):
        cost, is_cut = layer_cost(kind, tiling, terms), tiling.parts > 1 and terms.settings.tiles == "whole_depth"
        ranked.append(((is_cut, cost.time_s, cost.pes, cost.rounds, tiling.parts, tiling.results, number), tiling))
    return [tiling for _, tiling in sorted(ranked, key=lambda pair: pair[0])]


def fewest_transfers_first(given: Sequence[Tiling], workers: int, first_blocks: FirstBlocks) -> list[Tiling]:
    """Return the tilings, first the one of which the fewest transfers and bytes go through routers: the emulator's time, no chip's.

    A tile's transfers stand in its block; those that look best from their shapes are looked into.
    """
    promising = sorted(range(len(given)), key=lambda number: (_expected_cost(given[number], workers), number))
    best, looked = [(inf, 0)], 0
    for number in promising:
        trial = first_blocks(given[number])
        if trial is None:
            continue
        tiling, blocks = trial
        times = tiling.tiles // tiling.parts
        transfers = sum(2 * len(block.reads) + len(block.writes) for block in blocks)
        size_bytes = sum(one.size_bytes for block in blocks for one in (*block.reads, *block.writes))
        best.append((_cost(tiling, workers, times * transfers, times * size_bytes), number))
        looked += 1
        if looked == _MOST_LOOKED:
            break
    return [*(given[number] for _, number in sorted(best)[:1]), *given]


def _expected_cost(tiling: Tiling, workers: int) -> float:
    """Return what a tiling may take, from its shape alone: rows of what is cut lie apart."""
    reads, writes = 2, 1
    if isinstance(tiling, MatmulTiling):
        work, is_cut = tiling.work, tiling.columns < tiling.work.columns
        reads = (tiling.rows if tiling.parts > 1 else 1) + (tiling.depth if is_cut and not work.is_weight else 1)
        writes = tiling.rows if is_cut else 1
    size_bytes = tiling.tiles * sum(tiling.fetched) + tiling.tiles // tiling.parts * tiling.results
    return _cost(tiling, workers, 2 * tiling.tiles * reads + tiling.tiles // tiling.parts * writes, size_bytes)


def _cost(tiling: Tiling, workers: int, transfers: int, size_bytes: int) -> float:
    """Return what a tiling takes the emulator, in transfers."""
    rounds = -(-tiling.tiles // tiling.parts // workers) * tiling.parts
    return transfers + size_bytes / _BYTES_A_TRANSFER + _TRANSFERS_A_ROUND * rounds * workers
