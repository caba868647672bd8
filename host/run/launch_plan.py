"""What the launcher and its monitor must know of a mapping, as plain values that travel between processes."""

from __future__ import annotations

from typing import Any

from host.options import transport_named
from host.run.message_bound import most_message_bytes
from host.run.run import Run
from host.workloads.contract import Job
from host.workloads.registry import workload_of
from noc.packet import chip_of
from noc.wire import encode
from noc.wiring import wiring_of
from pe.sram import footprint

_MOST_SAMPLES = 4


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
    links = [
        {"name": str(link), "ends": [link.chip, link.to], "cable": machine.is_cable(link.chip, link.direction)}
        for link in machine.links
    ]
    layout = {
        "title": job.title, "note": job.note, "unit": workload_of(job.options).about.UNIT, "chip": job.placement.chip.name,
        "pes": pes, "layers": layers, "shown": dict(job.shown), "links": links,
        "chips": [{"number": chip, "position": list(machine.positions[chip])} for chip in machine.live],
    }  # fmt: skip
    processes = transport_named(job.options.transport).PROCESSES
    return {
        "layout": layout, "mapping": job.placement.table(), "processes": processes, "stored": run.stored,
        **(processes_of(run) if processes else {}),
    }  # fmt: skip


def processes_of(run: Run) -> dict[str, Any]:
    """Return what whoever starts a run's routers and PEs must know."""
    placement, network = run.placement, run.placement.network
    kernels = {network.populations[n].kernel for n in network.layers}
    return {
        # A window of messages from every sender, and as many letters.
        "queue": 2 * (run.window + len(network.layers)) * (len(placement.pes) + 2), "most_bytes": most_message_bytes(run),
        "members": [f"models.formats.{placement.request.format}", *(f"models.kernels.{name}" for name in sorted(kernels))],
        "table_entries": placement.chip.router_entries, "samples": _samples(run),
        "routers": [
            {"name": name, "wiring": list(wiring_of(placement.machine, chip_of(name)))} for name in reversed(run.routers)
        ],
    }  # fmt: skip


def _samples(run: Run) -> list[bytes]:
    """Return the loads of a few PEs, of different neuron models each: what a PE server rehearses with."""
    populations, pes = run.placement.network.populations, run.placement.pes
    of_kinds = {tuple(populations[part.population].kernel for part in placed.share): placed for placed in reversed(pes)}
    return [encode(run.load_of(placed)) for placed in [*of_kinds.values()][:_MOST_SAMPLES]]
