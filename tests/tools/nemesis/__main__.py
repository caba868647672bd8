"""Runs trials and says what they violated."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from tests.tools.nemesis.checker import END_S, digest_of, judge, problem_of
from tests.tools.nemesis.stage import Evidence, Stage, play
from tests.tools.nemesis.trial import SETUPS, Trial, draw


def main() -> int:
    """Run the trials that the flags ask for; 1 where one violated something."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.nemesis")
    parser.add_argument("--trials", type=int, default=20, help="signals to send (20)")
    parser.add_argument("--seed", type=int, default=1, help="what trials are drawn from, with their numbers (1)")
    parser.add_argument("--setup", action="append", choices=SETUPS, help="only this way to run; again for more")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first trial's number (0)")
    parser.add_argument("--only", type=int, help="repeat the trial of this number")
    parser.add_argument("--restart", action="store_true", help="runs with --restart (and --resume): whoever is hit, the same hash")
    parser.add_argument("--log", type=Path, help="a line of JSON a trial goes there")
    flags = parser.parse_args()
    stage, series = Stage(), Series(flags.seed, tuple(flags.setup or ()), flags.log, restart=flags.restart)
    try:
        number = flags.first if flags.only is None else flags.only
        while series.signals < (flags.trials if flags.only is None else 1):
            series.run(stage, number)
            number += 1
            if flags.only is not None:
                break
    finally:
        stage.close()
    print(series.summary())  # noqa: T201
    return 1 if series.violated else 0


class Series:
    """Trials one after another, and what they came to."""

    def __init__(self, seed: int, setups: tuple[str, ...], log: Path | None, *, restart: bool = False) -> None:
        self._seed, self._setups, self._log, self._restart = seed, setups, log, restart
        self._quiet: dict[str, Evidence] = {}
        self.signals, self.violated, self._longest_s, self._over = 0, Counter[str](), 0.0, 0
        self._same = 0  # of the signals, after which the hash is the one without a signal
        self._hit, self._hit_badly = Counter[str](), Counter[str]()

    def run(self, stage: Stage, number: int) -> None:
        """Run one trial, print a line on it, and log it."""
        trial = draw(self._seed, number, self._setups, restart=self._restart)
        if trial.setup not in self._quiet:
            self._quiet[trial.setup] = quiet = play(stage, replace(trial, moment="", delay_s=0.0), strikes=False)
            if quiet.code != 0:
                raise SystemExit(f"a run without any signal ended with {quiet.code}: {problem_of(quiet)} {quiet.complained}")
        evidence = play(stage, trial)
        wrong = judge(trial, evidence, self._quiet[trial.setup])
        if evidence.code == 0 and any(what.startswith("late:") for what in wrong):  # what else is at work here was less at first
            again = play(stage, replace(trial, moment="", delay_s=0.0), strikes=False)
            wrong = judge(trial, evidence, max(self._quiet[trial.setup], again, key=lambda one: one.total_s))
        same = digest_of(trial, evidence) == digest_of(trial, self._quiet[trial.setup])
        self._count(trial, evidence, wrong, same=same)
        if self._log is not None:
            record = {
                "seed": self._seed,
                "setups": self._setups,
                "at": time.strftime("%H:%M:%S"),
                **trial.record(),
                **asdict(evidence),
            }
            record |= {"violations": wrong, "problem": problem_of(evidence), "report": None, "said": evidence.said[-400:]}
            with self._log.open("a") as log:
                log.write(json.dumps(record) + "\n")
        ended = "resumed  " * evidence.resumed + problem_of(evidence)[:110]
        words = f"{trial.setup:<8}{trial.signal:<10}{evidence.struck or '(nobody)':<14}{trial.moment:<15}+{trial.delay_s:<7}"
        print(f"{number:>4} {words} code {evidence.code}, {evidence.to_end_s:.1f} s  {ended}")  # noqa: T201
        for what in wrong:
            print(f"     VIOLATION {what[:300]}")  # noqa: T201
        sys.stdout.flush()

    def _count(self, trial: Trial, evidence: Evidence, wrong: list[str], *, same: bool) -> None:
        self.violated.update({what.partition(":")[0] for what in wrong})
        if evidence.struck:
            self.signals += 1
            self._same += same
            self._hit[trial.victim] += 1
            self._hit_badly[trial.victim] += bool(wrong)
            self._longest_s = max(self._longest_s, evidence.to_end_s)
            self._over += evidence.to_end_s > END_S

    def summary(self) -> str:
        """Return the series in a few lines."""
        hits = ", ".join(f"{kind} {n} ({self._hit_badly[kind]})" for kind, n in sorted(self._hit.items()))
        wrong = ", ".join(f"{kind} {n}" for kind, n in self.violated.items()) or "none"
        return (
            f"{self.signals} signals, seed {self._seed}: {self._same} times the same hash; violations {wrong}\n"
            f"  hit (with violations): {hits}\n"
            f"  longest from signal to end {self._longest_s:.1f} s, {self._over} over {END_S:.0f} s"
        )


if __name__ == "__main__":
    raise SystemExit(main())
