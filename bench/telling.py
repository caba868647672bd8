"""`python -m bench.telling`: what the live monitor, the report and the trace of a run cost, on the paper's model.

The monitor runs in the launcher and is drawn to a terminal of 200 x 60; its cost is the CPU time of its updates, as a share of the
CPU time that the run had (its wall time on all cores). The report is everything that a user waits for after the last tick: counters
read, priced and written, processes gone, the page drawn; without a trace. The trace is of every position of the run.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.targets import Figures, held
from bench.terminal import COLUMNS, ROWS, terminal
from host.cluster import Cluster
from host.monitor import open_monitor
from host.options import LmOptions
from host.pictures import make_pictures
from host.report import write_json
from host.trace import FILE as TRACE


def watched(options: LmOptions, folder: Path) -> tuple[dict[str, Any], float, int, float]:
    """Run with the monitor drawn and write the run's folder; return its report, the monitor's CPU seconds and its updates, and
    how long it took from the last tick until the folder was written and the processes were gone.
    """
    spent_s, updates, ticks_began = 0.0, 0, 0.0
    monitors: list[Any] = []
    with terminal() as stream:

        def observe(status: dict[str, Any]) -> None:
            nonlocal spent_s, updates, ticks_began
            if status.get("tokens_per_s"):  # tokens over seconds since the first tick
                ticks_began = time.perf_counter() - status["tokens"] / status["tokens_per_s"]
            began = time.thread_time()
            monitors[0].update(status)
            spent_s += time.thread_time() - began
            updates += 1

        cluster = Cluster(options, lambda layout: monitors.append(open_monitor(layout, True, stream)), observe, folder=folder)
        outcome = cluster.run()
        for monitor in monitors:
            monitor.close()
    report = outcome.report
    assert report is not None, outcome.problem
    assert report["lm"]["tokens"] == options.tokens
    for name, content in (("report", report), ("config", options.resolved()), ("mapping", outcome.mapping)):
        write_json(folder / f"{name}.json", content)
    return report, spent_s, updates, time.perf_counter() - ticks_began - report["emulation"]["run_s"]


def pictures_s(folder: Path, positions: int) -> tuple[float, float]:
    """Return how long the page takes, with a trace of `positions` positions (0: none), and the CPU time of that."""
    began, cpu_began = time.perf_counter(), time.process_time()
    make_pictures(folder, positions)
    return time.perf_counter() - began, time.process_time() - cpu_began


def measure(tokens: int = 600, runs: int = 3) -> Figures:
    """Measure, print, and return the figures that have a target."""
    cores = len(os.sched_getaffinity(0))
    found: dict[str, list[float]] = {"monitor": [], "closing": [], "page": [], "trace": [], "run": []}
    updates = size_bytes = slices = 0
    for _ in range(runs):
        with tempfile.TemporaryDirectory(prefix="gennaker-bench-") as name:
            folder = Path(name)
            report, spent_s, updates, closing_s = watched(LmOptions(tokens=tokens), folder)
            run_s = report["emulation"]["run_s"]
            assert updates > 10
            if not found["run"]:
                pictures_s(folder, 0)  # loads the libraries that draw
            page_s, page_cpu_s = pictures_s(folder, 0)
            _, with_trace_s = pictures_s(folder, tokens)
            size_bytes = (folder / TRACE).stat().st_size
            slices = len(json.loads(gzip.decompress((folder / TRACE).read_bytes()))["traceEvents"])
        found["run"].append(run_s)
        found["monitor"].append(100 * spent_s / (run_s * cores))
        found["closing"].append(closing_s)
        found["page"].append(page_s)
        found["trace"].append(100 * (with_trace_s - page_cpu_s) / run_s)
    assert slices > tokens * 100  # a slice a PE and position at least
    middle = {name: statistics.median(values) for name, values in found.items()}
    figures = {"monitor": middle["monitor"], "trace": middle["trace"], "report": middle["closing"] + middle["page"]}
    print(f"{tokens} tokens on 150 PE processes, {cores} cores; medians of {runs} runs of {middle['run']:.1f} s")
    print(f"  the monitor             {figures['monitor']:8.2f} % of the run's CPU time, {updates} updates at {COLUMNS} x {ROWS}")
    print(f"  a trace of all          {figures['trace']:8.2f} % of the run's time, {slices:,} entries, {size_bytes / 1e6:.1f} MB")
    parts = f"{middle['closing']:.2f} s until it is written and the processes are gone, {middle['page']:.2f} s for its page"
    print(f"  the report              {figures['report']:8.2f} s: {parts}")
    print(held(figures), flush=True)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.telling", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tokens", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    flags = parser.parse_args()
    measure(flags.tokens, flags.runs)


if __name__ == "__main__":
    main()
