"""`LoadedPes`: what PEs are once they are loaded, to be used again by the next pretended run: loading takes a fifth of one.

Of a PE, all that is ever written is its arena and the tick's own arrays; both become what they were when it had been loaded.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np

from noc.packet import Load, Loaded, Outgoing
from noc.wire import encode
from pe.core import Pe

_PARTS = ("arena", "tick", "_residents", "_boxes")


class LoadedPes:
    """Parts of PEs by name and what was loaded; those that are `lent` come back together."""

    def __init__(self) -> None:
        self._free: defaultdict[tuple[str, bytes], list[_Parts]] = defaultdict(list)
        self._lent: list[tuple[tuple[str, bytes], _Parts]] = []

    def take(self, key: tuple[str, bytes]) -> _Parts | None:
        """Return parts that nobody uses, as they were after loading; None where there are none."""
        free = self._free[key]
        if not free:
            return None
        parts = free.pop()
        parts.reset()
        self._lent.append((key, parts))
        return parts

    def lend(self, key: tuple[str, bytes], pe: Pe) -> None:
        """Note the parts of a PE that has just been loaded."""
        self._lent.append((key, _Parts(pe)))

    def take_back(self) -> None:
        """All PEs are gone: what they had may be used again."""
        for key, parts in self._lent:
            self._free[key].append(parts)
        self._lent.clear()


class _Parts:
    """What loading makes of a PE, and what was written in it then."""

    def __init__(self, pe: Pe) -> None:
        self.parts: dict[str, Any] = {name: getattr(pe, name) for name in _PARTS}
        arena, tick = self.parts["arena"], self.parts["tick"]
        self._memory, self._bytes = arena._memory, arena._first + arena.size.sram_bytes
        self._was = self._memory[: self._bytes]
        arrays = [tick._state, tick._shards, tick._exchanged, *(part for part in tick._held if isinstance(part, np.ndarray))]
        self._arrays = [(array, array.copy()) for array in arrays if not arena.holds(array)]

    def reset(self) -> None:
        """Become what they were."""
        self._memory[: self._bytes] = self._was
        for array, was in self._arrays:
            array[...] = was


class ReusedPe(Pe):
    """A PE whose parts another one has had, where there was one with the same shards."""

    def __init__(self, name: str, router: str, loaded: LoadedPes) -> None:
        super().__init__(name, router)
        self._loaded = loaded

    def _load(self, message: Load) -> Outgoing:
        key = self.name, encode(message)
        parts = self._loaded.take(key)
        if parts is None:
            out = super()._load(message)
            if self.tick is not None:
                self._loaded.lend(key, self)
            return out
        for name, part in parts.parts.items():
            setattr(self, name, part)
        assert self.arena is not None
        return self._say(Loaded([[r.name, r.offset, r.size_bytes, r.role] for r in self.arena.regions]))
