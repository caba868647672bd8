"""Several things one behind the other: moves of bytes, on the core."""

from models.tile_steps._moving import step

__all__ = ["step"]
