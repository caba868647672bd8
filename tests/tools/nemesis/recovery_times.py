"""How long it takes until ticks run again after a PE was killed.

`python -m tests.tools.nemesis.recovery_times --kills 10 --setup full`. Measured by the launcher, from when it notices to the
first tick of the new processes (`back_s` of the report's `recovery`); positions that are run again come on top. Each kill is a
run of its own, at a drawn tick, of a drawn PE; its hash must be that of a run that nobody hits.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import statistics
from typing import Any

from host.errors import Exit
from host.launch.launcher import Launcher
from host.launch.outcome import Outcome
from host.workloads.lm.options import Options
from tests.tools.nemesis.stage import Stage

_BOUNDS_S = {"tiny": 1.0, "full": 4.0}


def main() -> int:
    """Kill as many PEs as the flags ask for; 1 where a hash differs, or most are back later than they should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.nemesis.recovery_times")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--setup", choices=_BOUNDS_S, default="tiny", help="24 PEs of a tiny model, or 150 of the shipped one")
    parser.add_argument("--seed", type=int, default=1)
    flags = parser.parse_args()
    stage, chance = Stage(), random.Random(flags.seed)
    options = Options(tokens=60, restart=True)
    if flags.setup == "tiny":
        checkpoint, text = (str(stage.folder / name) for name in ("tiny.safetensors", "text.txt"))
        options = Options(checkpoint=checkpoint, text=text, tokens=300, pes=24, restart=True)
    try:
        whole, back_s, again, wrong = _sha256(Launcher(options, lambda _: None, lambda _: None).run()), [], [], 0
        for _ in range(flags.kills):
            outcome = _run(options, chance)
            (restart,) = outcome.report["recovery"]["restarts"]  # type: ignore[index]  # it has come to its end
            back_s.append(restart["back_s"])
            again.append(restart["positions_again"])
            wrong += _sha256(outcome) != whole
    finally:
        stage.close()
    back_s.sort()
    median_s, bound_s = statistics.median(back_s), _BOUNDS_S[flags.setup]
    print(f"{flags.kills} PEs killed ({flags.setup}): {wrong} wrong hashes; ticks run again after {median_s:.2f} s (median)")  # noqa: T201
    print(f"  {back_s[0]:.2f} to {back_s[-1]:.2f} s, of {bound_s:g}; {statistics.mean(again):.0f} positions run again on average")  # noqa: T201
    return int(wrong > 0 or median_s > bound_s)


def _sha256(outcome: Outcome) -> str:
    assert outcome.code is Exit.OK and outcome.report is not None, outcome.problem
    return str(outcome.report["events"]["sha256"])


def _run(options: Options, chance: random.Random) -> Outcome:
    """Run, and kill a PE at a drawn tick."""
    pids: dict[str, int] = {}
    tick, victim = chance.randint(3, 30), chance.random()

    def observe(status: dict[str, Any]) -> None:
        if status["phase"] == "running" and status["tick"] >= tick and pids:
            pes = sorted(name for name in pids if name.startswith("PE"))
            os.kill(pids[pes[int(victim * len(pes))]], signal.SIGKILL)
            pids.clear()
            done.append(True)

    done: list[bool] = []
    return Launcher(options, lambda _: None, observe, lambda name, pid: None if done else pids.__setitem__(name, pid)).run()


if __name__ == "__main__":
    raise SystemExit(main())
