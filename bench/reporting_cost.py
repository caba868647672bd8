"""`python -m bench.reporting_cost`: what the live monitor, the report and the trace of a run cost, on the paper's model.

Each run has a process of its own, as a user's has. The monitor runs in it, the launcher, and is drawn to a terminal of 200 x 60;
its cost is the CPU time of its updates, as a share of the CPU time that the run had (its wall time on all cores). The report is
everything that a user waits for after the last tick: counters read, priced and written, processes gone, the page drawn;
without a trace. The trace is of every position of the run; its cost is the CPU time that a page with it takes
more than one without.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.pseudo_terminal import COLUMNS, ROWS, terminal
from bench.targets import Figures, verdicts
from host.commands._drawing_process import draw_beside
from host.commands._run_workload import load_drawing
from host.launch.launcher import Launcher
from host.run_folder import write_json
from host.show.monitor import open_monitor
from host.workloads.lm.options import Options as LmOptions


def watched(options: LmOptions, folder: Path) -> tuple[dict[str, Any], float, int, float]:
    """Run with the monitor drawn and write the run's folder; return its report, the monitor's CPU seconds and its updates, and
    how long it took from the last tick until the folder was written and the processes were gone.
    """
    spent_s, updates, ticks_began = 0.0, 0, 0.0
    monitors: list[Any] = []
    with terminal() as stream:

        def observe(status: dict[str, Any]) -> None:
            nonlocal spent_s, updates, ticks_began
            if status.get("per_s"):  # positions over seconds since the first tick
                ticks_began = time.perf_counter() - status["done"] / status["per_s"]
            began = time.thread_time()
            monitors[0].update(status)
            spent_s += time.thread_time() - began
            updates += 1

        cluster = Launcher(
            options,
            lambda layout: monitors.append(open_monitor(layout, True, stream)),
            observe,
            folder=folder,
            meanwhile=load_drawing,
        )
        outcome = cluster.run()
        for monitor in monitors:
            monitor.close()
    report = outcome.report
    assert report is not None, outcome.problem
    assert ticks_began, "the monitor heard of no speed"
    assert report["result"]["tokens"] == options.tokens
    for name, content in (("report", report), ("config", options.resolved()), ("mapping", outcome.mapping)):
        write_json(folder / f"{name}.json", content)
    return report, spent_s, updates, time.perf_counter() - ticks_began - report["emulation"]["run_s"]


def pictures_s(folder: Path, positions: int, **how: Any) -> tuple[float, float]:
    """Return how long the page takes, with a trace of `positions` positions (0: none), and the CPU time of this process."""
    began, cpu_began = time.perf_counter(), time.process_time()
    from host.show.pictures import make_pictures

    make_pictures(folder, positions, **how)
    return time.perf_counter() - began, time.process_time() - cpu_began


def once(tokens: int) -> dict[str, float]:
    """Measure one run, in this process, which has drawn nothing yet."""
    with tempfile.TemporaryDirectory(prefix="gennaker-bench-") as name:
        folder = Path(name)
        report, spent_s, updates, closing_s = watched(LmOptions(tokens=tokens), folder)
        run_s = report["emulation"]["run_s"]
        assert updates > 10
        page_s, _ = pictures_s(folder, 0, beside=draw_beside)  # as `launch.py` does
        _, page_cpu_s = pictures_s(folder, 0)
        _, with_trace_s = pictures_s(folder, tokens)
        from host.show.perfetto import FILE

        entries = len(json.loads(gzip.decompress((folder / FILE).read_bytes()))["traceEvents"])
        assert entries > tokens * 100  # a slice a PE and position at least
        return {
            "run": run_s,
            "monitor": 100 * spent_s / (run_s * len(os.sched_getaffinity(0))),
            "updates": updates,
            "closing": closing_s,
            "page": page_s,
            "report": closing_s + page_s,
            "trace": 100 * (with_trace_s - page_cpu_s) / run_s,
            "entries": entries,
            "bytes": (folder / FILE).stat().st_size,
        }


def measure(tokens: int = 600, runs: int = 3) -> Figures:
    """Measure, print, and return the figures that have a target."""
    command = [sys.executable, "-m", "bench.reporting_cost", "--tokens", str(tokens), "--once"]
    records = [json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout) for _ in range(runs)]
    middle = {name: statistics.median(one[name] for one in records) for name in records[0]}
    figures = {name: middle[name] for name in ("monitor", "trace", "report")}
    cores = len(os.sched_getaffinity(0))
    print(f"{tokens} tokens on 150 PE processes, {cores} cores; medians of {runs} runs of {middle['run']:.1f} s")
    updates = f"{middle['updates']:.0f} updates at {COLUMNS} x {ROWS}"
    print(f"  the monitor             {figures['monitor']:8.2f} % of the run's CPU time, {updates}")
    entries = f"{middle['entries']:,.0f} entries, {middle['bytes'] / 1e6:.1f} MB"
    print(f"  a trace of all          {figures['trace']:8.2f} % of the run's time, {entries}")
    parts = f"{middle['closing']:.2f} s until it is written and the processes are gone, {middle['page']:.2f} s for its page"
    print(f"  the report              {figures['report']:8.2f} s: {parts}")
    print(verdicts(figures), flush=True)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.reporting_cost", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--once", action="store_true", help="measure one run in this process and print JSON")
    flags = parser.parse_args()
    if flags.once:
        print(json.dumps(once(flags.tokens)))
    else:
        measure(flags.tokens, flags.runs)


if __name__ == "__main__":
    main()
