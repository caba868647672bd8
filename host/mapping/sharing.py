"""Tiles that are read once: a stretch of DRAM that several workers' tiles need is read by one of them, which hands it on.

Of a layer with one tile a worker either the constants are shared or the tensors, whichever saves more bytes: then nobody who hands
on waits for anybody who waits for it. A worker hands on to a few others, and those to others, so that no outbox overflows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from copy import copy

from host.mapping.tile_block import Hand, TileBlock

_FAN_OUT = 4


def share_stretches(blocks: Sequence[Sequence[TileBlock]]) -> list[list[TileBlock]]:
    """Return the blocks of a layer's workers with each stretch of one operand read once; as they are where none can be shared."""
    if any(len(of_worker) > 1 for of_worker in blocks):
        return [list(of_worker) for of_worker in blocks]
    users: dict[bool, dict[tuple[int, int], list[int]]] = {True: defaultdict(list), False: defaultdict(list)}
    for worker, (block,) in enumerate(blocks):
        for one in block.reads:
            if not one.stays:
                users[one.of_pass][one.address, one.size_bytes].append(worker)
    saved = {kind: sum((len(by) - 1) * size for (_, size), by in of_kind.items()) for kind, of_kind in users.items()}
    kind = max(saved, key=lambda which: saved[which])
    if not saved[kind]:
        return [list(of_worker) for of_worker in blocks]
    made = [_copied(block) for (block,) in blocks]
    for (address, size), by in users[kind].items():
        if len(set(by)) < len(by):  # one that a tile reads twice
            continue
        places = [_place(made[worker], kind, address, size) for worker in by]
        for number, worker in enumerate(by[1:], start=1):
            giver = (number - 1) // _FAN_OUT
            block = made[worker]
            block.reads = [one for one in block.reads if (one.of_pass, one.address, one.size_bytes) != (kind, address, size)]
            block.received += 1
            made[by[giver]].hands.append(Hand(places[giver], size, places[number], worker))
    return [[block] for block in made]


def _copied(block: TileBlock) -> TileBlock:
    other = copy(block)
    other.reads, other.hands = list(block.reads), list(block.hands)
    return other


def _place(block: TileBlock, kind: bool, address: int, size: int) -> int:
    """Return where a block's tile has a stretch."""
    return next(one.at for one in block.reads if (one.of_pass, one.address, one.size_bytes) == (kind, address, size))
