"""All fuzz targets, by name, and the cases that were kept of each."""

from pathlib import Path

from tests.fuzz import file_targets, wire_targets

TARGETS = {**wire_targets.TARGETS, **file_targets.TARGETS}


def kept_seeds(name: str) -> list[bytes]:
    """Return what a target once fell over."""
    return [path.read_bytes() for path in sorted((Path(__file__).parent / "seeds" / name).glob("*"))]
