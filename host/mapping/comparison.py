"""Mappings side by side: what each is expected to put on the links between chips, as text.

Expected are the events of rates that somebody states; the counts of a run are in `host/cost/link_traffic.py`, which also has
the packet that says "done".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from host.mapping.expected_traffic import expected_flows, flow_loads
from host.mapping.placement import Placement
from noc.machine import ChipLink

Price = Callable[[Placement], tuple[float, float]]
"""Returns what a placement costs: seconds and joules a position."""


def expected_link_loads(placement: Placement, rates: Mapping[int, float]) -> dict[ChipLink, float]:
    """Return the expected events a position, of all lanes together, on each directed link that any cross, by chip and direction.

    `rates`: events a unit and position, of each population, from 0 to 1.
    """
    machine = placement.machine
    on_chips = [(placed.pe.chip, placed.share) for placed in placement.pes]
    loads = placement.request.lanes * flow_loads(machine, expected_flows(placement.network, machine, on_chips), rates)
    return {link: load for link in machine.links if (load := float(loads[link.chip, link.direction]))}


def format_links(placement: Placement, rates: Mapping[int, float], measured: bool, event_bytes: float) -> list[str]:
    """Return lines on the chips in use and the busiest link, at an activity that they state."""
    network, machine = placement.network, placement.machine
    pes = Counter(placed.pe.chip for placed in placement.pes)
    least, most = min(pes.values()), max(pes.values())
    lines = [f"{len(pes)} of {len(machine.live)} chips in use, PEs on each: {least if least == most else f'{least} to {most}'}"]
    loads = expected_link_loads(placement, rates)
    if not loads:
        return [*lines, "no event crosses a link between chips"]
    link = max(loads, key=lambda link: loads[link])
    lines.append(
        f"{len(loads)} of {len(machine.links)} links crossed, {sum(loads.values()):,.0f} times an event a position; "
        f"busiest {link}: {loads[link]:,.0f} events ({loads[link] * event_bytes:,.0f} B in frames)"
    )
    shares = ", ".join(f"{network.populations[n].name} {100 * rates[n]:.3g} %" for n in network.layers)
    origin = "measured: the checkpoint says so" if measured else "assumed"
    return [*lines, f"at an activity of {shares} ({origin}) and of the input {100 * rates[0]:.3g} % (assumed)"]


def format_comparison(
    placements: Mapping[str, Placement | str], rates: Mapping[int, float], event_bytes: float, price: Price | None = None
) -> str:
    """Return a table with one row a mapping.

    Args:
        placements: mapping -> its placement, or why there is none.
        rates: events a unit and position, of each population.
        event_bytes: of the frames that carry an event over a link.
        price: what a placement costs; without it, the last two columns are left out.

    """
    heads = ["mapping", "PEs", "chips", "busiest", "events on it", "bytes on it", "events x links"]
    heads += ["ms a position", "mJ a position"] if price else []
    rows = [heads]
    for mapping, placement in placements.items():
        if isinstance(placement, str):
            rows.append([mapping, placement])
            continue
        loads = expected_link_loads(placement, rates)
        busiest = max(loads, key=lambda link: loads[link], default=None)
        on_it = loads[busiest] if busiest else 0.0
        chips = len({placed.pe.chip for placed in placement.pes})
        row = [mapping, f"{len(placement.pes):,}", f"{chips:,}", str(busiest or "none"), f"{on_it:,.0f}"]
        row += [f"{on_it * event_bytes:,.0f}", f"{sum(loads.values()):,.0f}"]
        if price:
            time_s, energy_j = price(placement)
            row += [f"{1e3 * time_s:.3f}", f"{1e3 * energy_j:.3f}"]
        rows.append(row)
    widths = [max(len(row[n]) for row in rows if len(row) == len(heads)) for n in range(len(heads))]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False))])
        for row in rows
    )
