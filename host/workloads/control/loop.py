"""The closed loop: observations become events, and the readout's last membranes an action, from which the next observation
follows.

Source and readout in one, for each waits for the other. All lanes act together: the ticks of an action are so many positions,
and at the last of them every lane with an episode acts. A lane whose episode ended begins the next one, as long as there are
any, and is idle from then on. Which lane an episode gets changes no bit of it.
"""

from __future__ import annotations

import base64
import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from host.cost.cost_table import CostTable
from host.cost.ledger import RunLedger
from host.workloads.contract import Feed, Metric, Outputs, Progress, SaveRow, Source, only_section
from host.workloads.control import METRICS
from host.workloads.control.action_costs import ActionCosts
from host.workloads.control.agents import Agent
from host.workloads.control.results import Episode, Setting, compose_result, cost_metrics, solved_share
from host.workloads.lane_sets import pack_lanes
from host.workloads.rows_in_dram import RowsInDram
from host.workloads.section_events import Sending
from models.control.encoding import spike_draws
from models.control.task import EnvironmentLanes
from models.control.trajectory import next_link
from models.network import F32, I64, Array
from noc.chip import ChipSpec
from noc.packet import VALID

OUTPUTS = "outputs"


@dataclass
class _Lane:
    """A lane's episode: its number, -1 without one; the position at which it began, actions and return so far, and a hash of
    them.
    """

    episode: int = -1
    began: int = 0
    steps: int = 0
    total: float = 0.0
    chain: str = ""


class ControlLoop(Source):
    """Runs the episodes of `setting` in `environments`, an episode a lane.

    `into`: the input population; `observations`: a row a lane in DRAM, which the input is read from at every tick; `sending`:
    how the output sends. For `--save outputs` it has each action's `observations` (numbers,), `values` (actions,), `actions`
    and `rewards`.
    """

    saves = (OUTPUTS,)

    def __init__(
        self,
        setting: Setting,
        environments: EnvironmentLanes,
        agent: Agent,
        *,
        observations: RowsInDram,
        sending: Sending,
        into: int,
        lanes: int,
    ) -> None:
        self._setting, self._environments, self._rows, self._sending = setting, environments, observations, sending
        self._input, self._agent = into, agent
        self._lanes = [_Lane() for _ in range(lanes)]
        self._turns: list[list[tuple[int, int]]] = [[] for _ in range(lanes)]  # (position, episode that begins or -1)
        self._observed: F32 = np.zeros((lanes, setting.observations), np.float32)
        self._numbers: list[Array] = [np.zeros(agent.units)] * lanes
        self._draws: dict[int, I64] = {}
        self._values: F32 = np.zeros((lanes, sending.units), np.float32)
        self._begun, self._answered, self._steps = 0, 0, 0  # episodes; positions; positions of sequences
        self.episodes: list[Episode] = []
        self.costs: ActionCosts | None = None
        self._save: SaveRow | None = None
        for lane in range(lanes):
            self._begin(lane, 0)

    # -- the source

    @property
    def positions(self) -> int:  # type: ignore[override] # nobody knows before the last episode ends
        """Positions so far."""
        return self._next

    def exhausted(self) -> bool:
        """Tell whether every episode is over."""
        return all(lane.episode < 0 for lane in self._lanes)

    def next(self) -> Feed | None:
        """Return the next position's input; None while the action before it has not been chosen yet."""
        if self._next // self._setting.ticks > self._answered // self._setting.ticks or self.exhausted():
            return None
        self._next += 1
        return self.feed_at(self._next - 1)

    def feed_at(self, position: int) -> Feed:
        """Return what each lane's observation sends at one tick of an action."""
        tick = position % self._setting.ticks
        running = np.array([lane.episode >= 0 for lane in self._lanes])
        if tick == 0 and not self._setting.poisson:
            for lane in np.flatnonzero(running):
                self._rows.write(int(lane), self._numbers[lane])
        if self._setting.poisson:
            self._draw(tick)
        events = {self._input: self._rows.feed([lane if runs else None for lane, runs in enumerate(running)])}
        begin = np.array([lane.episode >= 0 and lane.steps == 0 and tick == 0 for lane in self._lanes])
        reset = begin if self._setting.carry else running & (tick == 0)
        if running.all() and not reset.any():
            return Feed(position, VALID, events)
        flags, lanes = pack_lanes(begin, reset, ~running)
        return Feed(position, flags, events, lanes)

    def sequence_at(self, lane: int, position: int) -> tuple[int, int] | None:
        """Return (episode, position in it) of a lane at a position; None where it is idle."""
        turns = self._turns[lane]
        began, episode = turns[-1]
        if position < began:  # what an episode sent last comes when the next has begun
            place = bisect_right(turns, position, key=lambda turn: turn[0]) - 1
            began, episode = turns[place] if place >= 0 else (0, -1)
        return None if episode < 0 else (episode, position - began)

    def _begin(self, lane: int, position: int) -> None:
        """Begin the next episode in a lane, or leave it idle."""
        if self._begun >= self._setting.episodes:
            self._lanes[lane] = _Lane()
            self._turns[lane].append((position, -1))
            return
        self._lanes[lane] = _Lane(episode=self._begun, began=position)
        self._turns[lane].append((position, self._begun))
        self._observe(lane, self._environments.begin(lane, self._setting.seed + self._begun))
        self._begun += 1

    def _observe(self, lane: int, observation: F32) -> None:
        self._observed[lane] = observation
        self._numbers[lane] = self._agent.input_of(observation)

    def _draw(self, tick: int) -> None:
        """Write the spikes of one tick: a unit of the input spikes where its count is above what was drawn."""
        for number, lane in enumerate(self._lanes):
            if lane.episode < 0:
                continue
            if tick == 0:
                shape = self._setting.ticks, self._agent.units
                self._draws[number] = spike_draws(self._setting.seed, lane.episode, lane.steps, *shape)
            self._rows.write(number, self._numbers[number] > self._draws[number][tick])

    # -- the readout

    def answer(self, position: int, outputs: Outputs) -> None:
        """Take the membranes at one tick; at the last one of an action, act."""
        self._answered = position + 1
        self._steps += sum(lane.episode >= 0 for lane in self._lanes)
        if self._answered % self._setting.ticks:
            return
        self._values = self._sending.spread(only_section(outputs), len(self._lanes)).astype(np.float32)
        running = [number for number, lane in enumerate(self._lanes) if lane.episode >= 0]
        actions = [self._agent.action_of(self._values[number]) for number in running]
        outcome = self._environments.step(running, actions)
        for place, number in enumerate(running):
            lane, reward = self._lanes[number], float(outcome.rewards[place])
            self._note(lane, number, actions[place], reward)
            lane.steps, lane.total = lane.steps + 1, lane.total + reward
            cut = lane.steps >= self._setting.steps
            if outcome.ended[place] or cut:
                how = "terminated" if outcome.terminated[place] else "truncated"
                self.episodes.append(
                    Episode(episode=lane.episode, total=lane.total, steps=lane.steps, ended=how, sha256=lane.chain)
                )
                self._begin(number, self._answered)
            else:
                self._observe(number, outcome.observations[place])

    def _note(self, lane: _Lane, number: int, action: Any, reward: float) -> None:
        """Add an action to the hash of its episode, and to what is saved."""
        lane.chain = next_link(lane.chain, self._observed[number], action)
        if self._save is not None:
            rows = {
                "observations": self._observed[number].copy(), "values": self._values[number],
                "actions": np.asarray(action, np.uint32 if isinstance(action, int) else np.float32),
                "rewards": np.float64(reward),
            }  # fmt: skip
            for of, row in rows.items():
                self._save(OUTPUTS, of, lane.episode, lane.steps, np.asarray(row))

    def save_rows_to(self, save: SaveRow) -> None:
        """Hand every action to `save`, too."""
        self._save = save

    def see_ledger(self, ledger: RunLedger, chip: ChipSpec, table: CostTable, alive: Callable[[], None]) -> None:
        """Work out what actions cost on the chip."""
        setting = self._setting
        self.costs = ActionCosts.of(ledger, chip, table, ticks=setting.ticks, timer_s=setting.timer_s, alive=alive)

    def progress(self) -> Progress:
        """Return how many ticks came through, the mean return so far, and what the panel draws of the first running lane."""
        ticks, setting = self._setting.ticks, self._setting
        waiting = setting.episodes - self._begun
        rest = sum(setting.steps - lane.steps for lane in self._lanes if lane.episode >= 0) + waiting * setting.steps
        of_action = self._answered % ticks * sum(lane.episode >= 0 for lane in self._lanes)
        return Progress(self._steps, self._steps + rest * ticks - of_action, self._metrics(), self._shown())

    def result(self) -> dict[str, Any]:
        """Return the episodes and what they come to."""
        result = compose_result(self._setting, self.episodes, self._running(), self.costs, self._replayed())
        begun = len(self.episodes) + sum(lane.steps > 0 for lane in self._lanes)
        return result | {"whole_model": self._agent.report(result["actions_taken"], begun)}

    def metrics(self, cost: Mapping[str, Any] | None) -> list[Metric]:
        """Return the mean return, the share solved, and what an action costs."""
        actions = sum(episode.steps for episode in self.episodes) + self._running()
        return [*self._metrics(), *(cost_metrics(self._setting, self.costs, actions, cost["energy_j"]) if cost else [])]

    def _metrics(self) -> list[Metric]:
        returns = [episode.total for episode in self.episodes]
        note = f"{len(returns)} of {self._setting.episodes} episodes"
        metrics = [METRICS["return_mean"]._replace(value=float(np.mean(returns)) if returns else None, note=note)]
        if (rule := self._setting.solved_rule) is not None:
            share = solved_share(self._setting, self.episodes)
            metrics.append(METRICS["solved"]._replace(value=None if share is None else 100 * share, note=rule))
        if self._setting.solved_by_end:
            seconds = [episode.steps * self._setting.period_s for episode in self.episodes]
            metrics.append(METRICS["time_to_target"]._replace(value=float(np.mean(seconds)) if seconds else None, note=note))
        return metrics

    def _running(self) -> int:
        """Return how many actions of episodes that are not over were taken."""
        return sum(lane.steps for lane in self._lanes if lane.episode >= 0)

    def _replayed(self) -> tuple[int, int] | None:
        compared = getattr(self._environments, "compared", None)
        return None if compared is None else (compared, self._environments.agreed)  # type: ignore[attr-defined]

    def _shown(self) -> dict[str, Any]:
        number = next((number for number, lane in enumerate(self._lanes) if lane.episode >= 0), 0)
        lane = self._lanes[number]
        returns = [episode.total for episode in self.episodes[-200:]]
        return {
            "episode": lane.episode, "step": lane.steps, "return": lane.total, "returns": returns,
            "drawing": dict(self._environments.drawing(number)), "values": [float(value) for value in self._values[number]],
        }  # fmt: skip

    # -- storing

    def snapshot(self) -> bytes:
        """Return episodes, lanes, environments and positions; what is drawn follows from them."""
        state = {
            "next": self._next, "begun": self._begun, "answered": self._answered, "steps": self._steps,
            "lanes": [asdict(lane) for lane in self._lanes], "turns": self._turns,
            "episodes": [asdict(episode) for episode in self.episodes],
            "observed": _text_of(self._observed), "values": _text_of(self._values),
            "environments": base64.b64encode(self._environments.snapshot()).decode(),
            "agent": base64.b64encode(self._agent.snapshot()).decode(),
        }  # fmt: skip
        return json.dumps(state).encode()

    def restore(self, snapshot: bytes) -> None:
        """Go on from a snapshot."""
        state = json.loads(snapshot)
        self._next, self._begun, self._answered, self._steps = (state[key] for key in ("next", "begun", "answered", "steps"))
        self._lanes = [_Lane(**lane) for lane in state["lanes"]]
        self._turns = [[(began, episode) for began, episode in turns] for turns in state["turns"]]
        self.episodes = [Episode(**episode) for episode in state["episodes"]]
        self._environments.restore(base64.b64decode(state["environments"]))
        self._values = _array_of(state["values"], self._values.shape)
        for lane, observation in enumerate(_array_of(state["observed"], self._observed.shape)):
            self._observe(lane, observation)
        self._agent.restore(base64.b64decode(state["agent"]))  # after the inputs were made once more
        tick, shape = self._next % self._setting.ticks, (self._setting.ticks, self._agent.units)
        for number, one in enumerate(self._lanes):
            if tick and one.episode >= 0 and self._setting.poisson:
                self._draws[number] = spike_draws(self._setting.seed, one.episode, one.steps, *shape)
            elif tick and one.episode >= 0:
                self._rows.write(number, self._numbers[number])


def _text_of(array: F32) -> str:
    return base64.b64encode(array.tobytes()).decode()


def _array_of(text: str, shape: Sequence[int]) -> F32:
    return np.frombuffer(base64.b64decode(text), np.float32).reshape(shape).copy()
