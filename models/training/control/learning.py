"""Learning to act: double Q-learning of any Q-network, and a student that learns what a teacher would do where the student
comes.

Double Q-learning (van Hasselt, Guez, Silver 2016) with a target network that follows softly; an episode that its limit cut off
goes on in the target, one that its rules ended does not. The student acts, the teacher labels (DAgger: Ross, Gordon, Bagnell
2011).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from models.control.task import Task
from models.training.control.acting import VALIDATION_SEED, Actors, Memory, greedy_returns
from models.training.control.network import Encoder, SpikingQ
from models.training.control.settings import ControlSettings

Report = Callable[[int, float], None]  # (steps or updates done, mean return of the greedy evaluation)
_EVALUATIONS = 30  # of one Q-learning


def learn_q_values(
    task: Task, network: nn.Module, encode: Encoder, settings: ControlSettings, *, seed: int, steps: int, explore_from: float,
    report: Report,
) -> dict[str, Tensor]:  # fmt: skip
    """Learn Q values by acting; return the parameters that did best in a greedy evaluation."""
    lanes = settings.environments
    target, optimiser = copy.deepcopy(network), torch.optim.Adam(network.parameters(), settings.lr)
    actors, memory, draw = Actors(task, lanes, seed), Memory(settings.memory), np.random.default_rng(seed)
    best, best_return, every = _parameters(network), -np.inf, max(1, steps // lanes // _EVALUATIONS)
    inputs = encode(actors.observations)
    for step in range(steps // lanes):
        share = step * lanes / steps
        explore = max(
            settings.exploration, explore_from + (settings.exploration - explore_from) * share / settings.exploration_share
        )
        for group in optimiser.param_groups:
            group["lr"] = settings.lr * (1 - 0.9 * share)
        with torch.no_grad():
            greedy = network(inputs).argmax(1).numpy()
        actions = np.where(draw.random(lanes) < explore, draw.integers(0, task.actions, lanes), greedy)
        rewards, following, terminated = actors.step(actions)
        memory.add(
            inputs, torch.from_numpy(actions), torch.from_numpy(rewards * settings.reward_scale).float(), encode(following),
            torch.from_numpy(~terminated).float(),
        )  # fmt: skip
        inputs = encode(actors.observations)
        if memory.rows >= min(1000, settings.memory):
            for _ in range(settings.updates_a_step):
                _update(network, target, optimiser, memory.draw(settings.batch), settings)
        if (step + 1) % every == 0:
            mean = float(greedy_returns(task, lambda o: network(encode(o)), settings.evaluation_episodes, VALIDATION_SEED).mean())
            report((step + 1) * lanes, mean)
            if mean > best_return:
                best, best_return = _parameters(network), mean
            if task.limit_steps and mean >= 0.995 * task.limit_steps:  # nothing better can be
                break
    return best


def _update(
    network: nn.Module, target: nn.Module, optimiser: torch.optim.Optimizer, rows: list[Tensor], settings: ControlSettings
) -> None:
    inputs, actions, rewards, following, goes_on = rows
    with torch.no_grad():
        choice = network(following).argmax(1, keepdim=True)
        aim = rewards + settings.gamma * goes_on * target(following).gather(1, choice)[:, 0]
    loss = nn.functional.smooth_l1_loss(network(inputs).gather(1, actions[:, None])[:, 0], aim)
    _descend(network, optimiser, loss)
    with torch.no_grad():
        for slow, fast in zip(target.parameters(), network.parameters(), strict=True):
            slow.lerp_(fast, settings.target_rate)


def learn_from_teacher(
    task: Task, student: SpikingQ, teacher: nn.Module, encode: Encoder, settings: ControlSettings, *, seed: int, report: Report
) -> dict[str, Tensor]:
    """Teach the student; return the parameters that did best in a greedy evaluation with 8 bits."""
    lanes = 32
    optimiser = torch.optim.Adam(student.parameters(), settings.lr)
    slower = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, settings.updates, settings.lr / 20)
    actors, memory, draw = Actors(task, lanes, 1000 + seed), Memory(settings.memory), np.random.default_rng(seed)
    best, best_return = _parameters(student), -np.inf
    for update in range(settings.updates):
        student.held = update >= settings.float_share * settings.updates
        inputs = encode(actors.observations)
        with torch.no_grad():
            greedy = student(inputs).argmax(1).numpy()
            memory.add(inputs, torch.softmax(settings.sharpness * teacher(inputs), 1))
        random = draw.random(lanes) < settings.student_exploration
        actors.step(np.where(random, draw.integers(0, task.actions, lanes), greedy))
        if memory.rows >= min(1000, settings.memory):
            seen, wish = memory.draw(settings.batch)
            _descend(student, optimiser, nn.functional.cross_entropy(student(seen), wish))
            slower.step()
        if student.held and ((update + 1) % settings.evaluate_every == 0 or update + 1 == settings.updates):
            mean = float(greedy_returns(task, lambda o: student(encode(o)), settings.evaluation_episodes, VALIDATION_SEED).mean())
            report(update + 1, mean)
            if mean >= best_return:  # the later of two
                best, best_return = _parameters(student), mean
    return best


def _descend(network: nn.Module, optimiser: torch.optim.Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(network.parameters(), 10)
    optimiser.step()


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
