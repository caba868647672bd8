"""What workers have done so far, by the counts that they tell at every tick: for the live view alone.

A worker's counts stand behind what it has sent to each peer (`pe/residents.py`); each worker is a row, in the order of the workers.
"""

from __future__ import annotations

import numpy as np

from models.kernels import transfers_of
from models.network import I64, Array
from models.tile_steps import COUNTS
from models.transfers import EXCHANGED_WORDS
from noc.packet import Section

_TILES = COUNTS.index("tiles")


class LiveCounts:
    """Counts of `workers` workers of a neuron model, the latest and those at the last barrier."""

    def __init__(self, population: int, workers: int, kernel: str) -> None:
        spec = transfers_of(kernel)
        assert spec is not None
        self._population, self._workers, self._told = population, workers, spec.most_peers * EXCHANGED_WORDS + len(COUNTS)
        self._latest = b""
        self._before = np.zeros(workers, np.int64)
        self._bytes = self._bytes_before = 0

    def see(self, section: Section, *, is_barrier: bool) -> None:
        """Take a section of a tick."""
        if section.population != self._population or not section.ledger:
            return
        self._latest = section.ledger
        if is_barrier:
            words = self._words()
            if words is not None:
                self._before = self._tiles(words)
                self._bytes_before, self._bytes = self._bytes, self._read_bytes(words)

    def tiles(self) -> I64:
        """Return how many tiles each worker has done since the last barrier."""
        words = self._words()
        return self._before * 0 if words is None else self._tiles(words) - self._before

    @property
    def layer_bytes(self) -> int:
        """How many bytes the workers asked DRAM for in the last whole layer."""
        return self._bytes - self._bytes_before

    def _words(self) -> Array | None:
        words = np.frombuffer(self._latest, "<u4")
        if not len(words) or len(words) % self._workers or len(words) // self._workers < self._told:
            return None
        return words.reshape(self._workers, -1)[:, -self._told :]

    def _tiles(self, words: Array) -> I64:
        return words[:, -len(COUNTS) + _TILES].astype(np.int64)

    def _read_bytes(self, words: Array) -> int:
        exchanged = words[:, : -len(COUNTS)].reshape(self._workers, -1, EXCHANGED_WORDS)
        return int(exchanged[:, :, 3].sum(dtype=np.int64))
