"""Numbers repeated along axes: moves of bytes, on the core."""

from models.tile_steps._moving import step

__all__ = ["step"]
