"""What one figure of a run is called wherever it is said: summary, page, `price`, `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from host.show.quantities import format_band, format_quantity


def links_sentence(links: Mapping[str, Any]) -> str:
    """Return what crossed links between chips, of a report's `modelled.links`."""
    busy = f"busiest {links['busiest']}: {links['busiest_packets']:,}, busy {100 * links['busiest_utilisation']:.2g} % of the time"
    cables = f", {links['cables']} of them cables to another board" if links["cables"] else ""
    return f"{links['packets']:,} packets over {links['crossed']} links between chips{cables}; {busy}"


def activity_words(events: Mapping[str, Any]) -> str:
    """Return the share of units with an event by layer, of a report's `events`."""
    return " / ".join(f"{100 * (1 - sparsity):.1f} %" for sparsity in events["sparsity_by_layer"])


def cost_words(cost: Mapping[str, Any], unit: str) -> dict[str, str]:
    """Return time, power and energy of a report's `modelled` block in words, time and energy those a `unit`, with their bands."""
    share = cost["time_per_token_s"] / cost["time_s"] if cost["time_s"] else 0.0
    return {
        "time": f"{_each(cost['time_per_token_s'], cost['time_band_s'], share, 's')} a {unit}",
        "power": format_band(cost["power_w"], cost["power_band_w"], "W"),
        "energy": f"{_each(cost['energy_per_token_j'], cost['energy_band_j'], share, 'J')} a {unit}",
    }


def _each(value: float, band: Sequence[float], share: float, unit: str) -> str:
    return format_band(value, [share * end for end in band], unit)


def emulation_words(emulation: Mapping[str, Any], unit: str) -> str:
    """Return how long the emulator took a unit."""
    return f"{format_quantity(1e-3 * (emulation['ms_per_token'] or 0), 's')} a {unit}"
