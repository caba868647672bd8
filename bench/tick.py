"""`python -m bench.tick`: the paper's model on 150 PE processes beside its two floors, batched, and generating, in one run.

The floors: kernel time of all shards back to back in one process, divided by the cores, plus one bare wake-up of each process a
tick, through a pipe (the system's floor) or through a DEALER/ROUTER echo with the run's own message sizes (ZeroMQ's). Floors and
runs alternate, and ratios are of medians: machines are shared.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict
from dataclasses import replace
from typing import Any

from bench.floors import pipe_s, zmq_s
from bench.in_memory_run import record
from bench.kernels import bind, kernels_s
from bench.targets import CHIP_SEQUENCE_MS, CHIP_TOKEN_MS, CHIP_TOKENS, Figures, verdicts
from host.launch.launcher import Launcher
from host.mapping.advice import largest_batch
from host.workloads.lm.options import Options as LmOptions

_RECORDED_TOKENS = 40
_FLOOR_TICKS = 100
BATCH, GENERATED = 16, 40
FLOOR = "system_floor_ms"  # a figure without a target: how fast the machine is


def emulation_of(options: LmOptions) -> dict[str, Any]:
    """Run; return the report's block on the emulation, with `sha256` and `tokens`. AssertionError where it did less."""
    outcome = Launcher(options, lambda _: None, lambda _: None).run()
    assert outcome.report is not None and outcome.problem is None, outcome.problem
    report = outcome.report
    if options.prompt is not None:
        assert len(report["result"]["generated"]) == options.generate
    else:
        assert report["result"]["tokens"] == (options.tokens or 0) * options.batch
    assert report["conservation"]["wrong"] == []
    assert report["counters"]["packets_dropped"] == 0
    return report["emulation"] | {"sha256": report["events"]["sha256"], "tokens": report["result"]["tokens"]}


def measure(tokens: int = 300, runs: int = 5, pes: int = 150, form: str = "csr") -> Figures:
    """Measure, print, and return the figures that have a target."""
    cores = len(os.sched_getaffinity(0))
    options = LmOptions(tokens=tokens, pes=pes, format=form)
    batched = LmOptions(tokens=max(tokens // 5, 20), pes=pes, format="packed", batch=BATCH)
    others = {"packed": replace(options, format="packed"), "memory": replace(options, transport="mem")}
    generating = LmOptions(prompt="the list", generate=GENERATED, pes=pes, format=form)
    recorded = record(replace(options, tokens=_RECORDED_TOKENS, transport="mem"))
    placement, positions = recorded.job.placement, recorded.positions()
    shards = bind(placement)
    sizes = [recorded.sizes(placed.name) for placed in placement.pes]
    network, request = placement.network, replace(placement.request, pes=pes)
    most = {name: largest_batch(network, replace(request, format=name), placement.mapping) for name in ("csr", "packed")}
    kernels_s(placement, shards, positions[:5])  # compiles, or loads what was compiled

    floors: dict[str, list[float]] = defaultdict(list)
    done: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _ in range(runs):
        # All that belongs to a ratio within seconds of each other, so that a machine that slows down slows all of it.
        floors["kernel"].append(kernels_s(placement, shards, positions))
        floors["pipe"].append(pipe_s(pes, _FLOOR_TICKS))
        floors["echo"].append(zmq_s(sizes, _FLOOR_TICKS))
        for name, run_options in {"token": options, **others, "batch": batched, "generation": generating}.items():
            done[name].append(emulation_of(run_options))
    for name, emulations in done.items():
        assert len({emulation["sha256"] for emulation in emulations}) == 1, f"{name}: runs gave different events"
    assert len({done[name][0]["sha256"] for name in ("token", *others)}) == 1, "the same events in any format and transport"

    def median(name: str, key: str) -> float:
        return statistics.median(emulation[key] for emulation in done[name])

    kernel_ms, pipe_ms, echo_ms = (1e3 * statistics.median(floors[name]) for name in ("kernel", "pipe", "echo"))
    token_ms, batch_ms = median("token", "ms_per_token"), median("batch", "ms_per_token")
    ticks = median("batch", "ticks") - len(network.layers)
    generation_ms = 1e3 * median("generation", "run_s") / GENERATED  # the prompt's two words go along in the first one's time
    system_ms, zmq_ms = kernel_ms / cores + pipe_ms, kernel_ms / cores + echo_ms
    out, back = (sum(column) for column in zip(*sizes, strict=True))
    print(f"{pes} PE processes, {form}, {tokens} tokens, {cores} cores; medians of {runs} runs, floors and runs in turn")
    print(f"  kernels, one process    {kernel_ms:8.2f} ms a position, {kernel_ms / cores:.2f} ms over {cores} cores")
    print(f"  pipe wake-ups           {pipe_ms:8.2f} ms a tick")
    print(f"  DEALER/ROUTER echo      {echo_ms:8.2f} ms a tick ({out / 1e3:.0f} kB out, {back / 1e3:.1f} kB back)")
    print(f"  system floor            {system_ms:8.2f} ms")
    print(f"  ZeroMQ floor            {zmq_ms:8.2f} ms")
    print(
        f"  a token                 {token_ms:8.2f} ms: {token_ms / CHIP_TOKEN_MS:.1f} times the chip's {CHIP_TOKEN_MS:.2f} ms",
        end="",
    )
    print(f" ({CHIP_TOKENS * token_ms:.0f} ms a sequence of {CHIP_TOKENS} against {CHIP_SEQUENCE_MS} ms)")
    packed_ms, memory_ms = median("packed", "ms_per_token"), median("memory", "ms_per_token")
    print(f"  packed                  {packed_ms:8.2f} ms: {packed_ms / token_ms:.2f} times {form}")
    print(f"  in one process          {memory_ms:8.2f} ms")
    print(
        f"  --batch {BATCH}, packed      {batch_ms:8.2f} ms a token and sequence: {batch_ms / CHIP_TOKEN_MS:.2f} times the chip's",
        end="",
    )
    print(f"; {BATCH * batch_ms:.1f} ms a position, {ticks:.0f} positions")
    print(f"                          what fits {pes} PEs: --batch {most['packed']} packed, {most['csr']} csr")
    print(f"  generation              {generation_ms:8.2f} ms a token, {GENERATED} words")
    print(f"  ready in                {median('token', 'start_s'):8.2f} s")
    uss_mb = {name: median(name, "pe_uss_bytes") / 1e6 for name in ("token", "batch")}
    print(f"  unshared memory a PE    {uss_mb['token']:8.2f} MB, {uss_mb['batch']:.2f} MB with --batch {BATCH}")
    figures = {
        "zmq_floor": token_ms / zmq_ms, "system_floor": token_ms / system_ms, "token": token_ms, "batch": batch_ms,
        "packed": packed_ms / token_ms, "memory": memory_ms,
        "generation": generation_ms, "ready": median("token", "start_s"), "uss": uss_mb["token"], FLOOR: system_ms,
    }  # fmt: skip
    print(verdicts(figures), flush=True)
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.tick", description=__doc__.split("\n\n")[0])
    parser.add_argument("--tokens", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--pes", type=int, default=150)
    parser.add_argument("--format", default="csr")
    flags = parser.parse_args()
    measure(flags.tokens, flags.runs, flags.pes, flags.format)


if __name__ == "__main__":
    main()
