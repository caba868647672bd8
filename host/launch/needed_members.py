"""What the fork server of a run loads ahead: what is compiled of what its PEs, and its host, will need."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host.options import RunOptions
from host.workloads.registry import workload_of
from models import shipped
from models.input_file import open_input

_MOST_HEADER_BYTES = 1 << 26


def needed_members(options: RunOptions) -> list[str]:
    """Return the modules that a run needs, as far as that can be told before its network is read: what is not among them is
    loaded by each PE that needs it.
    """
    workload = workload_of(options)
    shipped_name = getattr(workload.about, "shipped_for", lambda _: workload.about.SHIPPED)(options)
    named = options.checkpoint or shipped_name.removesuffix(".safetensors") or "none"
    path = shipped.path_of(named) or Path(named)
    kernels = kernel_names(path) or list(
        getattr(workload.about, "kernels_for", lambda _: getattr(workload.about, "KERNELS", ()))(options)
    )
    names = [f"noc.transports.{options.transport}", f"models.formats.{options.format}"]
    names += ["host.run.resumable_sha256"] * options.restart  # while the host compiled it, nothing else would move
    names += getattr(workload.about, "modules_for", lambda _: [])(options)
    return names + [f"models.kernels.{name}" for name in kernels]


def kernel_names(path: Path) -> list[str]:
    """Return the names of the neuron models in a checkpoint, by its header alone; none where it cannot be read."""
    try:
        with open_input(path) as file:
            (size,) = struct.unpack("<Q", file.read(8))
            about = json.loads(json.loads(file.read(min(size, _MOST_HEADER_BYTES)))["__metadata__"]["gennaker"])
        return sorted({name for name in _values_of(about, "kernel") if name.isidentifier()})
    except (OSError, ValueError, KeyError, TypeError, struct.error, RecursionError):
        return []  # whoever opens it says what is wrong


def _values_of(content: Any, key: str) -> Iterator[str]:
    """Yield every text that stands under `key` in nested dicts and lists."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for name, value in inner:
        if name == key and isinstance(value, str):
            yield value
        yield from _values_of(value, key)
