"""How long a closed loop takes on this machine: `python -m bench.control`.

The shipped Q-network of CartPole (8-64-64-2, int8) on 8 PE processes: a tick of a session, the median over blocks of ticks, and
an action of a run of 32 episodes side by side, wall time over actions. `--actions N` runs so many actions instead.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

import gennaker as gk
from bench.targets import Figures, held
from host.launch.recorded_run import run_into
from host.workloads.control.options import Options

_PES, _LANES, _STEPS, _BLOCKS, _TICKS, _WARM = 8, 32, 60, 40, 50, 200


def measure() -> Figures:
    """Return milliseconds, by the keys of `TARGETS`."""
    figures = {"control_tick": _tick_ms(), "control_action": _action_ms(_LANES, _LANES * _STEPS)}
    print(f"a tick of a session on {_PES} PE processes {figures['control_tick']:22.3f} ms")
    print(f"an action of {_LANES} episodes side by side   {figures['control_action']:22.3f} ms")
    return figures


def _tick_ms() -> float:
    plan = gk.load("cartpole").fit(pes=_PES, mapping="balanced", format="dense")
    observations = np.random.default_rng(1).integers(0, 129, (_TICKS, 8)).astype(np.uint16)
    observations[:, 4:] = 0  # a number is above zero or below
    with plan.session() as chip:
        for n in range(_WARM):
            chip.step(observations[n % _TICKS])
        blocks = []
        for _ in range(_BLOCKS):
            began = time.perf_counter()
            for observation in observations:
                chip.step(observation)
            blocks.append((time.perf_counter() - began) / _TICKS)
    return 1e3 * statistics.median(blocks)


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
    print(held(measure()))


if __name__ == "__main__":
    main()
