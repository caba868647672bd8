"""What came of episodes: the report's `result` block, and the figures of what actions cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from host.show.quantities import format_quantity
from host.workloads.contract import Metric
from host.workloads.control import METRICS
from host.workloads.control.action_costs import ActionCosts


@dataclass(frozen=True, kw_only=True)
class Episode:
    """An episode: its number, return, actions, how it ended ("terminated" by the task's rules, "truncated"), and the SHA-256
    of its observations and actions.
    """

    episode: int
    total: float
    steps: int
    ended: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is known before the first action. `steps`: actions at which an episode is cut off; `period_s`: the time of a step,
    by which an action must be there, 0 where the environment has none; `record`: what the trainer measured.
    """

    environment: str
    episodes: int
    seed: int
    steps: int
    ticks: int
    poisson: bool
    carry: bool
    observations: int
    actions: int
    solved_return: float | None
    solved_by_end: bool
    period_s: float
    timer_s: float
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def solved_rule(self) -> str | None:
        """When an episode counts as solved, in words; None where nobody has said."""
        if self.solved_by_end:
            return "ended by the task's rules"
        return None if self.solved_return is None else f"at least {self.solved_return:g}"


def compose_result(
    setting: Setting, episodes: Sequence[Episode], running: int, costs: ActionCosts | None, replayed: tuple[int, int] | None
) -> dict[str, Any]:
    """Return the `result` block. `running`: actions of episodes that are not over; `replayed`: actions that were compared with
    those of an earlier run, and how many were the same.
    """
    ordered = sorted(episodes, key=lambda episode: episode.episode)
    returns = np.array([episode.total for episode in ordered])
    actions = sum(episode.steps for episode in ordered)
    known = asdict(setting)
    for name in ("record", "poisson", "solved_by_end", "observations"):
        del known[name]
    return {
        **known, "actions_taken": actions + running,
        "return_mean": float(returns.mean()) if len(returns) else None,
        "return_sd": float(returns.std()) if len(returns) else None,
        "return_worst": float(returns.min()) if len(returns) else None,
        "solved_share": solved_share(setting, ordered), "solved_rule": setting.solved_rule,
        "episodes_done": len(ordered), "trajectory_sha256": _joined(ordered),
        "each": [asdict(episode) for episode in ordered],
        "torch": compare_with_torch(setting, ordered),
        "replayed": None if replayed is None else {"compared": replayed[0], "same": replayed[1]},
        "costs": None if costs is None else costs.block(actions + running, len(ordered), setting.period_s),
        "note": "",
    }  # fmt: skip


def solved_share(setting: Setting, episodes: Sequence[Episode]) -> float | None:
    """Return the share of episodes that are solved; None without one, or where nobody has said what that is."""
    if not episodes or setting.solved_rule is None:
        return None
    if setting.solved_by_end:
        return float(np.mean([episode.ended == "terminated" for episode in episodes]))
    return float(np.mean([episode.total >= (setting.solved_return or 0.0) for episode in episodes]))


def _joined(episodes: Sequence[Episode]) -> str:
    """Return one SHA-256 over those of all episodes in order."""
    return hashlib.sha256(b"".join(bytes.fromhex(episode.sha256) for episode in episodes)).hexdigest()


def compare_with_torch(setting: Setting, episodes: Sequence[Episode]) -> dict[str, Any] | None:
    """Return what torch made of the same episodes, where the checkpoint's record has them: its mean return, and how many
    episodes have the same return, and the same observations and actions to the last bit.
    """
    torch = setting.record.get("torch")
    as_recorded = not (setting.poisson or setting.carry)
    if not isinstance(torch, Mapping) or not as_recorded or torch.get("ticks") != setting.ticks:
        return None
    if torch.get("environment") != setting.environment or torch.get("steps") != setting.steps:
        return None
    first, returns, hashes = torch.get("seed"), torch.get("returns"), torch.get("sha256")
    if not (isinstance(first, int) and isinstance(returns, list) and isinstance(hashes, list)):
        return None
    pairs = [(e, setting.seed + e.episode - first) for e in episodes if 0 <= setting.seed + e.episode - first < len(returns)]
    if not pairs:
        return None
    return {
        "episodes": len(pairs), "return_mean": float(np.mean([returns[place] for _, place in pairs])),
        "same_return": sum(episode.total == returns[place] for episode, place in pairs),
        "same_actions": sum(episode.sha256.startswith(str(hashes[place])) for episode, place in pairs),
    }  # fmt: skip


def cost_metrics(setting: Setting, costs: ActionCosts | None, actions: int, energy_j: float) -> list[Metric]:
    """Return what each of so many actions costs, where the run was priced; `energy_j` is the whole run's."""
    if costs is None or not actions or not len(costs.timer_s):
        return []
    in_line, timed = costs.back_to_back_s, costs.timer_s
    lanes_note = f"{setting.ticks} ticks and {len(in_line):,} rounds"
    period = f"of {1e3 * setting.period_s:g} ms" if setting.period_s else ""
    metrics = [
        METRICS["action_time"]._replace(value=1e3 * float(in_line.mean()), note=lanes_note),
        METRICS["action_time_timer"]._replace(
            value=1e3 * float(timed.mean()), note=f"ticks of {format_quantity(setting.timer_s, 's')}"
        ),
    ]
    metrics.append(METRICS["action_energy"]._replace(value=1e3 * energy_j / actions, note="the whole chip, back to back"))
    if setting.period_s:
        for name, values in (("missed", in_line), ("missed_timer", timed)):
            metrics.append(METRICS[name]._replace(value=100 * float((values > setting.period_s).mean()), note=period))
    return metrics
