"""What the launcher and its monitor must know of a mapping, as plain values that travel between processes."""

from __future__ import annotations

from typing import Any

from host.options import transport_named
from host.run.run import Run
from host.workloads.contract import Job
from host.workloads.registry import workload_of
from noc.packet import chip_of
from noc.wiring import wiring_of
from pe.sram import footprint


def layout_of(job: Job, run: Run) -> dict[str, Any]:
    """Return the plan, with the `layout` that the monitor draws."""
    network, size, machine = job.placement.network, job.placement.request.size, job.placement.machine
    names = {n: network.populations[n].name for n in network.layers}
    pes = [
        {
            "name": placed.name,
            "layer": "+".join(names[part.population] for part in placed.share),
            "sram": 1.0 - footprint(placed.regions, size)["free"] / size.data_bytes,
        }
        for placed in job.placement.pes
    ]
    layers = [
        {"name": names[n], "units": network.populations[n].units, "pes": len(job.placement.senders(n))} for n in network.layers
    ]
    kernels = {network.populations[n].kernel for n in network.layers}
    queue = 2 * (run.window + len(names)) * (len(pes) + 2)  # a window of messages from every sender, and as many letters
    links = [
        {"name": str(link), "ends": [link.chip, link.to], "cable": machine.is_cable(link.chip, link.direction)}
        for link in machine.links
    ]
    layout = {
        "title": job.title, "note": job.note, "unit": workload_of(job.options).about.UNIT, "chip": job.placement.chip.name,
        "pes": pes, "layers": layers, "shown": dict(job.shown), "links": links,
        "chips": [{"number": chip, "position": list(machine.positions[chip])} for chip in machine.live],
    }  # fmt: skip
    return {
        "layout": layout, "mapping": job.placement.table(), "queue": queue, "most_bytes": run.most_bytes,
        "members": [f"models.formats.{job.options.format}", *(f"models.kernels.{name}" for name in sorted(kernels))],
        "processes": transport_named(job.options.transport).PROCESSES,
        "table_entries": job.placement.chip.router_entries, "stored": run.stored,
        "routers": [{"name": name, "wiring": list(wiring_of(machine, chip_of(name)))} for name in reversed(run.routers)],
    }  # fmt: skip
