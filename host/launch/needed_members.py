"""What the fork server of a run loads ahead: what is compiled of what its PEs, and its host, will need."""

from __future__ import annotations

from pathlib import Path

from host.options import RunOptions
from host.workloads.registry import workload_of
from models import shipped
from models.file_header import header_texts


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
    names += [f"models.heads.{name}" for name in getattr(workload.about, "HEADS", ())]
    names += getattr(workload.about, "modules_for", lambda _: [])(options)
    return names + [f"models.kernels.{name}" for name in kernels]


def kernel_names(path: Path) -> list[str]:
    """Return the names of the neuron models in a checkpoint, by its header alone; none where it cannot be read."""
    return header_texts(path, "gennaker", "kernel")
