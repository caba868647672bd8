"""What the summary says of a run on snapshots."""

from collections.abc import Mapping
from typing import Any

PUBLISHED = (
    "published    almost five-fold power efficiency against a Jetson Xavier (Andrei et al. 2024); its watts, power mode, times and "
    "the network's sizes are not known to us, so nothing here is compared with it"
)
_METHODS = {"run": "run", "cnn": "CNN", "ista6": "ISTA 6", "ista200": "ISTA 200"}


def summary_lines(report: Mapping[str, Any], published: Mapping[str, Any]) -> list[str]:  # noqa: ARG001 - no table of ours
    """Return the lines."""
    result, counters, lines = report["result"], report["counters"], list[str]()
    if not result["snapshots"]:
        return ["snapshots    none came through"]
    for row in result["by_snr"]:
        methods = [
            f"{label} {row[name]['nmse_db']:.2f} dB, {100 * row[name]['detected'] / max(row[name]['targets'], 1):.1f} % detected"
            for name, label in _METHODS.items()
        ]
        lines.append(f"at {row['snr']:3} dB    {'; '.join(methods)} ({row['snapshots']} snapshots)")
    if result["conversion_db"] is not None:
        how = f"{result['weights']} weights, K {result['bits']}"
        lines.append(f"conversion   {result['conversion_db']:.1f} dB against the CNN of float32, {how}")
    for number, row in enumerate(result["by_layer"], start=1):
        words = f"{row['db']:.1f} dB, largest {row['largest']:.2e}"
        lines.append(f"{f'  layer {number}':<13}{words}; of one value alone at most {row['bound']:.2e}")
    if result["differing"] is not None:
        lines.append(f"integer CNN  {result['differing']:,} of {result['values']:,} numbers differ")
    values = max(result["values"] * result["layers"], 1)
    snapshots = result["snapshots"]
    units = 2 * _product(result["cells"])
    dense = units * units * (result["layers"] - 1)
    if result["by_layer"]:
        saturations = sum(row["saturations"] for row in result["by_layer"])
        lines.append(f"saturations  {saturations:,} of {values:,} values were alpha or more")
    lines.append(
        f"spikes       {counters['events'] / values:.3f} a neuron and snapshot; {counters['macs'] / snapshots:,.0f} additions a "
        f"snapshot, {dense:,} MACs of the CNN with whole kernels"
    )
    ticks = f"{result['latency_ticks']} of a snapshot from input to answer, one snapshot every {result['ticks_a_snapshot']}"
    lines.append(f"ticks        {ticks}")
    if (modelled := report.get("modelled")) is not None:
        lines.append(_modelled_line(modelled, snapshots))
    return [*lines, PUBLISHED]


def _product(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total


def _modelled_line(modelled: Mapping[str, Any], snapshots: int) -> str:
    """Return time, energy and power of a snapshot, with the bands that their constants leave."""
    time_s, energy_j = modelled["time_s"] / snapshots, modelled["energy_j"] / snapshots
    words = f"{1e3 * time_s:.3f} ms{_band(modelled['time_band_s'], snapshots)}, "
    words += f"{1e3 * energy_j:.3f} mJ{_band(modelled['energy_band_j'], snapshots)}"
    return f"a snapshot   {words}, {energy_j / time_s if time_s else 0.0:.3f} W on the chip"


def _band(band: list[float], snapshots: int) -> str:
    """Return a band in thousandths, a snapshot."""
    low, high = (1e3 * end / snapshots for end in band)
    return f" ({low:.3f} to {high:.3f})"
