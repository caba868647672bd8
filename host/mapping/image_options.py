"""What a run's options make of the layers of an image: what stays in SRAM, and what is read once, as much as fits a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from host.cost.program_settings import ProgramSettings
from host.mapping.depth_parts import deal_tiles
from host.mapping.dnn_tensors import TensorPlace
from host.mapping.image_layer import ImageLayer
from host.mapping.resident_tensors import keep_tensors
from host.mapping.sharing import share_stretches
from models.kernels.worker import tiles_at


def staying(layers: Sequence[ImageLayer], workers: int) -> list[int]:
    """Return the bytes of these layers that stay on each worker."""
    total = [0] * workers
    for layer in layers:
        for worker, size in enumerate(layer.staying_bytes):
            total[worker] += size
    return total


def taken(layers: Sequence[ImageLayer], workers: int) -> int:
    """Return the bytes that tiles, and what stays of constants, take on the fullest worker."""
    return max(layer.memory_bytes for layer in layers) + max(staying(layers, workers))


@dataclass(frozen=True, kw_only=True)
class Room:
    """What workers have for tiles, and for what stays."""

    memory_bytes: int
    workers: int
    buffers: int

    def left(self, layers: Sequence[ImageLayer], resident_bytes: int) -> int:
        """Return the bytes that such layers leave, of constants and tensors that stay, too."""
        blocks = tiles_at(2, max(layer.block_bytes for layer in layers), self.buffers)
        return self.memory_bytes - blocks - taken(layers, self.workers) - resident_bytes


def may_hand_on(settings: ProgramSettings) -> bool:
    """Tell whether workers may hand something to each other."""
    return settings.share == "once" or settings.keeps_activations or settings.reduce == "mesh"


def with_options(
    layers: Sequence[ImageLayer], settings: ProgramSettings, outputs: Sequence[TensorPlace], room: Room
) -> tuple[list[ImageLayer], int]:
    """Return the layers with what stays in SRAM and what is read once, as much as fits, and the bytes of tensors that stay."""
    made, resident_bytes = list(layers), 0
    if settings.keeps_weights:
        for number, layer in enumerate(layers):
            tiles = replace(layer.tiles, stays=True)
            blocks, held = deal_tiles(tiles, number, room.workers, settings)
            trial = [*made[:number], replace(layer, tiles=tiles, blocks=blocks, held=held), *made[number + 1 :]]
            if room.left(trial, 0) >= 0:
                made = trial
    if settings.keeps_activations:
        made, resident_bytes = keep_tensors(
            made, outputs, room.workers, lambda trial, size_bytes: room.left(trial, size_bytes) >= 0
        )  # fmt: skip
    if settings.share == "once":
        for number, layer in enumerate(made):
            have = room.left(made, resident_bytes)
            most = max(one.memory_bytes for one in made)
            trial = [*made[:number], share_stretches(layer, number, most + have), *made[number + 1 :]]
            if room.left(trial, resident_bytes) >= 0:
                made = trial
    return made, resident_bytes
