"""The multicast routing table of a chip: 32-bit keys, masks, and the endpoints that a matching event is copied to.

An event's key on the chip is its population's base key plus its own (lane * width + unit). Base keys are aligned blocks
of a power of two, so one entry serves a population and tables need no compression.
"""

from collections.abc import Iterable
from typing import NamedTuple

KEY_BITS = 32


class RoutingEntry(NamedTuple):
    """Events with `event_key & mask == key` are copied to each of `destinations`."""

    key: int
    mask: int
    destinations: tuple[str, ...]


class RoutingError(ValueError):
    """Keys or entries that do not fit the chip's table."""


class RoutingTable:
    """Entries in order of priority: the first that matches counts, as in the chip's ternary memory."""

    def __init__(self, entries: Iterable[RoutingEntry], capacity: int) -> None:
        self.entries = tuple(entries)
        if len(self.entries) > capacity:
            raise RoutingError(f"routing table: needs {len(self.entries)} entries, the chip has {capacity}")

    def destinations(self, key: int) -> tuple[str, ...]:
        """Return where an event with `key` goes; nowhere where no entry matches."""
        for entry in self.entries:
            if key & entry.mask == entry.key:
                return entry.destinations
        return ()

    def destinations_of_block(self, key: int, mask: int) -> tuple[str, ...]:
        """Return where every event of the block `key`/`mask` goes; RoutingError for an entry that would split the block."""
        for entry in self.entries:
            finer = entry.mask & ~mask & ((1 << KEY_BITS) - 1)
            meets = not (entry.key ^ key) & entry.mask & mask  # some key of the block matches the entry
            if finer and meets:
                block, part = f"{key:#010x}/{mask:#010x}", f"{entry.key:#010x}/{entry.mask:#010x}"
                raise RoutingError(f"routing table: entry {part} splits the population at {block}; needs one entry a population")
        return self.destinations(key)


def key_blocks(sizes: Iterable[int]) -> list[tuple[int, int]]:
    """Return (base key, mask) for populations of the given numbers of keys; RoutingError past 32 bits."""
    blocks, base = [], 0
    for size in sizes:
        block = 1 << max(size - 1, 0).bit_length()
        base = -(-base // block) * block
        if base + block > 1 << KEY_BITS:
            raise RoutingError(f"routing keys: {base + block} keys do not fit {KEY_BITS} bits")
        blocks.append((base, ((1 << KEY_BITS) - 1) & ~(block - 1)))
        base += block
    return blocks
