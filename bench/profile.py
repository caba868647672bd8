"""`python -m bench.profile`: where a tick of the paper's model on 150 PE processes goes.

Four looks at the same work, printed one below the other:

- what the operating system counted of each kind of process between two ticks (/proc): CPU time, waits, switches, signals;
- messages and bytes a tick, from a run inside one process with the same bytes;
- what each stage costs warm, in that one process (`bench/stages.py`);
- where the processes' CPU time goes by `perf` (all of them) and by stage by `py-spy` (host, router, some PEs), where those can be
  used: each in a run of its own, because looking costs time.

Counts a tick are what to compare between machines; milliseconds only within one run.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.in_memory_run import Recorded, record
from bench.proc_counters import Window, kind_of
from bench.profilers import PERF_HZ, Perf, PySpy, stage_of
from bench.pseudo_terminal import terminal
from bench.stages import stages_s
from bench.system_calls import SystemCalls
from host.launch.launcher import Launcher
from host.show.monitor import open_monitor
from host.workloads.lm.options import Options as LmOptions
from noc.packet import HOST, chip_of, router_name

_KINDS = ("PE", "router", "host", "launcher")
_MARGIN = 150  # ticks left out at both ends of a run: the host says how far it is four times a second
_RECORDED_TOKENS = 40
_SHOWN = 12  # functions of each kind, by perf


def _watched(options: LmOptions, window: Window) -> dict[str, Any]:
    """Run with the live monitor drawn, `window` looking on; return the report's block on the emulation."""
    with ExitStack() as stack:
        stream = stack.enter_context(terminal())
        monitors: list[Any] = []

        def observe(status: dict[str, Any]) -> None:
            monitors[0].update(status)
            window.observe(status)

        outcome = Launcher(
            options, lambda layout: monitors.append(open_monitor(layout, True, stream)), observe, window.started
        ).run()
        for monitor in monitors:
            monitor.close()
    assert outcome.report is not None and outcome.problem is None, outcome.problem
    assert outcome.report["result"]["tokens"] == options.tokens
    assert outcome.report["conservation"]["wrong"] == []
    emulation: dict[str, Any] = outcome.report["emulation"] | {"sha256": outcome.report["events"]["sha256"]}
    return emulation


def counted(options: LmOptions) -> dict[str, Any]:
    """Return what /proc says of a run, a tick: by kind of process, its first threads apart from the others."""
    assert options.tokens is not None
    window = Window(_MARGIN, options.tokens - _MARGIN)
    emulation = _watched(options, window)
    processes = Counter(kind_of(name) for name in window.pids)
    threads = {
        f"{kind}{'' if first else ', other threads'}": {"processes": processes[kind], **counts.over(window.ticks)._asdict()}
        for (kind, first), counts in sorted(window.by_kind().items(), key=lambda item: (_KINDS.index(item[0][0]), not item[0][1]))
        if counts.on_cpu_s or first
    }
    return {"emulation": emulation, "ticks": window.ticks, "threads": threads}


def messages(recorded: Recorded) -> dict[str, Any]:
    """Return messages and bytes a tick, by who takes or gives them."""
    names = [placed.name for placed in recorded.job.placement.pes]
    routers = {router_name(chip_of(name)) for name in names}
    endpoints = [*names, HOST]
    layers = recorded.job.placement.network
    by_layer = {}
    for placed in recorded.job.placement.pes:
        layer = layers.populations[placed.share[0].population].name
        by_layer.setdefault(layer, recorded.sizes(placed.name))
    return {
        "routers": len(routers),
        "messages_in": len(endpoints),
        "messages_out": len(endpoints),
        "bytes_in": sum(recorded.batch_bytes(name) for name in endpoints) / recorded.ticks,
        "bytes_out": sum(recorded.bundle_bytes(name) for name in endpoints) / recorded.ticks,
        "host_bytes_in": recorded.bundle_bytes(HOST) / recorded.ticks,
        "host_bytes_out": recorded.batch_bytes(HOST) / recorded.ticks,
        "pe_median_bytes": {layer: {"bundle": bundle, "batch": batch} for layer, (bundle, batch) in by_layer.items()},
    }


def _chosen(pids: Mapping[str, int], recorded: Recorded) -> dict[str, int]:
    """Return the host, the router of its chip, and one PE of each layer."""
    first: dict[int, str] = {}
    for placed in recorded.job.placement.pes:
        first.setdefault(placed.share[0].population, placed.name)
    return {name: pids[name] for name in (HOST, router_name(0), *first.values())}


def by_perf(options: LmOptions, recorded: Recorded, threads: Mapping[str, Any]) -> dict[str, Any]:
    """Return CPU seconds a tick by kind and part, by perf, scaled to what /proc counted; system calls a tick of some processes."""
    assert options.tokens is not None
    perf, calls, chosen = Perf(), SystemCalls(), dict[str, int]()

    def begin(pids: Mapping[str, int]) -> None:
        chosen.update(_chosen(pids, recorded))
        perf.begin()
        calls.begin(chosen)

    def end() -> None:
        perf.end()
        calls.end()

    window = Window(_MARGIN, options.tokens - _MARGIN, begin, end)
    _watched(options, window)
    parts: dict[str, Counter[str]] = {}
    functions: dict[str, Counter[str]] = {}
    for (name, first), samples in perf.samples(window.pids).items():
        kind = f"{kind_of(name)}{'' if first else ', other threads'}"
        for (part, symbol), number in samples.items():
            parts.setdefault(kind, Counter())[part] += number
            functions.setdefault(kind, Counter())[f"{symbol} ({part})"] += number
    perf.close()
    shares: dict[str, Any] = {"problem": perf.problem, "parts": {}, "functions": {}, "samples": {}}
    for kind, samples in parts.items():
        each_s = threads[kind]["on_cpu_s"] / samples.total() if kind in threads else 0.0
        shares["parts"][kind] = {part: number * each_s for part, number in samples.most_common()}
        shares["functions"][kind] = {name: number * each_s for name, number in functions[kind].most_common(_SHOWN)}
        shares["samples"][kind] = samples.total()
    shares["calls"] = {
        name: {call: number / window.ticks for call, number in counts.items() if number} for name, counts in calls.counts().items()
    }
    return shares


def by_py_spy(options: LmOptions, recorded: Recorded) -> dict[str, Any]:
    """Return the share of each stage in the running time of Python threads, by py-spy; the PEs that were looked at together."""
    assert options.tokens is not None
    spy = PySpy()
    window = Window(_MARGIN, options.tokens - _MARGIN, lambda pids: spy.begin(_chosen(pids, recorded)), spy.end)
    _watched(options, window)
    stages: dict[str, Counter[str]] = {}
    for name, stacks in spy.samples().items():
        kind = stages.setdefault(kind_of(name), Counter())
        for stack, number in stacks.items():
            kind[stage_of(stack)] += number
    spy.close()
    return {
        "problem": spy.problem,
        "samples": {kind: counter.total() for kind, counter in stages.items()},
        "stages": {
            kind: {stage: number / counter.total() for stage, number in counter.most_common()}
            for kind, counter in stages.items()
            if counter
        },
    }


def _print_counts(counts: Mapping[str, Any], cores: int) -> None:
    token_ms = counts["emulation"]["ms_per_token"]
    print("\nCPU a tick, counted by the operating system       |  a process and tick")
    print(f"{'':24}{'on CPU':>8}{'share':>7}{'user':>7}{'ready':>9} |{'waits':>8}{'preempted':>11}{'read/write':>12}")
    total = sum(row["on_cpu_s"] for row in counts["threads"].values())
    for name, row in counts["threads"].items():
        split = row["user_s"] + row["system_s"]
        user = f"{100 * row['user_s'] / split:.0f} %" if split > 0.5 * row["on_cpu_s"] else "-"
        each = row["processes"]
        spent_ms, share, ready_ms = 1e3 * row["on_cpu_s"], 100 * row["on_cpu_s"] / total, 1e3 * row["ready_s"]
        ours = f"{name:<24}{spent_ms:5.2f} ms{share:5.0f} %{user:>7}{ready_ms:6.1f} ms"
        print(f"{ours} |{row['voluntary'] / each:8.2f}{row['involuntary'] / each:11.2f}{row['calls'] / each:12.2f}")
    busy = 100e3 * total / cores / token_ms
    print(f"{'all':<24}{1e3 * total:5.2f} ms; a token takes {token_ms:.2f} ms: {busy:.0f} % of what {cores} cores have")
    print("waits: ended by a wake-up; ready: could have run and had no core; user: of CPU time, where clock ticks tell")


def _print_messages(messages: Mapping[str, Any]) -> None:
    print(f"\nmessages a tick: the router takes {messages['messages_in']} ({messages['bytes_in'] / 1e3:.0f} kB)", end="")
    print(f" and gives {messages['messages_out']} ({messages['bytes_out'] / 1e3:.0f} kB)", end="")
    print(f"; the host takes {messages['host_bytes_in'] / 1e3:.1f} kB, gives {messages['host_bytes_out'] / 1e3:.1f} kB")
    sizes = [f"{layer} {sizes['bundle']:,} in, {sizes['batch']:,} out" for layer, sizes in messages["pe_median_bytes"].items()]
    print(f"bytes of a PE and tick (median): {'; '.join(sizes)}")


def _print_stages(stages_by_kind: Mapping[str, Mapping[str, float]], threads: Mapping[str, Any]) -> None:
    print("\nstages warm, in one process, ms a tick for all endpoints of a kind")
    for kind, stages in stages_by_kind.items():
        row = ", ".join(f"{stage} {1e3 * seconds:.2f}" for stage, seconds in stages.items())
        warm, spent = sum(stages.values()), threads[kind]["on_cpu_s"]
        print(f"  {kind:<8}{row}")
        print(
            f"{'':10}together {1e3 * warm:.2f} of {1e3 * spent:.2f} ms in the processes: {100 * warm / spent:.0f} %; the rest is",
            end="",
        )
        print(" sockets, switches and cold caches")


def _print_perf(shares: Mapping[str, Any]) -> None:
    if shares["problem"]:
        print(f"\n{shares['problem']}")
    if shares["parts"]:
        print(f"\nwhere CPU time goes (perf, {PERF_HZ} Hz), ms a tick")
        kinds = [kind for kind in shares["parts"] if kind in shares["samples"]]
        kinds.sort(key=lambda kind: (_KINDS.index(kind.partition(",")[0]), "," in kind))
        parts = Counter[str]()
        for kind in kinds:
            parts.update(shares["parts"][kind])
        heads = [kind.replace(", other threads", " i/o") for kind in kinds]
        print(f"  {'':<32}{''.join(f'{head:>14}' for head in heads)}")
        for part, _ in parts.most_common():
            cells = [f"{1e3 * shares['parts'][kind].get(part, 0.0):14.2f}" for kind in kinds]
            print(f"  {part:<32}{''.join(cells)}")
        cells = [f"{shares['samples'][kind]:14,}" for kind in kinds]
        print(f"  {'samples':<32}{''.join(cells)}")
        for kind in kinds:
            most = ", ".join(f"{name} {1e3 * s:.2f}" for name, s in list(shares["functions"][kind].items())[:6])
            print(f"  most of {kind}: {most}")
    if shares["calls"]:
        print("\nsystem calls a tick (perf)")
        for name, calls in shares["calls"].items():
            named = {call: number for call, number in calls.items() if call != "all" and number >= 0.05}
            row = ", ".join(f"{call} {number:.1f}" for call, number in sorted(named.items(), key=lambda item: -item[1]))
            print(f"  {name:<16}{calls['all']:8.1f}   {row}")


def _print_py_spy(shares: Mapping[str, Any]) -> None:
    if shares["problem"]:
        print(f"\n{shares['problem']}")
    if shares["stages"]:
        print("\nPython and kernels by stage (py-spy), share of the time that the interpreter is held")
        for kind, stages in shares["stages"].items():
            row = ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in stages.items())
            print(f"  {kind:<8}{row}   ({shares['samples'][kind]} samples)")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tokens", type=int, default=1000, help="of each run (default %(default)s)")
    parser.add_argument("--pes", type=int, default=150)
    parser.add_argument("--format", default="csr")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured, too")
    parser.add_argument("--no-perf", action="store_true", help="leave out the run under perf")
    parser.add_argument("--no-py-spy", action="store_true", help="leave out the run under py-spy")
    flags = parser.parse_args()
    if flags.tokens < 4 * _MARGIN:
        parser.error(f"--tokens {flags.tokens}: needs at least {4 * _MARGIN}")
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]

    options = LmOptions(tokens=flags.tokens, pes=flags.pes, format=flags.format)
    recorded = record(LmOptions(tokens=_RECORDED_TOKENS, pes=flags.pes, format=flags.format, transport="mem"))
    profile: dict[str, Any] = {"options": options.resolved(), "cores": cores, "load_average": load, "messages": messages(recorded)}
    print(
        f"{flags.pes} PE processes, {flags.format}, {flags.tokens} tokens; {cores} cores, load average before {load:.1f}",
        flush=True,
    )
    profile["counted"] = counted(options)
    threads = profile["counted"]["threads"]
    _print_counts(profile["counted"], cores)
    _print_messages(profile["messages"])
    profile["stages_s"] = stages_s(recorded)
    _print_stages(profile["stages_s"], _merged(threads))
    if not flags.no_perf:
        profile["perf"] = by_perf(options, recorded, threads)
        _print_perf(profile["perf"])
    if not flags.no_py_spy:
        profile["py_spy"] = by_py_spy(options, recorded)
        _print_py_spy(profile["py_spy"])
    if flags.json:
        flags.json.write_text(json.dumps(profile, indent=1) + "\n", "utf-8")


def _merged(threads: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return the CPU seconds of each kind with all its threads."""
    merged: dict[str, dict[str, float]] = {}
    for name, row in threads.items():
        kind = merged.setdefault(name.partition(",")[0], {"on_cpu_s": 0.0})
        kind["on_cpu_s"] += row["on_cpu_s"]
    return merged


if __name__ == "__main__":
    main()
