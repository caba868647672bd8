"""Plays drawn schedules and says which violated something."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.tools.simulation.schedule import Stage, draw, judge, write_model


def main() -> int:
    """Play the schedules that the flags ask for; 1 where one violated something."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.simulation")
    parser.add_argument("--schedules", type=int, default=300, help="how many to play (300)")
    parser.add_argument("--seed", type=int, default=1, help="what they are drawn from, with their numbers (1)")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first one's number (0)")
    parser.add_argument("--only", type=int, help="play the one of this number, and say what it was")
    flags = parser.parse_args()
    began, ends, wrong, most_s = time.monotonic(), Counter[str](), 0, 0.0
    with tempfile.TemporaryDirectory(prefix="simulation-") as folder:
        stage = Stage(*write_model(Path(folder)))
        numbers = range(flags.first, flags.first + flags.schedules) if flags.only is None else [flags.only]
        for number in numbers:
            schedule = draw(flags.seed, number)
            ending = stage.play(schedule)
            violations = judge(schedule, ending, stage.whole(schedule.chips))
            ends[f"code {ending.code}"] += 1
            ends["restarts"] += len(ending.restarts)
            ends["strikes"] += len(ending.struck)
            most_s = max(most_s, ending.took_s)
            wrong += bool(violations)
            if violations or flags.only is not None:
                print(number, violations or "right", schedule, ending, sep="\n  ")  # noqa: T201
    took_s = time.monotonic() - began
    print(f"{len(numbers)} schedules in {took_s:.1f} s, {wrong} wrong: {dict(ends)}; longest {most_s:.1f} pretended s")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    raise SystemExit(main())
