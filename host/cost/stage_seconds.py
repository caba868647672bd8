"""How long each layer takes, stage by stage, and how much of that lies on the longest path of its positions."""

from __future__ import annotations

import numpy as np

from host.cost.cycles import LINKS, SEND, WAIT, stages_of
from host.cost.ledger import RunLedger
from host.cost.schedule_record import Schedule
from models.network import F64


def stages_s(run: RunLedger, cycles: F64, times: Schedule) -> dict[str, dict[str, float]]:
    """Return the seconds of each stage of each layer over the positions, on its critical PE.

    `cycles` (positions, turns, stages but the last), of the positions of `times`.
    """
    stages = stages_of(run)
    population = run.exchanges.population[run.exchanges.layers]
    on_critical = cycles[np.arange(len(cycles))[:, None], times.critical]  # (positions, layers' exchanges, stages)
    # Seconds a cycle from the layer's own time, so that the parts add up to the whole.
    clocked_s = times.layer_s - times.transit_s - times.wait_s - times.links_s
    sums = on_critical.sum(axis=2)
    cycle_s = np.divide(clocked_s, sums, out=np.zeros_like(clocked_s), where=sums > 0)
    seconds = (on_critical * cycle_s[:, :, None]).sum(axis=0)
    rows = {}
    for number, name in zip(run.layers, run.layer_names, strict=True):
        of_layer = np.flatnonzero(population == number).tolist()
        own = seconds[of_layer].sum(axis=0)
        rows[name] = {stage: float(own[i]) for i, stage in enumerate(stages[:-1])}
        rows[name][SEND] += _sum_of(times.transit_s, of_layer)
        way_s = _sum_of(times.input_links_s, of_layer)
        rows[name][WAIT] = _sum_of(times.wait_s, of_layer) - way_s
        if run.chips > 1:
            rows[name][LINKS] = _sum_of(times.links_s + times.input_links_s, of_layer)
    return rows


def path_s(run: RunLedger, times: Schedule) -> dict[str, float]:
    """Return the seconds of each layer that lie on the longest path of its positions."""
    population, on_path_s = run.exchanges.population[run.exchanges.layers], times.layer_s * times.on_path
    return {name: float(on_path_s[:, population == number].sum()) for number, name in zip(run.layers, run.layer_names, strict=True)}


def _sum_of(seconds: F64, exchanges: list[int]) -> float:
    return sum(float(seconds[:, n].sum()) for n in exchanges)
