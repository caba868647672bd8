"""Metrics of a recorded run at another price than its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from host.cost.priced import Priced
from host.workloads.contract import ENERGY, PER_ENERGY, STEPS, TIME
from host.workloads.registry import workload_named

_SAME = 1e-9  # relative: what differs less is the same figure, summed up in another order


def metric_value(report: Mapping[str, Any], name: str, priced: Priced) -> float | None:
    """Return a metric of a report, in its own unit, at this price of its run.

    None where the report has no number for it, and where it needs the time of each step and the price is not the report's own.
    """
    value: float | None = next((metric["value"] for metric in report["metrics"] if metric["name"] == name), None)
    workload, own = workload_named(report.get("workload")), report.get("modelled")
    follows = None if workload is None else workload.priced.get(name)
    if value is None or follows is None or own is None:
        return value
    times, energies = (own["time_s"], priced.time_s), (own["energy_j"], priced.energy_j)
    if math.isclose(*times, rel_tol=_SAME) and math.isclose(*energies, rel_tol=_SAME):
        return value
    if follows == STEPS:
        return None
    before, after = {TIME: times, ENERGY: energies, PER_ENERGY: energies[::-1]}[follows]
    return float(value * after / before) if before else None
