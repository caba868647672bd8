"""`python -m bench.first_compile`: how long a first run compiles, with an empty kernel cache, as its report says."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.targets import Figures, verdicts

_COMMAND = ("launch.py", "lm", "tiny", "--tokens", "2", "--pes", "2", "--no-monitor", "--no-pictures", "--out")
_ROOT = Path(__file__).resolve().parents[1]


def compile_s() -> float:
    """Run once with an empty cache; return the seconds that it compiled."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "run"
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(Path(name) / "cache")}
        subprocess.run([sys.executable, *_COMMAND, str(out)], check=True, cwd=_ROOT, env=environment, capture_output=True)
        seconds = float(json.loads((out / "report.json").read_text())["emulation"]["first_compile_s"])
    assert seconds > 0, "nothing was compiled"
    return seconds


def measure(runs: int = 2) -> Figures:
    """Measure, print, and return the figure that has a target."""
    figures = {"first_compile": statistics.median(compile_s() for _ in range(runs))}
    print(f"a first compile, {len(os.sched_getaffinity(0))} cores; median of {runs}")
    print(verdicts(figures), flush=True)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.first_compile", description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    measure(parser.parse_args().runs)


if __name__ == "__main__":
    main()
