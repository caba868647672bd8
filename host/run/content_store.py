"""A folder of contents by SHA-256: what PEs on a cluster load, brought to their machine once instead of in packets.

The host stocks one folder with a packed `Load` for each PE; a worker's folder keeps what reached it, so that nothing is
sent to a worker twice, in one run or in several.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

MOST_BYTES = 4 << 30  # that a worker keeps; what was used longest ago goes first


class ContentStore(Mapping[str, bytes]):
    """A folder of contents by SHA-256 (hex). Made where it is not there, for its owner alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, content: bytes) -> str:
        """Keep `content`; return its SHA-256."""
        sha256 = hashlib.sha256(content).hexdigest()
        path = self._folder / sha256
        if path.exists():
            os.utime(path)  # so that it is not the next to go
        else:
            partly = path.with_name(f".{sha256}-{secrets.token_hex(4)}")
            partly.write_bytes(content)
            partly.replace(path)  # whole or not at all, also where two runs bring the same
        return sha256

    def missing(self, sha256s: Iterable[str]) -> list[str]:
        """Return which contents are not here, in order; those that are will stay for now."""
        lacking = []
        for sha256 in sha256s:
            try:
                os.utime(self._folder / sha256)
            except FileNotFoundError:
                lacking.append(sha256)
        return lacking

    def trim(self, most_bytes: int = MOST_BYTES) -> None:
        """Remove what was used longest ago until at most `most_bytes` are left."""
        entries = sorted((entry.stat().st_mtime_ns, entry.stat().st_size, entry.path) for entry in os.scandir(self._folder))
        over = sum(size for _, size, _ in entries) - most_bytes
        for _, size, path in entries:
            if over <= 0:
                return
            Path(path).unlink(missing_ok=True)
            over -= size

    def __getitem__(self, sha256: str) -> bytes:
        """Return a content; KeyError where it is not here."""
        if len(sha256) != 64 or not sha256.isalnum():
            raise KeyError(sha256)
        try:
            return (self._folder / sha256).read_bytes()
        except FileNotFoundError:
            raise KeyError(sha256) from None

    def __iter__(self) -> Iterator[str]:
        """Yield the SHA-256 of each content."""
        return (entry.name for entry in os.scandir(self._folder) if not entry.name.startswith("."))

    def __len__(self) -> int:
        """Return how many contents there are."""
        return sum(1 for _ in self)
