"""How long a closed loop takes on this machine: `python -m bench.control`.

The shipped Q-network of CartPole (8-64-64-2, int8) on 8 PE processes: a tick of a session (a step waits for the answer, and
takes a tick a population; median over blocks of steps), and an action of a run of 32 episodes side by side, wall time over
actions. `--actions N` runs so many actions instead.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np

import gennaker as gk
from bench.session import median_step_ms
from bench.targets import Figures, verdicts
from host.launch.recorded_run import run_into
from host.workloads.control.options import Options

_PES, _LANES, _STEPS, _OBSERVATIONS = 8, 32, 60, 50


def measure() -> Figures:
    """Return milliseconds, by the keys of `TARGETS`."""
    step_ms, ticks = _step_ms()
    figures = {"control_tick": step_ms / ticks, "control_action": _action_ms(_LANES, _LANES * _STEPS)}
    print(f"a step of a session on {_PES} PE processes: {ticks:.0f} ticks, {step_ms:.3f} ms")
    print(f"a tick of it                             {figures['control_tick']:22.3f} ms")
    print(f"an action of {_LANES} episodes side by side   {figures['control_action']:22.3f} ms")
    return figures


def _step_ms() -> tuple[float, float]:
    """Return the milliseconds of a step, and its ticks: one a population, for a step is over when the last has answered."""
    plan = gk.load("cartpole").fit(pes=_PES, mapping="balanced", format="dense")
    observations = np.random.default_rng(1).integers(0, 129, (_OBSERVATIONS, 8)).astype(np.uint16)
    observations[:, 4:] = 0  # a number is above zero or below
    with plan.session() as chip:
        return median_step_ms(chip, observations), float(len(plan.placement.network.layers))


def _action_ms(lanes: int, actions: int) -> float:
    """Return the wall time of an action of a run of `lanes` episodes side by side, all as long, on real processes."""
    options = Options(environment="cartpole", batch=lanes, episodes=lanes, steps=max(1, actions // lanes), pes=_PES, answers="none")
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_into(Path(folder), options)
    assert outcome.report is not None, outcome.problem
    return float(1e3 * outcome.report["emulation"]["run_s"] / outcome.report["result"]["actions_taken"])


def main() -> None:
    """Measure, and hold the figures against their targets."""
    parser = argparse.ArgumentParser(prog="python -m bench.control", description=__doc__)
    parser.add_argument(
        "--actions", type=int, metavar="N", help="of a run alone, 32 episodes side by side: its wall time an action"
    )
    arguments = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f}")
    if arguments.actions:
        print(f"{arguments.actions:,} actions: {_action_ms(_LANES, arguments.actions):.3f} ms each")
        return
    print(verdicts(measure()))


if __name__ == "__main__":
    main()
