"""Tiles dealt to workers: in turn, and, where the depth of a product is cut, each part to a worker of its own.

Whoever does a part makes int32 sums of it and hands them to one of them, which adds them up and ends with the output. That is done
where there are workers for all at once; else one worker does the parts of a tile one after another, in the same sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from host.cost.program_settings import ProgramSettings
from host.mapping.image_layer import counter_of
from host.mapping.layer_tiles import LayerTiles
from host.mapping.operators import tile_addresses
from host.mapping.tile_block import HELD, Hand, TileBlock
from models.dnn.program import B_ADD, B_OUTPUT, B_SUMS, aligned


class Dealt(NamedTuple):
    """Blocks of each worker, and bytes that all of a worker's share."""

    blocks: Sequence[Sequence[TileBlock]]
    held: Sequence[int]


def deal_tiles(layer: LayerTiles, number: int, workers: int, settings: ProgramSettings) -> Dealt:
    """Return the tiles of layer `number` as the workers have them, as even as they go."""
    tiles, addresses = layer.output_tiles, tile_addresses(layer.operation.kind)
    goes_apart = settings.reduce == "mesh" and hasattr(addresses, "part")
    several = min(layer.tiling.parts, workers // tiles) if goes_apart else 1
    if several > 1:
        return _deal_parts(layer, number, several)
    rounds = -(-tiles // workers)
    used = -(-tiles // rounds)
    dealt = [[block for tile in range(worker, tiles, used) for block in addresses.blocks(layer, tile)] for worker in range(used)]
    goes_on = any(block.word(B_ADD) for of_worker in dealt for block in of_worker)
    if not goes_on or settings.buffers == 1:
        return Dealt(dealt, [0] * used)
    word = B_SUMS if layer.tiling.parts > 1 else B_OUTPUT  # what a block adds to
    return Dealt(
        [[_with_held(block, word) for block in of_worker] for of_worker in dealt],
        [max(aligned(block.size_at(block.word(word))) for block in of_worker) for of_worker in dealt],
    )


def _deal_parts(layer: LayerTiles, number: int, several: int) -> Dealt:
    addresses, parts = tile_addresses(layer.operation.kind), len(tile_addresses(layer.operation.kind).blocks(layer, 0))
    several = min(several, parts)
    dealt: list[list[TileBlock]] = []
    held = []
    for tile in range(layer.output_tiles):
        owner = len(dealt)
        chains = [
            [addresses.part(layer, tile, which, first=which == n, last=False) for which in range(n, parts, several)]
            for n in range(several)
        ]
        end = addresses.part(layer, tile, parts, first=False, last=True)
        size = end.size_at(end.word(B_SUMS))
        end.counter, end.received = counter_of(number, len(chains[0])) or 0, several - 1
        chains[0].append(end)
        chains = [[_with_held(block, B_SUMS) for block in chain] for chain in chains]
        for n in range(1, several):
            place = HELD + n * aligned(size)
            chains[0][-1].add_sums(place, HELD, size)
            chains[n][-1].out_hands.append(Hand(start=HELD, size_bytes=size, to=place, worker=owner, counter=end.counter))
        dealt += chains
        held += [several * aligned(size)] + [aligned(size)] * (several - 1)
    return Dealt(dealt, held)


def _with_held(block: TileBlock, word: int) -> TileBlock:
    """Return a block whose sums, or outputs, lie where the other parts of its tile have them, too."""
    return block.moved({block.word(word): HELD})
