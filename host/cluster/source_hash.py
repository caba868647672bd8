"""Which version of the project this is, by content: what runs on several machines must be the same on each."""

from __future__ import annotations

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("host", "models", "noc", "pe")
_KINDS = (".py", ".toml")


def content_sha256(root: Path = ROOT) -> str:
    """Return the SHA-256 (hex) over names and bytes of every source file of the packages under `root`."""
    total = hashlib.sha256()
    files = (path for package in _PACKAGES for path in (root / package).rglob("*") if path.suffix in _KINDS)
    for path in sorted(files):
        total.update(f"{path.relative_to(root).as_posix()}\0".encode())
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
