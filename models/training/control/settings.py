"""What a training of a Q-network is told."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from models.control.task import Task
from models.network import ModelError
from models.training.common.settings import flag, need_above_zero, need_from, need_shares, sizes_of


@dataclass(frozen=True)
class ControlSettings:
    """Settings of a training; each field is a flag."""

    seeds: int = flag(5, "how many trainings, one after another, from --seed on; the best by its validation is written")
    seed: int = flag(1, "seed of the first training")
    hidden: str = flag("64,64", "units of the hidden layers")
    ticks: int = flag(10, "ticks an action: how often each neuron steps")
    decay: float = flag(0.8, "what a membrane keeps of itself from tick to tick")
    direct: bool = flag(False, "no teacher: the spiking network learns Q values by itself, then with 8 bits")
    steps: int = flag(0, "environment steps of Q-learning (0: 24,000, and 80,000 for acrobot)")
    updates: int = flag(4000, "updates of the student")
    float_share: float = flag(0.4, "share of the student's updates (--direct: of the steps) before weights are held to 8 bits")
    batch: int = flag(128, "transitions or states an update")
    lr: float = flag(1e-3, "learning rate of Adam")
    gamma: float = flag(0.99, "discount of a step")
    target_rate: float = flag(0.01, "by how much the target network follows at each update")
    reward_scale: float = flag(0.1, "what rewards are multiplied by")
    exploration: float = flag(0.05, "share of random actions at the end of Q-learning")
    exploration_share: float = flag(1.0, "share of the steps over which exploration falls to that")
    updates_a_step: int = flag(2, "updates for each step of the environments side by side")
    student_exploration: float = flag(0.1, "share of random actions while the student acts")
    sharpness: float = flag(30.0, "what a teacher's Q values are multiplied by before the student learns their softmax")
    steepness: float = flag(5.0, "of the surrogate gradient, a fast sigmoid")
    environments: int = flag(8, "environments side by side while Q-learning acts")
    memory: int = flag(50_000, "transitions or states that are remembered")
    evaluate_every: int = flag(200, "updates of the student between greedy evaluations")
    evaluation_episodes: int = flag(50, "episodes of such an evaluation")
    final_episodes: int = flag(100, "episodes of the last evaluations, on seeds that no other has")
    observation_scale: str = flag("", "what each observation is divided by, with commas (default: the task's own)")

    def check(self) -> None:
        """Raise ModelError, one line, for what cannot be trained."""
        need_from(self, 1, "seeds", "ticks", "updates", "batch", "environments", "updates_a_step", "evaluate_every")
        need_from(self, 1, "evaluation_episodes", "final_episodes")
        need_from(self, 0, "seed", "steps")
        need_from(self, self.batch, "memory")
        need_above_zero(self, "lr", "reward_scale", "sharpness", "steepness")
        need_shares(self, "decay", "gamma", "target_rate", "exploration", "student_exploration", "float_share")
        need_above_zero(self, "exploration_share")
        if not all(size >= 1 for size in self.sizes) or not self.sizes:
            raise ModelError(f"--hidden {self.hidden!r}: needs sizes such as 64,64")

    @property
    def sizes(self) -> tuple[int, ...]:
        """The units of the hidden layers."""
        return sizes_of(self.hidden, "64,64")

    def scale_for(self, task: Task) -> tuple[float, ...]:
        """Return what each observation is divided by; ModelError where nobody has said, or for a task without a choice."""
        if task.continuous:
            raise ModelError(f"{task.name}: its actions are no choice, a Q-network's are; import a decoder")
        try:
            own = tuple(float(part) for part in self.observation_scale.split(",") if part.strip())
        except ValueError:
            raise ModelError(f"--observation-scale {self.observation_scale!r}: needs numbers with commas") from None
        scale = own or task.scale
        if len(scale) != task.observations or not all(0 < value < float("inf") for value in scale):
            have = f"has {','.join(map(str, scale))}" if scale else "its bounds are not finite, so nothing says"
            raise ModelError(f"{task.name}: needs --observation-scale with {task.observations} numbers above 0; {have}")
        return scale

    def steps_for(self, task: Task) -> int:
        """Return how many environment steps Q-learning takes."""
        return self.steps or {"acrobot": 80_000}.get(task.name, 24_000)

    @classmethod
    def chosen(cls, flags: dict[str, Any]) -> ControlSettings:
        """Return the settings of flags, of which those that were not given are None."""
        known = {entry.name for entry in fields(cls)}
        return cls(**{name: value for name, value in flags.items() if name in known and value is not None})
