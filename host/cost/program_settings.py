"""Settings of the price of a scheduled network: how its tiles reach the PEs, what stays there, and what the array reads through.

No answer depends on them. In `launch.py fit` and `price` they are `--set NAME=VALUE`, beside constants and numbers of the chip.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

from host.errors import HostError

CHOICES: dict[str, tuple[str, ...]] = {
    "share": ("once", "none"),
    "overlap": ("none", "double"),
    "resident": ("no", "weights", "activations", "both"),
    "reduce": ("mesh", "worker"),
    "mla_read_ports": ("1", "2"),
    "softmax": ("table", "exp_unit", "library"),
    "tiles": ("fastest", "whole_depth"),
}


@dataclass(frozen=True)
class ProgramSettings:
    """`share`: each tile of an operand is read from DRAM once and handed on, or by each PE that needs it. `overlap`: the next
    tile is fetched behind the array (double buffering), or not. `resident`: what stays in SRAM. `reduce`: parts of a depth that is
    cut go to several workers, whose sums go over the mesh, or to one of them, one after another. `tiles`: the fastest that fit, or
    the fastest of those that do not cut the depth, as every published one.
    """

    share: str = "none"
    overlap: str = "none"
    resident: str = "no"
    reduce: str = "mesh"
    mla_read_ports: str = "1"
    softmax: str = "table"
    tiles: str = "fastest"

    @property
    def ports(self) -> int:
        """Reads of the SRAM that the array makes a cycle."""
        return int(self.mla_read_ports)

    @property
    def keeps_weights(self) -> bool:
        """Whether weights stay in SRAM."""
        return self.resident in ("weights", "both")

    @property
    def keeps_activations(self) -> bool:
        """Whether what layers hand on stays in SRAM."""
        return self.resident in ("activations", "both")

    @property
    def buffers(self) -> int:
        """Tiles that have their place in SRAM at a time."""
        return 2 if self.overlap == "double" else 1

    def __str__(self) -> str:
        return ", ".join(f"{one.name}={getattr(self, one.name)}" for one in fields(self))


def split_settings(texts: Iterable[str]) -> tuple[ProgramSettings, list[str]]:
    """Return the settings among `NAME=VALUE` texts, and the other texts; HostError for a value that a setting does not have."""
    settings, others = ProgramSettings(), []
    for text in texts:
        name, _, value = text.partition("=")
        if name not in CHOICES:
            others.append(text)
            continue
        if value not in CHOICES[name]:
            raise HostError(f"--set {text}: needs one of {', '.join(CHOICES[name])}")
        settings = replace(settings, **{name: value})
    return settings, others
