"""Tiles that are read once: a stretch of DRAM that several tiles of a layer need is read for one of them, and handed on.

Whoever needs it first reads it: tiles count by their turn, then by their worker. It goes to a few others, from those to others, so
that no outbox overflows, and nobody waits for anybody behind it. A worker that needs it for several tiles keeps it, and so does
one that needs it behind its first tile: it may come while another tile is computed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from host.mapping.image_layer import ImageLayer, counter_of
from host.mapping.tile_block import HELD, MOST_BLOCK_BYTES, Hand, TileBlock
from models.dnn.program import HAND_WORDS, aligned
from models.kernels.sharing_worker import MOST_HANDED

_FAN_OUT = 4
Key = tuple[bool, int, int]
"""Of a stretch: whether it is the pass's, its address, and its bytes."""
Turn = tuple[int, int]
"""A tile by its turn on its worker, and that worker."""


def share_stretches(layer: ImageLayer, number: int, room: int) -> ImageLayer:
    """Return layer `number` with as much as goes read once. `room`: bytes that a worker has for it."""
    users = _users_of(layer.blocks)
    plan = _Plan(layer, number, room)
    for key in sorted(users, key=lambda key: (-(len(users[key]) - 1) * key[2], key)):
        if len(users[key]) > 1 and len(set(users[key])) == len(users[key]):
            plan.take(key, sorted(users[key]))
    return plan.made()


def _users_of(blocks: Sequence[Sequence[TileBlock]]) -> dict[Key, list[Turn]]:
    users: dict[Key, list[Turn]] = defaultdict(list)
    for worker, of_worker in enumerate(blocks):
        for turn, block in enumerate(of_worker):
            for one in block.reads:
                if not one.stays:
                    users[one.of_pass, one.address, one.size_bytes].append((turn, worker))
    return users


class _Plan:
    """What is shared of a layer, as it is decided."""

    def __init__(self, layer: ImageLayer, number: int, room: int) -> None:
        self._layer, self._number, self._room = layer, number, room - layer.tiles_bytes
        self._held = list(layer.held)
        self._handed = [sum(block.received for block in of_worker) for of_worker in layer.blocks]
        self._sizes = {
            (turn, worker): block.size_bytes
            for worker, of_worker in enumerate(layer.blocks)
            for turn, block in enumerate(of_worker)
        }
        self._users: dict[Key, list[Turn]] = {}
        self._places: dict[Turn, dict[int, int]] = defaultdict(dict)  # of each tile: where a region began -> where it lies now

    def take(self, key: Key, users: list[Turn]) -> None:
        """Share a stretch, unless it does not go."""
        firsts = _firsts(users)
        receivers, size = firsts[1:], aligned(key[2])
        keepers = {worker for turn, worker in receivers if turn}
        keepers |= {worker for _, worker in firsts if sum(other == worker for _, other in users) > 1}
        givers = [firsts[number // _FAN_OUT] for number in range(len(receivers))]
        if any(counter_of(self._number, turn) is None or self._handed[worker] >= MOST_HANDED for turn, worker in receivers):
            return
        if any(self._lies_together(turn, worker, key) for turn, worker in users if worker in keepers):
            return
        if any(self._held[worker] + size > self._room for worker in keepers):
            return
        if any(self._sizes[giver] + 4 * HAND_WORDS * givers.count(giver) > MOST_BLOCK_BYTES for giver in set(givers)):
            return
        self._users[key] = users
        for giver in givers:
            self._sizes[giver] += 4 * HAND_WORDS
        for _, worker in receivers:
            self._handed[worker] += 1
        for turn, worker in users:
            if worker in keepers:
                self._places[turn, worker][_read_of(self._layer.blocks[worker][turn], key)] = HELD + self._held[worker]
        for worker in keepers:
            self._held[worker] += size

    def _lies_together(self, turn: int, worker: int, key: Key) -> bool:
        """Tell whether a stretch lies with others in a tile's memory, so that it cannot be kept elsewhere alone."""
        block = self._layer.blocks[worker][turn]
        begin, end = block.unit_of(_read_of(block, key))
        return end - begin > aligned(key[2])

    def made(self) -> ImageLayer:
        """Return the layer with all of it."""
        layer = self._layer
        if not self._users:
            return layer
        blocks = [
            [block.moved(self._places[turn, worker]) for turn, block in enumerate(of_worker)]
            for worker, of_worker in enumerate(layer.blocks)
        ]
        for key, users in self._users.items():
            firsts = _firsts(users)
            places = [_read_of(blocks[worker][turn], key) for turn, worker in firsts]
            for turn, worker in users[1:]:
                block = blocks[worker][turn]
                block.reads = [one for one in block.reads if (one.of_pass, one.address, one.size_bytes) != key]
            for number, (turn, worker) in enumerate(firsts[1:]):
                giver, block = number // _FAN_OUT, blocks[worker][turn]
                block.received, block.counter = block.received + 1, counter_of(self._number, turn) or 0
                given = blocks[firsts[giver][1]][firsts[giver][0]]
                given.hands.append(Hand(places[giver], key[2], places[number + 1], worker, block.counter))
        return replace(layer, blocks=blocks, held=self._held)


def _firsts(users: Sequence[Turn]) -> list[Turn]:
    """Return each worker's first tile among some, in their order."""
    firsts: dict[int, Turn] = {}
    for turn, worker in users:
        firsts.setdefault(worker, (turn, worker))
    return list(firsts.values())


def _read_of(block: TileBlock, key: Key) -> int:
    """Return where a block's tile has a stretch."""
    return next(one.at for one in block.reads if (one.of_pass, one.address, one.size_bytes) == key)
