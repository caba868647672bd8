"""`DramFilling`: what the job puts into the DRAMs of chips before the first tick, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from host.errors import Exit, HostError
from host.mapping.placement import Placement
from noc.dram import DramError, check_address
from noc.packet import Fill, Snapshot, chip_of, dram_name

PIECE_BYTES = 1 << 20  # of one message; a multiple of every alignment

Fills = Mapping[int, Sequence[tuple[int, bytes]]]
"""Chip -> (address, bytes) of its DRAM."""


class DramFilling:
    """Hands each DRAM one piece at a time: the next one when the last has been written, so that no queue grows.

    `snapshots`: what a DRAM, by its name, goes on from when it is filled.
    """

    def __init__(self, fills: Fills, snapshots: Mapping[str, Snapshot]) -> None:
        names = {dram_name(chip): regions for chip, regions in fills.items() if any(content for _, content in regions)}
        self._left = {name: _pieces(names.get(name, ()), snapshots.get(name)) for name in sorted(names.keys() | snapshots.keys())}
        self.pieces_written = 0

    @property
    def done(self) -> bool:
        """Whether everything has been written."""
        return not self._left

    def begin(self) -> list[tuple[str, Fill | Snapshot]]:
        """Return the first piece of each DRAM, by its name."""
        return [(name, next(pieces)) for name, pieces in self._left.items()]

    def written(self, name: str) -> list[tuple[str, Fill | Snapshot]]:
        """Note that a DRAM has written its piece; return the next one, if there is one."""
        self.pieces_written += 1
        piece = next(self._left.get(name, iter(())), None)
        if piece is None:
            self._left.pop(name, None)
        return [] if piece is None else [(name, piece)]


def _pieces(regions: Sequence[tuple[int, bytes]], snapshot: Snapshot | None) -> Iterator[Fill | Snapshot]:
    for address, content in regions:
        for at in range(0, len(content), PIECE_BYTES):
            yield Fill(address + at, content[at : at + PIECE_BYTES])
    if snapshot is not None:
        yield snapshot


def check_fills(placement: Placement, fills: Fills) -> None:
    """Raise HostError, in one line, for bytes that no DRAM in use has room for, or that lie over each other."""
    used = [chip_of(name) for name in placement.transfers.drams]
    for chip, regions in fills.items():
        if chip not in used:
            have = ", ".join(map(dram_name, used)) or "none"
            raise HostError(f"{dram_name(chip)}: cannot be filled; DRAMs that PEs exchange transfers with: {have}")
        ends = sorted((address, address + len(content)) for address, content in regions)
        for address, end in ends:
            try:
                check_address(address, end - address, placement.chip.dram_bytes, placement.chip.dram_alignment_bytes)
            except DramError as error:
                raise HostError(f"{dram_name(chip)}: cannot be filled with {error}", Exit.DOES_NOT_FIT) from error
        for (_, end), (address, _) in pairwise(ends):
            if address < end:
                raise HostError(f"{dram_name(chip)}: two regions to fill hold byte {address:#x}; needs each once")
