"""Trainings of one task, a seed after another: each in a folder of its own, whose finished stages are not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.checkpoint import save
from models.control.policy import Policy
from models.control.q_network import in_8_bits
from models.control.task import Task
from models.network import F64, ModelError, Network
from models.training.common.run_folder import append_row
from models.training.control.acting import FRESH_SEED, VALIDATION_SEED, greedy_returns
from models.training.control.export import TorchPolicy, model_of, network_of
from models.training.control.learning import learn_from_teacher, learn_q_values
from models.training.control.network import Encoder, RectifiedQ, SpikingQ
from models.training.control.settings import ControlSettings

_COLUMNS = ("iteration", "stage", "return", "seconds")
Say = Callable[[str], object]


@dataclass
class Seed:
    """One training: its settings' seed and its folder."""

    task: Task
    settings: ControlSettings
    seed: int
    folder: Path
    say: Say

    def finish(self) -> dict[str, Any]:
        """Train to the end, or on from the last finished stage; return what came of it, as `result.json` has it."""
        path = self.folder / "result.json"
        if path.exists():
            result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return result
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(self.seed)
        scale = self.settings.scale_for(self.task)
        encode, student = Encoder(scale), self.student()
        teacher = None if self.settings.direct else self._teacher(encode)
        torch.manual_seed(self.seed + 1)
        student.load_state_dict(self._stage("student", lambda: self._taught(student, teacher, encode)))
        network = network_of(student)
        result = self._measured(network, scale, None if teacher is None else lambda o: teacher(encode(o)))
        unfinished = path.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(result, indent=1), encoding="utf-8")
        unfinished.replace(path)
        return result

    def student(self) -> SpikingQ:
        """Return a new spiking network."""
        s = self.settings
        return SpikingQ(2 * self.task.observations, s.sizes, self.task.actions, ticks=s.ticks, decay=s.decay, steepness=s.steepness)

    def network(self) -> Network:
        """Return the finished student's network, in float32."""
        student = self.student()
        student.load_state_dict(load_file(self.folder / "student.safetensors"))
        return network_of(student)

    def _teacher(self, encode: Encoder) -> RectifiedQ:
        teacher = RectifiedQ(2 * self.task.observations, self.settings.sizes, self.task.actions)
        steps = self.settings.steps_for(self.task)
        teacher.load_state_dict(self._stage("teacher", lambda: self._q_values(teacher, encode, steps, 1.0, "teacher")))
        return teacher

    def _taught(self, student: SpikingQ, teacher: RectifiedQ | None, encode: Encoder) -> dict[str, Tensor]:
        if teacher is not None:
            return learn_from_teacher(
                self.task, student, teacher, encode, self.settings, seed=self.seed, report=self._report("student")
            )
        steps = self.settings.steps_for(self.task)
        first = int(steps * self.settings.float_share)
        student.load_state_dict(self._stage("float", lambda: self._q_values(student, encode, first, 1.0, "float")))
        student.held = True
        return self._q_values(student, encode, steps - first, 0.2, "8 bits")

    def _q_values(self, network: Any, encode: Encoder, steps: int, explore: float, stage: str) -> dict[str, Tensor]:
        return learn_q_values(
            self.task, network, encode, self.settings, seed=self.seed, steps=steps, explore_from=explore, report=self._report(stage)
        )

    def _stage(self, name: str, learn: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return a stage's parameters: those of its file, or learnt now and kept."""
        path = self.folder / f"{name}.safetensors"
        if not path.exists():
            unfinished = path.with_suffix(".unfinished")
            save_file(learn(), unfinished)
            unfinished.replace(path)
        return load_file(path)

    def _report(self, stage: str) -> Callable[[int, float], None]:
        begin = time.process_time()

        def report(done: int, mean: float) -> None:
            seconds = time.process_time() - begin
            append_row(self.folder, _COLUMNS, {"iteration": done, "stage": stage, "return": mean, "seconds": seconds})
            self.say(f"seed {self.seed}  {stage:8} {done:8,}  return {mean:8.1f}  {seconds:6.1f} s")

        return report

    def _measured(self, network: Network, scale: tuple[float, ...], teacher: Any) -> dict[str, Any]:
        eight, ticks, episodes = in_8_bits(network), self.settings.ticks, self.settings.final_episodes
        policies = {"float": TorchPolicy(network, scale, ticks), "int8": TorchPolicy(eight, scale, ticks)}
        links: dict[str, list[str]] = {name: [""] * episodes for name in policies}
        returns = {name: greedy_returns(self.task, policy, episodes, FRESH_SEED, links[name]) for name, policy in policies.items()}
        validation = greedy_returns(self.task, policies["int8"], episodes, VALIDATION_SEED)
        result = {
            "seed": self.seed, "validation_mean": float(validation.mean()), "fresh_seed": FRESH_SEED, "episodes": episodes,
            **{name: _summary(values, self.task) for name, values in returns.items()},
        }  # fmt: skip
        if teacher is not None:
            result["teacher"] = _summary(greedy_returns(self.task, teacher, episodes, FRESH_SEED), self.task)
            result["agreement_with_teacher"] = self._agreement(policies["int8"], teacher)
        result["agreement_with_float"] = self._agreement(policies["int8"], policies["float"])
        result["torch"] = {
            name: {"returns": values.tolist(), "sha256": [link[:16] for link in links[name]]} for name, values in returns.items()
        }
        return result

    def _agreement(self, policy: TorchPolicy, other: Any) -> float:
        """Return the share of steps of fresh episodes, acted by `policy`, at which the other would act the same."""
        same, steps = [], []

        def watched(observations: Any) -> Tensor:
            values = policy(observations)
            same.append(int((values.argmax(1) == other(observations).argmax(1)).sum()))
            steps.append(len(observations))
            return values

        greedy_returns(self.task, watched, min(20, self.settings.final_episodes), FRESH_SEED)
        return sum(same) / sum(steps)


def train_all(task: Task, settings: ControlSettings, out: Path, say: Say) -> None:
    """Train every seed, and write the best by its validation: `NAME.safetensors` (int8) and `NAME-float.safetensors`."""
    scale = settings.scale_for(task)
    out.mkdir(parents=True, exist_ok=True)
    _need_same(
        out / "settings.json",
        {"environment": task.name, **{k: v for k, v in asdict(settings).items() if k not in ("seeds", "final_episodes")}},
    )
    seeds = [Seed(task, settings, seed, out / f"seed-{seed}", say) for seed in range(settings.seed, settings.seed + settings.seeds)]
    results = []
    for one in seeds:
        results.append(one.finish())
        say(_line(results[-1]))
    best = max(range(len(seeds)), key=lambda n: results[n]["validation_mean"])
    each = [{k: v for k, v in result.items() if k != "torch"} for result in results]
    facts = {"environment": task.name, "steps": task.limit_steps, "ticks": settings.ticks, "seed": FRESH_SEED}
    network = seeds[best].network()
    source = {"environment": task.gymnasium, "settings": asdict(settings), "seed": seeds[best].seed}
    paths = [out / f"{task.name}.safetensors", out / f"{task.name}-float.safetensors"]
    for path, bits, written in zip(paths, ("int8", "float"), (in_8_bits(network), network), strict=True):
        record = {"torch": {**facts, **results[best]["torch"][bits]}, "best": each[best], "seeds": each}
        policy = Policy(task.name, scale, task.actions, settings.ticks, record)
        save(path, model_of(written, policy, source))
        say(f"{path}: {path.stat().st_size:,} bytes, seed {seeds[best].seed}")


def _need_same(path: Path, settings: dict[str, Any]) -> None:
    if path.exists():
        other = json.loads(path.read_text(encoding="utf-8"))
        if other != settings:
            names = ", ".join(sorted(name for name in settings.keys() | other.keys() if settings.get(name) != other.get(name)))
            raise ModelError(f"{path}: belongs to a run with another {names}; use another --out")
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")


def _summary(returns: F64, task: Task) -> dict[str, float]:
    solved = {} if task.solved_return is None else {"solved": float((returns >= task.solved_return).mean())}
    return {"mean": float(returns.mean()), "sd": float(np.std(returns)), "worst": float(returns.min()), **solved}


def _line(result: dict[str, Any]) -> str:
    parts = [
        f"{name} {result[name]['mean']:.1f} (worst {result[name]['worst']:.0f})"
        for name in ("teacher", "float", "int8")
        if name in result
    ]
    return f"seed {result['seed']}: {', '.join(parts)}; validation {result['validation_mean']:.1f}"
