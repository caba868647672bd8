"""The block `modelled` of a run's report: what the run costs on the modelled chip."""

from __future__ import annotations

from typing import Any

from host.cost.cycles import LINKS
from host.cost.ledger import Ledger
from host.cost.price import Priced


def price_block(priced: Priced, ledger: Ledger) -> dict[str, Any]:
    """Return the report's block on a price, with what a token of one sequence costs."""
    steps = max(1, ledger.positions * ledger.lanes)
    return {
        "time_s": priced.time_s, "time_band_s": list(priced.time_band_s), "time_per_token_s": priced.time_s / steps,
        "power_w": priced.power_w, "power_band_w": list(priced.power_band_w),
        "energy_j": priced.energy_j, "energy_band_j": list(priced.energy_band_j), "energy_per_token_j": priced.energy_j / steps,
        "energy_parts_j": dict(priced.energy_parts_j),
        "stages_s": {layer: dict(stages) for layer, stages in priced.stages_s.items()},
        "computation_per_token_s": priced.computation_s / steps, "communication_per_token_s": priced.communication_s / steps,
        "links": _links_block(priced), "work": dict(priced.work),
        "settings": dict(priced.settings), "assumed": list(priced.assumed),
    }  # fmt: skip


def _links_block(priced: Priced) -> dict[str, Any] | None:
    """Return the block on links between chips; None where none is crossed."""
    if priced.links is None:
        return None
    seconds = sum(stages.get(LINKS, 0.0) for stages in priced.stages_s.values())
    staged = sum(sum(stages.values()) for stages in priced.stages_s.values())
    return {**priced.links, "time_share": seconds / staged if staged else 0.0}
