"""A run's cost, as a record, and what a run's report says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from host.cost.cycles import LINKS, SEND, TRANSFERS
from host.cost.ledger import RunLedger
from host.cost.link_traffic import LinkLoads, LinkTraffic
from host.cost.noc_traffic import MeshLoads, NocTraffic
from host.cost.schedule_record import Schedule
from models.network import F64, I64


@dataclass(frozen=True, kw_only=True)
class Priced:
    """A run's cost: times in s, energy in J, power in W; bands are (low, high).

    `stages` names them in order. `stages_s` maps each layer's name to seconds by stage, on the layer's critical PE; they add up to
    `time_s` where the schedule is sequential and no layer runs beside another; `LINKS` is among them where the machine has
    several chips. `path_s` has the seconds of each layer that lie on the longest path of its positions. `busy_s` (PEs,) is how
    long each PE computes. `work` are exact integers over the run, `pe_work` (PEs,) the same by PE; `mesh` and `link_loads` what
    was on each link of a mesh, and between chips. `links` is what a report says of the latter, None where nothing crosses any.
    """

    time_s: float
    time_band_s: tuple[float, float]
    power_w: float
    power_band_w: tuple[float, float]
    energy_j: float
    energy_band_j: tuple[float, float]
    energy_parts_j: Mapping[str, float]
    stages: tuple[str, ...]
    stages_s: Mapping[str, Mapping[str, float]]
    path_s: Mapping[str, float]
    busy_s: F64 = field(repr=False)
    work: Mapping[str, int]
    pe_work: Mapping[str, I64] = field(repr=False)
    assumed: tuple[str, ...]
    settings: Mapping[str, Any]
    mesh: MeshLoads = field(repr=False)
    links: Mapping[str, Any] | None
    link_loads: LinkLoads = field(repr=False)

    @property
    def computation_s(self) -> float:
        """Seconds of the run in which layers compute, each on its critical PE."""
        return sum(stages[name] for stages in self.stages_s.values() for name in self.stages[:-2] if name != TRANSFERS)

    @property
    def communication_s(self) -> float:
        """Seconds in which layers send, and messages are under way on meshes and over links."""
        return sum(stages.get(name, 0.0) for stages in self.stages_s.values() for name in (TRANSFERS, SEND, LINKS))


@dataclass(frozen=True, kw_only=True)
class PricedPositions(Priced, Schedule):
    """The same of positions in memory, with what each of them costs.

    `shard_cycles` (positions, turns, stages but the last) is what each shard did (`host/cost/timeline.py` says when).
    """

    shard_cycles: F64 = field(repr=False)
    traffic: NocTraffic = field(repr=False)
    link_traffic: LinkTraffic = field(repr=False)


def price_block(priced: Priced, run: RunLedger) -> dict[str, Any]:
    """Return the block `modelled` of a run's report: its price, and what a token of one sequence costs."""
    steps = max(1, run.executions)
    staged_s = sum(sum(stages.values()) for stages in priced.stages_s.values())
    links_s = sum(stages.get(LINKS, 0.0) for stages in priced.stages_s.values())
    links = None if priced.links is None else {**priced.links, "time_share": links_s / staged_s if staged_s else 0.0}
    return {
        "time_s": priced.time_s, "time_band_s": list(priced.time_band_s), "time_per_token_s": priced.time_s / steps,
        "power_w": priced.power_w, "power_band_w": list(priced.power_band_w),
        "energy_j": priced.energy_j, "energy_band_j": list(priced.energy_band_j), "energy_per_token_j": priced.energy_j / steps,
        "energy_parts_j": dict(priced.energy_parts_j),
        "stages_s": {layer: dict(stages) for layer, stages in priced.stages_s.items()},
        "computation_per_token_s": priced.computation_s / steps, "communication_per_token_s": priced.communication_s / steps,
        "links": links, "work": dict(priced.work),
        "settings": dict(priced.settings), "assumed": list(priced.assumed),
    }  # fmt: skip
