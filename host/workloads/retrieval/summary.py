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
    result, counters, lines = report["result"], report["counters"], []
    if not result["snapshots"]:
        return ["snapshots    none came through"]
    for row in result["by_snr"]:
        words = [
            f"{label} {row[name]['nmse_db']:.2f} dB, {100 * row[name]['detected'] / max(row[name]['targets'], 1):.1f} % detected"
            for name, label in _METHODS.items()
        ]
        lines.append(f"at {row['snr']:3} dB    {'; '.join(words)} ({row['snapshots']} snapshots)")
    if result["conversion_db"] is not None:
        lines.append(f"conversion   {result['conversion_db']:.1f} dB against the CNN of float32, {result['weights']} weights, K {result['bits']}")
    for number, row in enumerate(result["by_layer"], start=1):
        lines.append(f"  layer {number}    {row['db']:.1f} dB, largest {row['largest']:.2e}; of one value alone at most {row['bound']:.2e}")
    if result["differing"] is not None:
        lines.append(f"integer CNN  {result['differing']:,} of {result['values']:,} numbers differ")
    values = max(int(counters.get("values", 0)), 1)
    snapshots = result["snapshots"]
    units = 2 * _product(result["cells"])
    dense = units * units * (result["layers"] - 1)
    lines.append(f"saturations  {counters.get('saturations', 0):,} of {values:,} values were alpha or more")
    lines.append(
        f"spikes       {counters['events'] / values:.3f} a neuron and snapshot; {counters['macs'] / snapshots:,.0f} additions a "
        f"snapshot, {dense:,} MACs of the CNN with whole kernels"
    )
    lines.append(f"ticks        {result['latency_ticks']} of a snapshot from input to answer, one snapshot every {result['ticks_a_snapshot']}")
    modelled = report.get("modelled")
    if modelled is not None:
        time_s, energy_j = modelled["time_s"] / snapshots, modelled["energy_j"] / snapshots
        power = energy_j / time_s if time_s else 0.0
        bands = ""
        if modelled.get("time_band") and modelled.get("energy_band"):
            low, high = modelled["time_band"][:2]
            least, most = modelled["energy_band"][:2]
            bands = f" ({1e3 * low / snapshots:.3f} to {1e3 * high / snapshots:.3f} ms, {1e3 * least / snapshots:.3f} to {1e3 * most / snapshots:.3f} mJ)"
        lines.append(f"a snapshot   {1e3 * time_s:.3f} ms, {1e3 * energy_j:.3f} mJ, {power:.3f} W on the chip{bands}")
    return [*lines, PUBLISHED]


def _product(sizes: list[int]) -> int:
    total = 1
    for size in sizes:
        total *= size
    return total
