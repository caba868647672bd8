"""What each action costs on the modelled chip: its latency, in ticks that follow each other at once and in ticks of a timer,
and energy.

An action is over when its last tick has gone through all layers. *Back to back* is the run's own price, one layer after
another. *Side by side*, layers work on neighbouring ticks, each tick as long as its slowest layer, and the last ticks drain.
*With a timer*, such a tick begins on the timer, and takes as many of its periods as it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.cost.pricing import Pricing
from host.cost.terms import Terms
from host.cost.uncertain import chip_at
from models.network import F64
from noc.chip import ChipSpec


@dataclass(frozen=True, kw_only=True)
class ActionCosts:
    """Of each round of actions, one in every lane: seconds back to back, side by side and with a timer, (rounds,) each.

    Of the whole run: `chip_j`, and what of it computing and waiting PEs draw above sleep, `dynamic_j`, each with its band;
    `time_s`, and `asleep_w`, what the chip draws where no PE computes.
    """

    back_to_back_s: F64
    side_by_side_s: F64
    timer_s: F64
    time_s: float
    chip_j: float
    chip_band_j: tuple[float, float]
    dynamic_j: float
    dynamic_band_j: tuple[float, float]
    asleep_w: float

    @classmethod
    def of(
        cls, ledger: RunLedger, chip: ChipSpec, table: CostTable, *, ticks: int, timer_s: float,
        alive: Callable[[], None] = lambda: None,
    ) -> ActionCosts:  # fmt: skip
        """Return the costs of a run whose actions take so many positions each; of positions behind the last whole action,
        none. `alive` is called now and then.
        """
        ends = [Terms(chip_at(chip, end), table.at(time=end, power=end)) for end in ("low", "high")]
        pricing = Pricing(ledger, chip, table, bands=False, others=ends, alive=alive)
        in_line, layers = [], []
        for part in ledger.parts(pricing.margin):
            times = pricing.add(part)[0].times
            in_line.append(np.where(times.on_path, times.layer_s, 0.0).sum(axis=1))
            layers.append(times.layer_s)
        rounds = len(np.concatenate(in_line)) // ticks
        every = np.concatenate(layers)  # of a run that broke off in its first action, no round is whole
        per_tick = every[: rounds * ticks].reshape(rounds, ticks, every.shape[1])
        beside = side_by_side_s(per_tick)
        priced = pricing.priced()
        asleep_w = sum(priced.energy_parts_j[part] for part in ("floor", "sleep")) / priced.time_s if priced.time_s else 0.0
        totals = pricing.totals_of_others()
        dynamic = [one.energy_j - _asleep_w(terms, len({pe.chip for pe in ledger.pes})) * one.time_s
                   for one, terms in zip(totals, ends, strict=True)]  # fmt: skip
        return cls(
            back_to_back_s=np.concatenate(in_line)[: rounds * ticks].reshape(rounds, ticks).sum(axis=1),
            side_by_side_s=beside.sum(axis=1),
            timer_s=np.maximum(np.ceil(beside / timer_s - 1e-9), 1).sum(axis=1) * timer_s,
            time_s=priced.time_s, chip_j=priced.energy_j, chip_band_j=(totals[0].energy_j, totals[1].energy_j),
            dynamic_j=priced.energy_j - asleep_w * priced.time_s, dynamic_band_j=(dynamic[0], dynamic[1]), asleep_w=asleep_w,
        )  # fmt: skip

    def block(self, actions: int, episodes: int, period_s: float) -> dict[str, Any]:
        """Return the report's figures of so many actions and whole episodes; `period_s`: by when an action must be there, 0:
        never.
        """
        timer_chip_j = self.dynamic_j + self.asleep_w * float(self.timer_s.sum())
        each = max(actions, 1)
        block: dict[str, Any] = {
            "latency": {
                name: _latency(values, period_s)
                for name, values in (
                    ("back_to_back", self.back_to_back_s), ("side_by_side", self.side_by_side_s), ("timer", self.timer_s),
                )
            },
            "energy_per_action_j": {
                "dynamic": self.dynamic_j / each, "dynamic_band": [value / each for value in self.dynamic_band_j],
                "chip": self.chip_j / each, "chip_band": [value / each for value in self.chip_band_j],
                "chip_with_timer": timer_chip_j / each,
            },
            "rounds": len(self.timer_s), "energy_per_episode_j": None,
        }  # fmt: skip
        if episodes:
            scale = actions / episodes
            block["energy_per_episode_j"] = {
                name: [v * scale for v in value] if isinstance(value, list) else value * scale
                for name, value in block["energy_per_action_j"].items()
            }
        return block


def side_by_side_s(per_tick: F64) -> F64:
    """Return how long each tick of an action lasts, (rounds, ticks + layers - 1), where layer l works on tick k - l at tick k,
    and the slowest of them is waited for; `per_tick`: (rounds, ticks, layers) seconds.
    """
    rounds, ticks, layers = per_tick.shape
    out = np.zeros((rounds, ticks + layers - 1))
    for layer in range(layers):
        out[:, layer : layer + ticks] = np.maximum(out[:, layer : layer + ticks], per_tick[:, :, layer])
    return out


def _latency(values: F64, period_s: float) -> dict[str, Any]:
    if not len(values):
        return {"mean_s": None, "median_s": None, "p99_s": None, "worst_s": None, "missed": 0, "histogram": None}
    low, high = float(values.min()), float(values.max())
    counts, edges = np.histogram(values, bins=min(40, len(values)), range=(low, high if high > low else low + 1e-9))
    return {
        "mean_s": float(values.mean()), "median_s": float(np.median(values)), "p99_s": float(np.percentile(values, 99)),
        "worst_s": high, "missed": int((values > period_s).sum()) if period_s else 0,
        "histogram": {"edges_s": edges.tolist(), "counts": counts.tolist()},
    }  # fmt: skip


def _asleep_w(terms: Terms, chips: int) -> float:
    chip, table = terms.chip, terms.table
    return chips * (chip.power_off_w + chip.pe_sleep_w * table["powered_pes"])
